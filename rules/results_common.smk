"""Helpers only, no rules: what a result is scored from and rests on, and which results a paper's table is made of."""

from snakemake.output_index import OutputIndex

from retrace.workflow.jobs_behind import JobsBehind, folded
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


@lru_cache(maxsize=None)
def the_walk():
    """Over the rules of the workflow; all of them are there once the first job is planned."""
    return JobsBehind(OutputIndex(workflow.rules).match_producers)


def benchmarks_behind(wildcards, input):
    """A params function: the benchmark records of all jobs that the job's inputs rest on.

    Snakemake does not compare parameters that ask for the input, so that they alone score nothing again.
    """
    return folded(the_walk().benchmarks(input))


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
    chosen = configuration.get(helped_decoder(decoder), {}).get("beta") == "choose"
    start = settings.generator(wildcards.task, wildcards.model)
    votes = settings.method(wildcards.method).votes
    kept = {"preset", "limits", *sections_behind(trained, decoder, scratch, chosen, start, votes)}
    own_seeds = settings.seeds_of(wildcards.task, wildcards.model, wildcards.method)
    return json.dumps({name: configuration[name] for name in sorted(kept)} | {"seeds": own_seeds}, sort_keys=True)


# ---------------------------------------------------------------- tables


def results_of_the_table(wildcards):
    """The results that a paper's table is made of."""
    return results_of_table(f"{wildcards.paper}_{wildcards.table}", settings)
