"""Helpers only, no rules: what a result is scored from and rests on, and which results a paper's table is made of."""


def predictions_of(task, model, method, split="test"):
    """One predictions file a seed."""
    trained = settings.checkpoint(task, model, method)
    decoder = settings.method(method).decoder
    return [f"results/{task}/{model}/seed{seed}/{trained}/{decoder}/{split}.jsonl" for seed in seeds()]


def cost_files(task, model, method):
    """Benchmark records of the jobs that the method's result rests on; those of a Hub model's download have no seed."""
    trained = settings.checkpoint(task, model, method)
    decoder = settings.method(method).decoder
    decode = "self_consistency" if decoder == "verifier" else decoder
    jobs = [f"{trained}/{decode}"]
    if trained == "sft":
        jobs.append("sft")
    if trained in LATRO_CHECKPOINTS:
        jobs += [trained, *(["sft"] if settings.generator(task, model) == "sft" else [])]
    if settings.model(model).scratch is not None:
        jobs.append("base")
    if decoder.startswith("grace"):
        jobs += [f"{trained}_discriminator/{step}" for step in ("sample", "align", "pair", "train", "sweep")]
    if decoder == "verifier":
        jobs += [
            f"{trained}_discriminator/sample",
            f"{trained}_verifier/train",
            f"{trained}/verifier",
        ]
    return [f"benchmarks/{task}/{model}/seed{seed}/{job}" for seed in seeds() for job in jobs]


def what_the_result_rests_on(wildcards):
    """The part of the configuration that a method's result depends on, as JSON; other changes do not score it again."""
    values = settings.for_target(wildcards.task, wildcards.model)
    configuration = values.model_dump(mode="json")
    for name in section_classes():
        for option in speed_options(getattr(values, name)):
            del configuration[name][option]
    trained = settings.checkpoint(wildcards.task, wildcards.model, wildcards.method)
    decoder = settings.method(wildcards.method).decoder
    scratch = settings.model(wildcards.model).scratch is not None
    chosen = configuration.get(decoder, {}).get("beta") == "choose"
    start = settings.generator(wildcards.task, wildcards.model)
    votes = settings.method(wildcards.method).votes
    kept = {"preset", "seeds", "limits", *sections_behind(trained, decoder, scratch, chosen, start, votes)}
    return json.dumps({name: configuration[name] for name in sorted(kept)})


# ---------------------------------------------------------------- tables


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
