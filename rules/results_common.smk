"""Helpers only, no rules: what a result is scored from and rests on, and which results a paper's table is made of."""

from retrace.systems.icot.options import STAGES_BEHIND
from retrace.workflow.sections_behind import sections_behind
from retrace.workflow.targets import TABLES, results_of_table


def test_split(task, model, method):
    """The split that a method is scored on."""
    return settings.split(task, model, settings.checkpoint(task, model, method), "test")


def predictions_of(task, model, method, seeds=None):
    """One predictions file a seed; seeds: some of the method's own."""
    trained = settings.checkpoint(task, model, method)
    decoder = settings.method(method).decoder
    split = test_split(task, model, method)
    chosen = seeds or settings.seeds_of(task, model, method)
    return [f"results/{task}/{model}/seed{seed}/{trained}/{decoder}/{split}.jsonl" for seed in chosen]


def compared_predictions(which):
    """An input function: the predictions of one side of a comparison, `method_a` or `method_b`."""
    return lambda w: predictions_of(w.task, w.model, getattr(w, which), seeds_of_both(w))


def cost_files(task, model, method):
    """Benchmark records of the jobs that the method's result rests on; those of a Hub model's download have no seed."""
    trained = settings.checkpoint(task, model, method)
    decoder = settings.method(method).decoder
    decode = "self_consistency" if decoder == "verifier" else decoder
    jobs = [f"{trained}/{decode}"]
    if trained == "sft":
        jobs.append("sft")
    jobs += STAGES_BEHIND.get(trained, ())
    if system_of(trained) == "dpo_st":
        jobs += jobs_of_rounds(trained)
    if system_of(trained) == "learn_to_reason":
        jobs += jobs_of_learning(trained, task, model)
    if system_of(trained) == "latro":
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
    return [
        f"benchmarks/{task}/{model}/seed{seed}/{job}" for seed in settings.seeds_of(task, model, method) for job in jobs
    ]


def what_the_result_rests_on(wildcards):
    """The part of the configuration that a method's result depends on, as JSON; other changes do not score it again."""
    values = settings.for_target(wildcards.task, wildcards.model)
    configuration = values.model_dump(mode="json")
    for name in section_classes():
        section, plain = values, configuration
        for part in name.split("."):
            section, plain = getattr(section, part), plain[part]
        for option in speed_options(section):
            del plain[option]
    trained = settings.checkpoint(wildcards.task, wildcards.model, wildcards.method)
    decoder = settings.method(wildcards.method).decoder
    scratch = settings.model(wildcards.model).scratch is not None
    chosen = configuration.get(shipped()[helped_decoder(decoder)].section, {}).get("beta") == "choose"
    start = settings.generator(wildcards.task, wildcards.model)
    votes = settings.method(wildcards.method).votes
    kept = {"preset", "limits", *sections_behind(trained, decoder, scratch, chosen, start, votes)}
    own_seeds = settings.seeds_of(wildcards.task, wildcards.model, wildcards.method)
    return json.dumps({name: configuration[name] for name in sorted(kept)} | {"seeds": own_seeds}, sort_keys=True)


# ---------------------------------------------------------------- tables


def results_of_the_table(wildcards):
    """The results that a paper's table is made of."""
    return results_of_table(f"{wildcards.paper}_{wildcards.table}", settings)
