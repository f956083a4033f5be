"""Helpers of implicit chain of thought. Defines no rules."""

# Arguments of both trainings that read the teacher's states.
FROM_STATES = (
    "--model {input.model} --teacher {input.teacher} {params.states} --train {input.train} --dev {input.dev}"
    " --output {output} {params.of_states}"
)


def uses_released_pair(wildcards):
    """Whether the authors' released student and emulator are used instead of trained ones."""
    options = values_of(wildcards).icot
    return options.released_student is not None


def cached_states(wildcards):
    """Input function: the cached states of the teacher, if the configuration caches them."""
    cached = values_of(wildcards).icot_states.cached
    return {"states": f"{run_folder(wildcards)}/{part_of(wildcards, 'explicit_cot')}/states"} if cached else {}


def icot_inputs(wildcards):
    """Input function of the coupled checkpoint: student, emulator and data, or a released pair and its base model."""
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
    """Input function: checkpoints whose speed is measured; with a released pair, nothing is trained just for timing."""
    ways = ["icot"] if uses_released_pair(wildcards) else ICOT_WAYS
    first = system_seeds("icot")(wildcards)[0]
    folder = f"results/{wildcards.task}/{wildcards.model}/seed{first}"
    return {way: f"{folder}/{way}/model" for way in ways}


def inputs_as_options(inputs):
    """Params function: `--NAME PATH` for each input of an input function, except those that are options already."""
    return lambda wildcards: " ".join(
        f"--{name.replace('_', '-')} {path}" for name, path in inputs(wildcards).items() if name not in RELEASED
    )


def row_length_options(wildcards):
    """Params function: the row length limits of the trainings that read the cache, as arguments of cache_states.py."""
    options = values_of(wildcards).icot_student
    return f"--max-length {options.max_length}" + (" --leave-out-long" if options.leave_out_long else "")


RELEASED = ["released_student", "released_emulator"]  # options of section icot whose values are folders
ICOT_WAYS = ["no_cot", "explicit_cot", "icot"]
ICOT_CONTROLS = ["no_cot_deep", "no_cot_from_teacher", "icot_undistilled"]


def icot_targets():
    """All results of implicit chain of thought for the preset's tasks, with controls for models trained from scratch."""
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
    """Inputs of the figure of accuracy against speed."""
    folders = [f"results/{task}/{settings.headline_model(task, 'icot')}" for task in settings.values.figures.icot_tasks]
    return {
        "results": [f"{folder}/{method}_acc.json" for folder in folders for method in ICOT_WAYS],
        "speeds": [f"{folder}/icot_speed.json" for folder in folders],
    }
