"""Helpers only, no rules: which results a paper's table is made of."""

TABLES = {
    "grace": [
        "greedy",
        "self_consistency",
        "verifier",
        "grace",
        "grace_self_consistency",
    ],
    "latro": ["base", "base_maj", "latro_sft", "latro_sft_maj", "latro", "latro_maj"],
}
TABLE_NUMBERS = {"grace": 1, "latro": 2}
TABLE_ROWS = {
    "grace": {
        "flan_t5_large": ["gsm8k", "svamp", "mathqa"],
        "llama_7b": ["gsm8k", "multiarith", "svamp"],
    },
    "latro": {model: ["gsm8k", "arc_challenge"] for model in ("phi35_mini", "mistral_7b", "llama31_8b")},
}


def results_of_table(wildcards):
    """The results that a paper's table is made of: its own models in the paper preset, the small model otherwise."""
    methods = TABLES[wildcards.paper]
    if wildcards.table != f"table{TABLE_NUMBERS[wildcards.paper]}":
        raise WorkflowError(
            f"{wildcards.paper} has the table table{TABLE_NUMBERS[wildcards.paper]}, no {wildcards.table}"
        )
    models = settings.values.headline_models
    model = models.get(wildcards.paper) or models["default"]
    rows = TABLE_ROWS[wildcards.paper] if settings.model(model).scratch is None else {model: ["arithmetic"]}
    return [f"results/{task}/{model}/{method}_acc.json" for model in rows for task in rows[model] for method in methods]
