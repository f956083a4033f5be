"""Helpers only, no rules: what a result is scored from and rests on, and which results a paper's table is made of."""

from snakemake.output_index import OutputIndex

from retrace.systems.registry import tables
from retrace.workflow.jobs_behind import JobsBehind, folded
from retrace.workflow.sections_behind import sections_behind
from retrace.workflow.targets import results_of_table


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
    return lambda w: predictions_of(w.task, w.model, getattr(w, which), common_seeds(w))


def extra_inputs(w):
    """Further inputs of a result: samples of the same checkpoint for maj@k, reports on how checkpoints were chosen, what
    sampling for the decoder's network found, and the data of a checkpoint with training data of its own."""
    method, found = settings.method(w.method), {}
    trained = settings.checkpoint(w.task, w.model, w.method)
    kind = settings.checkpoints.parse(trained).kind
    values = settings.for_target(w.task, w.model, trained, method.decoder)
    folders = [f"results/{w.task}/{w.model}/seed{seed}/{trained}" for seed in method_seeds(w)]
    if kind.train and not (kind.released and settings.option(values, kind.released)):
        found["trained_on"] = data_file(w.task, settings.split(w.task, w.model, trained, "train"))
    if method.votes:
        split = test_split(w.task, w.model, w.method)
        found["votes"] = [f"{folder}/{method.votes}/{split}.jsonl" for folder in folders]
    if kind.reports:
        found["reports"] = [f"{folder}/{kind.reports}" for folder in folders]
    guided = guide_section_of(w.task, w.model, method.decoder, settings.variants(trained, method.decoder))
    guide = settings.decoder(method.decoder).guide if guided else None
    owner = settings.checkpoints.own_trajectories(guide) if guide else None
    option = settings.checkpoints[guide].released if guide else None
    if owner and not (option and settings.option(values, option)):
        found["sampling"] = [f"{folder}_{owner}/trajectories.counts.jsonl" for folder in folders]
    return found


def extra_arguments(w):
    """The words that tell score_method.py of these inputs."""
    added = extra_inputs(w)
    flags = {"trained_on": ["--inputs"], "reports": ["--reports"], "sampling": ["--sampling"]}
    flags["votes"] = ["--votes", settings.method(w.method).votes, "--vote-predictions"]
    return [
        word
        for name, files in added.items()
        for word in (*flags[name], *([files] if isinstance(files, str) else files))
    ]


@lru_cache(maxsize=None)
def jobs_behind():
    """Over the rules of the workflow; all of them are there once the first job is planned."""
    return JobsBehind(OutputIndex(workflow.rules).match_producers)


def benchmarks_behind(wildcards, input):
    """A params function: the benchmark records of all jobs that the job's inputs rest on.

    Snakemake does not compare parameters that ask for the input, so that they alone score nothing again.
    """
    return folded(jobs_behind().benchmarks(input))


def result_configuration(wildcards):
    """The part of the configuration that a method's result depends on, as JSON; other changes do not score it again."""
    trained = settings.checkpoint(wildcards.task, wildcards.model, wildcards.method)
    method = settings.method(wildcards.method)
    values = settings.for_target(wildcards.task, wildcards.model, trained, method.decoder)
    configuration = values.model_dump(mode="json")
    for name in section_classes():
        section, plain = values, configuration
        for part in name.split("."):
            section, plain = getattr(section, part), plain[part]
        for option in speed_options(section):
            del plain[option]
    behind = sections_behind(settings, wildcards.task, wildcards.model, trained, method.decoder, method.votes)
    kept = {"preset", "limits", *behind}
    own_seeds = settings.seeds_of(wildcards.task, wildcards.model, wildcards.method)
    return json.dumps({name: configuration[name] for name in sorted(kept)} | {"seeds": own_seeds}, sort_keys=True)


# The arguments of every score.
SCORE = (
    "{TASK} {MODEL} {PAPERS} {SEEDS} --method {wildcards.method} --checkpoint {params.checkpoint}"
    " --decoder {params.decoder} --split {params.split} --method-names {params.method_names:q} --gpus {params.gpus}"
    " --predictions {input.predictions} --data {input.data} --configuration {params.configuration:q}"
    " --costs {params.costs:q} --output {output}"
)

# ---------------------------------------------------------------- transfer


def source_wildcards(w):
    """The job's wildcards with the task that its checkpoint was trained on in place of the one that is answered."""
    return SimpleNamespace(**{**dict(w.items()), "task": w.source_task})


def source_prompt_examples(w):
    """The worked examples of the answered task, where the checkpoint's form has some in its prompts."""
    with_examples = settings.form(w.source_task, w.model, w.checkpoint) == "learn_to_reason"
    return {"examples": authors_examples_file(w.task)} if with_examples else {}


def transferred_predictions(w):
    """One predictions file a seed, of the source task's checkpoint on the task."""
    decoder, checkpoint = settings.method(w.method).decoder, settings.checkpoint(
        w.source_task, w.model, w.method, w.task
    )
    folder = f"results/{w.task}/{w.model}/transfer/{w.source_task}"
    return [
        f"{folder}/seed{seed}/{checkpoint}/{decoder}/test.jsonl"
        for seed in settings.seeds_of(w.source_task, w.model, w.method)
    ]


# ---------------------------------------------------------------- tables


def table_results(wildcards):
    """The results that a paper's table is made of."""
    return results_of_table(f"{wildcards.paper}_{wildcards.table}", settings)
