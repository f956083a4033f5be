"""Helpers only, no rules: implicit chain of thought."""

# The arguments of both trainings that read the teacher's states.
FROM_STATES = (
    "--model {input.model} --teacher {input.teacher} {params.states} --train {input.train} --dev {input.dev}"
    " --output {output} {params.of_states}"
)


def uses_released_pair(wildcards):
    """Whether the authors' student and emulator are used, and none is trained."""
    options = values_of(wildcards).icot
    return options.released_student is not None


def cached_states(wildcards):
    """The cached states of the teacher, where they are cached."""
    cached = values_of(wildcards).icot_states.cached
    return {"states": f"{run_folder(wildcards)}/{part_of(wildcards, 'explicit_cot')}/states"} if cached else {}


def icot_inputs(wildcards):
    """Inputs of the coupled checkpoint: student, emulator and data, or a released pair and the base model of both."""
    if uses_released_pair(wildcards):
        released = {name: getattr(values_of(wildcards).icot, name) for name in RELEASED}
        return {"model": base_model_folder(wildcards), **released}
    return {
        "student": part_folder("icot_student")(wildcards),
        "emulator": part_folder("icot_emulator")(wildcards),
        "train": split_for("train")(wildcards),
        "dev": split_for("dev")(wildcards),
    }


def timed_checkpoints(wildcards):
    """The checkpoints whose speed is measured; beside a released pair nothing is trained only to be timed."""
    ways = ["icot"] if uses_released_pair(wildcards) else ICOT_WAYS
    first = system_seeds("icot")(wildcards)[0]
    folder = f"results/{wildcards.task}/{wildcards.model}/seed{first}"
    return {way: f"{folder}/{way}/model" for way in ways}


def inputs_as_options(inputs):
    """A params function: `--NAME FILE` for each input that an input function names, but for those that are options."""
    return lambda wildcards: " ".join(
        f"--{name.replace('_', '-')} {path}" for name, path in inputs(wildcards).items() if name not in RELEASED
    )


def row_length_options(wildcards):
    """The words that tell cache_states.py which rows are too long: as the trainings that read the cache see it."""
    options = values_of(wildcards).icot_student
    return f"--max-length {options.max_length}" + (" --leave-out-long" if options.leave_out_long else "")


RELEASED = ["released_student", "released_emulator"]  # options of the section icot that name folders
ICOT_WAYS = ["no_cot", "explicit_cot", "icot"]
ICOT_CONTROLS = ["no_cot_deep", "no_cot_from_teacher"]


def icot_targets():
    """All results of implicit chain of thought for the preset's tasks, with controls beside models from scratch."""
    targets = []
    for task in settings.values.figures.icot_tasks:
        model = settings.headline_model(task, "icot")
        rivals = ["no_cot", *(ICOT_CONTROLS if settings.model(model).scratch is not None else [])]
        methods = [*ICOT_WAYS, *rivals[1:]]
        targets += [f"results/{task}/{model}/{method}_acc.json" for method in methods]
        targets += [f"results/{task}/{model}/compare/icot_vs_{rival}.json" for rival in rivals]
        targets.append(f"results/{task}/{model}/icot_speed.json")
    return [*targets, "results/figures/icot_accuracy_vs_speed.svg"]


def accuracies_and_speeds():
    """What the figure of accuracy against speed is drawn from."""
    folders = [f"results/{task}/{settings.headline_model(task, 'icot')}" for task in settings.values.figures.icot_tasks]
    return {
        "results": [f"{folder}/{method}_acc.json" for folder in folders for method in ICOT_WAYS],
        "speeds": [f"{folder}/icot_speed.json" for folder in folders],
    }
