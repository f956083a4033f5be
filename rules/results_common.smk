"""Inputs and params of results, comparisons, transfer and tables. Defines no rules."""

from snakemake.output_index import OutputIndex

from retrace.machine.file_times import digest_of_times
from retrace.machine.storage import sha256_of
from retrace.yaml_files import read_yaml
from retrace.workflow.cards import measured
from retrace.workflow.jobs_behind import JobsBehind, folded
from retrace.workflow.sections_behind import sections_behind
from retrace.workflow.paper_tables import grids as table_grids
from retrace.workflow.paper_tables import names as table_names
from retrace.workflow.paper_tables import makeable, names_in_tables, table_of
from retrace.workflow.claims import all_claims, comparisons_of_claims
from retrace.workflow.targets import Targets


def test_split(task, model, method):
    """Name of the split that a method is scored on: that of its system for testing, unless it says another."""
    return settings.scored_split(task, model, method)


def names_of_method(method):
    """What the papers call a method: as its file says; where that is not said, or of development questions, as the
    papers' tables say."""
    found = settings.method(method)
    more = names_in_tables(method, settings) if found.split == "dev" or not found.paper_names else []
    return list(dict.fromkeys([*found.paper_names, *more]))


def predictions_of(task, model, method, seeds=None):
    """Predictions of a method, one file per seed; by default all of the method's seeds."""
    trained = settings.checkpoint(task, model, method)
    decoder = settings.method(method).decoder
    split = test_split(task, model, method)
    chosen = seeds or settings.seeds_of(task, model, method)
    return [f"results/{task}/{model}/seed{seed}/{trained}/{decoder}/{split}.jsonl" for seed in chosen]


def compared_predictions(which):
    """Input function: predictions of one side of a comparison, `method_a` or `method_b`."""
    return lambda w: predictions_of(w.task, w.model, getattr(w, which), common_seeds(w))


def extra_inputs(w):
    """Input function: optional inputs of a result.

    These are the samples of the same checkpoint for maj@k, reports on checkpoint selection, counts of the sampling
    for the decoder's network, and the data of a checkpoint with its own training split.
    """
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


def accuracy_argument(grader):
    """The words that tell a program which grader decides; none for the paper's."""
    return [] if grader == "paper" else ["--accuracy", grader]


def compared_split(w):
    """Params function: the split of a comparison as words; none for the test split."""
    plain = settings.method(w.method_a).split == "test"
    return [] if plain else ["--split", test_split(w.task, w.model, w.method_a)]


def compared_grader(w):
    """Params function: the grader of both methods of a comparison, as words."""
    grader = settings.common_grader(w.method_a, w.method_b)
    return [*accuracy_argument(grader), "--model-file", shell_yaml_path("models", w.model)] if grader != "paper" else []


def extra_arguments(w):
    """Params function: `extra_inputs` as arguments of score_method.py."""
    added = extra_inputs(w)
    accuracy = accuracy_argument(settings.method(w.method).accuracy)
    flags = {"trained_on": ["--inputs"], "reports": ["--reports"], "sampling": ["--sampling"]}
    flags["votes"] = ["--votes", settings.method(w.method).votes, "--vote-predictions"]
    return accuracy + [
        shlex.quote(word)  # the name of a report is free text
        for name, files in added.items()
        for word in (*flags[name], *([files] if isinstance(files, str) else files))
    ]


@lru_cache(maxsize=None)
def jobs_behind():
    """Search over the rules of the workflow. Call it only while planning, when all rules are known."""
    return JobsBehind(OutputIndex(workflow.rules).match_producers)


def benchmarks_behind(wildcards, input):
    """Params function: benchmark files of all jobs upstream of the job's inputs.

    Snakemake does not compare params that depend on the input, so that a change here alone reruns nothing.
    """
    return folded(jobs_behind().benchmarks(input))


def result_configuration(wildcards, target=None):
    """The part of the configuration that a method's result depends on, as JSON; other changes do not rescore it.

    target: The task whose questions are answered, if it is another one.
    """
    trained = settings.checkpoint(wildcards.task, wildcards.model, wildcards.method, target)
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


# Arguments of every call of score_method.py.
SCORE = (
    "{TASK} {MODEL} {PAPERS} {SEEDS} --method {wildcards.method} --checkpoint {params.checkpoint}"
    " --decoder {params.decoder} --split {params.split} --method-names {params.method_names:q} --gpus {params.gpus}"
    " --predictions {input.predictions} --data {input.data} --configuration {params.configuration:q}"
    " --costs {params.costs:q} --output {output}"
)

# ---------------------------------------------------------------- model cards


def measured_by_card(w):
    """What the model card of the job's checkpoint measures."""
    try:
        return measured(settings, w.task, w.model, w.checkpoint)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def card_folder(w):
    """Input function: folder of the weights that the card is of, the network itself if it guides a generator."""
    named = settings.checkpoints.parse(w.checkpoint)
    if named and named.generator:
        return guide_folder(w, named.generator, named.kind.name)
    return checkpoint_folder(w, measured_by_card(w).checkpoint)


