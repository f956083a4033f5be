"""Helpers of LaTRO: start model, curves, and memory of its trainings. Defines no rules."""


def latro_start_folder(wildcards):
    """Model folder that LaTRO starts from: the one that the model's other methods decode."""
    try:
        settings.checkpoint(wildcards.task, wildcards.model, f"{wildcards.checkpoint}_greedy")
    except UserError as error:
        raise WorkflowError(str(error)) from None
    return start_folder(wildcards)


def latro_curves(wildcards):
    """Input function: training curves, one file per seed."""
    folder = f"results/{wildcards.task}/{wildcards.model}"
    return [f"{folder}/seed{seed}/latro/curves.jsonl" for seed in system_seeds("latro")(wildcards)]


def validation_questions(wildcards):
    """Questions for checkpoint selection: the development split, or the paper's choice if configured."""
    return data_file(wildcards.task, values_of(wildcards).latro.choose_on)


def memory_to_train_latro(wildcards, attempt):
    """Memory of a LaTRO training: that of any training, plus the reference model in its own data type.

    Adapters need no reference model. Only ZeRO-3 shards it; otherwise each process loads its own copy.
    """
    values = values_of(wildcards)
    needed, placement = memory_to_train("latro")(wildcards, attempt), values.launch.of("latro")
    if values.latro.lora_rank or not values.latro.kl_coef:
        return needed
    processes = max(1, to_train("latro")["gpus"](wildcards) or placement.processes)
    readers = 1 if placement.strategy.startswith("zero3") else processes
    size = 1 if settings.model(wildcards.model).dtype == "float32" else 0.5
    return needed + int(copies_of(settings.model(wildcards.model), readers * size))
