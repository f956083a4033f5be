"""Helpers only, no rules: implicit chain of thought."""

from retrace.systems.icot.options import STAGES_BEHIND


def icot_data(split):
    """An input function: the examples that implicit chain of thought reads as its train or dev split."""

    def data(wildcards):
        try:
            return data_of(wildcards.task, settings.split(wildcards.task, wildcards.model, "icot", split))
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return data


def what_it_was_trained_on(wildcards):
    """The training data of a checkpoint of implicit chain of thought, to be recorded in its results."""
    trained = settings.checkpoint(wildcards.task, wildcards.model, wildcards.method)
    if trained not in STAGES_BEHIND or (trained == "icot" and takes_released(wildcards)):
        return {}
    return {"trained_on": icot_data("train")(wildcards)}


def takes_released(wildcards):
    """Whether the authors' student and emulator are used, and none is trained."""
    options = settings.for_target(wildcards.task, wildcards.model).icot
    return options.released_student is not None


def the_teacher(wildcards):
    return checkpoint_folder(wildcards, "explicit_cot")


def the_states(wildcards):
    """The cached states of the teacher, where they are cached."""
    cached = settings.for_target(wildcards.task, wildcards.model).icot_states.cached
    return {"states": f"{run_folder(wildcards)}/explicit_cot/states"} if cached else {}


def what_icot_is_made_from(wildcards):
    """Inputs of the coupled checkpoint: student, emulator and data, or a released pair and the base model of both."""
    if takes_released(wildcards):
        options = settings.for_target(wildcards.task, wildcards.model).icot
        released = {name: getattr(options, name) for name in RELEASED}
        return {"model": the_base_model(wildcards), **released}
    return {
        "student": checkpoint_folder(wildcards, "icot_student"),
        "emulator": checkpoint_folder(wildcards, "icot_emulator"),
        "train": icot_data("train")(wildcards),
        "dev": icot_data("dev")(wildcards),
    }


def what_is_timed(wildcards):
    """The checkpoints whose speed is measured; beside a released pair nothing is trained only to be timed."""
    ways = ["icot"] if takes_released(wildcards) else ICOT_WAYS
    first = seeds_of_system("icot")(wildcards)[0]
    folder = f"results/{wildcards.task}/{wildcards.model}/seed{first}"
    return {way: f"{folder}/{way}/model" for way in ways}


def each_as_option(inputs):
    """A params function: `--NAME FILE` for each input that an input function names, but for those that are options."""
    return lambda wildcards: " ".join(
        f"--{name.replace('_', '-')} {path}" for name, path in inputs(wildcards).items() if name not in RELEASED
    )


def longest_row(wildcards):
    """The words that tell cache_states.py which rows are too long: as the trainings that read the cache see it."""
    options = settings.for_target(wildcards.task, wildcards.model).icot_student
    return f"--max-length {options.max_length}" + (" --leave-out-long" if options.leave_out_long else "")


RELEASED = ["released_student", "released_emulator"]  # options of the section icot that name folders
ICOT_WAYS = ["no_cot", "explicit_cot", "icot"]
ICOT_CONTROLS = ["no_cot_deep", "no_cot_from_teacher"]


def icot_targets():
    """All results of implicit chain of thought for the tasks of the preset, with controls beside models from scratch."""
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