def card_predictions(w):
    """Input function: predictions of the card's decoders, one file each."""
    found = measured_by_card(w)
    return [f"{run_folder(w)}/{found.checkpoint}/{decoder}/{found.split}.jsonl" for decoder in found.decoders]


# ---------------------------------------------------------------- transfer


def source_wildcards(w):
    """The job's wildcards, with the task that its checkpoint was trained on as the task."""
    return SimpleNamespace(**{**dict(w.items()), "task": w.source_task})


def source_prompt_examples(w):
    """Input function: worked examples of the target task, if the prompts of the checkpoint's form have any."""
    with_examples = settings.form(w.source_task, w.model, w.checkpoint) == "learn_to_reason"
    return {"examples": authors_examples_file(w.task)} if with_examples else {}


def transferred_predictions(w):
    """Input function: predictions of the source task's checkpoint on the target task, one file per seed."""
    decoder, checkpoint = settings.method(w.method).decoder, settings.checkpoint(
        w.source_task, w.model, w.method, w.task
    )
    folder = f"results/{w.task}/{w.model}/transfer/{w.source_task}"
    return [
        f"{folder}/seed{seed}/{checkpoint}/{decoder}/test.jsonl"
        for seed in settings.seeds_of(w.source_task, w.model, w.method)
    ]


# ---------------------------------------------------------------- tables


def asked_for():
    """Results that this run makes anyway, the headline model's by their own names: tables wait for them."""
    named = [rule for word in requested_targets() for rule in workflow.rules if rule.name == word]
    targets = requested_files() + [str(file) for rule in named for file in rule.expand_input({})[0]]
    found = set()
    for target in targets if requested_targets() else default_targets(settings):
        _, task, *rest = target.split("/")
        if len(rest) == 1 and rest[0].endswith("_acc.json"):
            model = settings.headline_model(task, rest[0].removesuffix("_acc.json"))
            target = f"results/{task}/{model}/{rest[0]}"
        found.add(target)
    return found


def results_in_table(name):
    """All files that a table's cells can be read from, those of the paper's models and of the preset's."""
    return list(dict.fromkeys(file for grid in table_grids(name, settings) for file in grid.files()))


def table_inputs(w):
    """Input function: with tables=run all results in a table; otherwise those that are made in this run anyway.

    What is there is read without being declared, so that a table never makes work of its own.
    """
    try:
        if settings.values.tables == "run":
            return Targets(settings).results_of_table(w.table)
        return [file for file in results_in_table(w.table) if file in asked_for()]
    except UserError as error:
        raise WorkflowError(str(error)) from None


def table_state(w):
    """Params function: which results are there, and their contents; a change makes the table again."""
    return digest_of_files(results_in_table(w.table))


def digest_of_files(files):
    """Checksum of the files that are there, by their names."""
    there = [file for file in files if Path(file).is_file()]
    return definitions.digest({file: sha256_of(file) for file in there})


def table_digest(w):
    """Params function: digest of what config/papers says of a table and its paper, and of the preset's own cells."""
    table = table_of(w.table, settings)
    paper = read_yaml(CONFIG / "papers" / f"{table.paper}.yaml")
    files = results_in_table(w.table)
    return definitions.digest({"table": table.model_dump(mode="json"), "paper": paper, "files": files})


def claim_inputs(wildcards):
    """Input function: with tables=run all comparisons that decide claims; otherwise those that are made in this run."""
    files = comparisons_of_claims(settings)
    if settings.values.tables == "run":
        return makeable(files, Targets(settings).check)
    return [file for file in files if file in asked_for()]


def claims_digest(wildcards):
    """Params function: digest of what config/papers says of claims, and of the preset's own comparisons."""
    claims = [[paper, claim.model_dump()] for paper, claim in all_claims(settings)]
    return definitions.digest([*claims, comparisons_of_claims(settings)])


def claim_state(wildcards):
    """Params function: which comparisons are there, and their contents."""
    return digest_of_files(comparisons_of_claims(settings))


def table_configuration(wildcards, threads):
    """Params function: the user's configuration as JSON, without what says how a run goes about it.

    With the threads as a parameter it is not compared (see `speed`): what a table shows follows from the other params.
    """
    return json.dumps({name: value for name, value in config.items() if name != "tables"}, sort_keys=True)


# ---------------------------------------------------------------- report


def shown_files(wildcards):
    """Input function: the other targets of this run, so that the report is made last; none if it is the only target."""
    if command_line() is None:
        return []
    by_default = not requested_targets() or "all" in requested_targets()
    files = dict.fromkeys(requested_files() + (default_targets(settings) if by_default else []))
    return [file for file in files if file != REPORT] if REPORT in files else []


def results_digest(wildcards):
    """Params function: a digest of what is in results/, for a report that is the only target; see `shown_files`."""
    if shown_files(wildcards):
        return ""
    return digest_of_times("results", leave_out=[REPORT, "results/data", "results/models"])
