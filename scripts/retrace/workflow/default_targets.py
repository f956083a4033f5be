"""The targets of a plain `snakemake`."""

from retrace.workflow.settings import Settings

TASK = "arithmetic"
FAMILY = ["greedy", "beam", "self_consistency", "verifier", "stepwise", "grace", "grace_self_consistency"]
RIVALS = ["greedy", "self_consistency", "stepwise"]


def default_targets(settings: Settings) -> list[str]:
    """GRACE's table or, for presets with a small model, GRACE and its baselines on generated data."""
    if settings.model(settings.values.headline_models["default"]).scratch is None:
        return ["results/tables/grace_table1.html"]
    model = settings.headline_model(TASK)
    folder = f"results/{TASK}/{model}"
    generator = settings.generator(TASK, model)
    return [
        *[
            f"{folder}/seed{seed}/{generator}_discriminator/report.json"
            for seed in settings.seeds(TASK, model, "grace")
        ],
        *[f"{folder}/{method}_acc.json" for method in FAMILY],
        *[f"{folder}/compare/grace_vs_{rival}.json" for rival in RIVALS],
        f"{folder}/grace_beta_sweep.svg",
        "results/configuration.yaml",
    ]
