"""Helpers only, no rules: a wrong name in a target is explained before Snakemake looks for a rule."""

from retrace.checkpoints import kind_of
from retrace.yaml_files import closest

ELSEWHERE = {"data", "models", "dag", "report", "matrix"}  # folders of results/ that are no task's
FIGURES = ["dpo_st_rounds", "icot_accuracy_vs_speed", "learn_to_reason_TASK", "latro_TASK_MODEL"]
# Of a task and a model.
SINGLE_FILES = {"dpo_st_pass_at_k.json", "grace_beta_sweep.json", "grace_beta_sweep.svg", "icot_speed.json"}
# Of a checkpoint, beside those of its decoders.
FOLDERS_OF_CHECKPOINTS = {"model", "shards", "states", "released"}
FORMS = [
    "METHOD_acc.json",
    "MODEL/METHOD_acc.json",
    "MODEL/compare/METHOD_vs_METHOD.json",
    "MODEL/transfer/TASK/METHOD_acc.json",
    *(f"MODEL/{name}" for name in sorted(SINGLE_FILES)),
    "MODEL/seedN/CHECKPOINT/model",
    "MODEL/seedN/CHECKPOINT/DECODER/SPLIT.jsonl",
]


def targets_asked_for():
    """Result files on the command line (Snakemake reads the rules before it looks at its targets)."""
    return [word for word in sys.argv[1:] if word.startswith("results/")]


def refuse_table(name):
    if name not in TABLES:
        raise UserError(f"there is no table {name}; valid: {', '.join(TABLES)}")


def refuse_figure(name):
    if name.startswith("learn_to_reason_"):
        settings.task(name.removeprefix("learn_to_reason_"))
    elif name.startswith("latro_"):
        rest = name.removeprefix("latro_")
        # Both names may hold underscores, and one task's may begin another's.
        models = [rest.removeprefix(f"{task}_") for task in settings.tasks if rest.startswith(f"{task}_")]
        if not models:
            settings.task(rest)
        elif not set(models) & set(settings.models):
            settings.generator_model(min(models, key=len))
    elif name not in FIGURES:
        raise UserError(f"there is no figure {name}; valid: {', '.join(FIGURES)}")


def refuse_files_of_a_seed(task, model, checkpoint, file):
    """`file`: what follows the checkpoint's name, in parts."""
    trained = checkpoint.removesuffix("_discriminator").removesuffix("_verifier")
    stages = {stage for stages in STAGES_BEHIND.values() for stage in stages}
    if not kind_of(trained) and trained not in stages:
        raise UserError(f"checkpoint {trained!r} is unknown; {closest(trained, settings.checkpoints)}")
    decoder = file[0]
    if len(file) > 1 and trained == checkpoint and decoder not in FOLDERS_OF_CHECKPOINTS:
        if decoder not in settings.decoders:
            raise UserError(f"decoder {decoder!r} is unknown; {closest(decoder, settings.decoders)}")
        settings.checkpoint(task, model, f"{trained}_{decoder}")


def refuse_result(task, rest):
    """Of a task's result: `rest` is what follows its name, in parts. Raises UserError with the valid names or forms."""
    settings.task(task)
    if len(rest) == 1 and rest[0].endswith("_acc.json"):
        method = rest[0].removesuffix("_acc.json")
        settings.checkpoint(task, settings.headline_model(task, method), method)
        return
    if len(rest) > 1:
        settings.generator_model(rest[0])
    match rest:
        case [model, file] if file.endswith("_acc.json"):
            settings.checkpoint(task, model, file.removesuffix("_acc.json"))
        case [_, file] if file in SINGLE_FILES:
            pass
        case [model, "transfer", source, file] if file.endswith("_acc.json"):
            settings.task(source)
            settings.checkpoint(source, model, file.removesuffix("_acc.json"))
        case [_, "transfer", _, _, *more] if more:
            pass
        case [model, "compare", file] if "_vs_" in file:
            for method in file.removesuffix(".json").split("_vs_", 1):
                settings.checkpoint(task, model, method)
        case [model, seed, checkpoint, *file] if file and re.fullmatch(r"seed\d+", seed):
            refuse_files_of_a_seed(task, model, checkpoint, file)
        case _:
            raise UserError(f"there is no such result; those of a task are results/{task}/ and {', '.join(FORMS)}")


def explain_wrong_targets():
    """Stop with the valid names where a target's task, model, method, table or form is none."""
    for target in targets_asked_for():
        parts = Path(target).parts
        if len(parts) < 3 or parts[1] in ELSEWHERE:
            continue
        try:
            if parts[1] in ("tables", "figures"):
                (refuse_table if parts[1] == "tables" else refuse_figure)(Path(target).stem)
            else:
                refuse_result(parts[1], parts[2:])
        except UserError as error:
            raise WorkflowError(f"{target}: {error}") from None


explain_wrong_targets()
