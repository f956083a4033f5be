"""The targets of a plain `snakemake`."""

from retrace.systems.grace.system import BASELINES, COMPARED
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets

TASK = "arithmetic"
REPORT = "results/report.html"


def default_targets(settings: Settings) -> list[str]:
    """GRACE and its baselines on the preset's default tasks, or on generated data for presets with a small model.

    GRACE's table with all its results where neither is given. The report is always the last.
    """
    tasks = settings.values.default_tasks
    if not tasks:
        if settings.model(settings.values.headline_models["default"]).scratch is None:
            return [*Targets(settings).results_of_table("grace_table1"), "results/tables/grace_table1.html", REPORT]
        tasks = [TASK]
    found = [target for task in tasks for target in _of_task(settings, task)]
    return [*found, "results/configuration.yaml", REPORT]


def _of_task(settings: Settings, task: str) -> list[str]:
    model = settings.headline_model(task)
    generator = settings.generator(task, model)
    return [
        *[
            f"results/{task}/{model}/seed{seed}/{generator}_discriminator/report.json"
            for seed in settings.seeds(task, model, "grace")
        ],
        *compared_results(task, model),
        f"results/{task}/{model}/grace_beta_sweep.svg",
    ]


def compared_results(task: str, model: str) -> list[str]:
    """Results of GRACE and its baselines, and the paired comparisons of GRACE with some of them."""
    folder = f"results/{task}/{model}"
    return [
        *[f"{folder}/{method}_acc.json" for method in BASELINES],
        *[f"{folder}/compare/grace_vs_{rival}.json" for rival in COMPARED],
    ]
