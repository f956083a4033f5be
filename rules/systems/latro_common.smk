"""Helpers only, no rules: what LaTRO's trainings start from, and what they add to a result."""


def latro_start_folder(wildcards):
    """The model that LaTRO starts from: what the model's other methods decode from."""
    try:
        settings.checkpoint(wildcards.task, wildcards.model, f"{wildcards.checkpoint}_greedy")
    except UserError as error:
        raise WorkflowError(str(error)) from None
    return start_folder(wildcards)


def latro_curves(wildcards):
    """One file a seed."""
    folder = f"results/{wildcards.task}/{wildcards.model}"
    return [f"{folder}/seed{seed}/latro/curves.jsonl" for seed in system_seeds("latro")(wildcards)]


def validation_questions(wildcards):
    """The questions on which checkpoints are compared: the development split, or the paper's choice if asked for."""
    return data_file(wildcards.task, values_of(wildcards).latro.choose_on)


def memory_to_train_latro(wildcards, attempt):
    """As for other trainings, and the reference model in its own type; adapters need none. Only ZeRO-3 divides it: else
    each process reads its own."""
    values = values_of(wildcards)
    needed, placement = memory_to_train("latro")(wildcards, attempt), values.launch.of("latro")
    if values.latro.lora_rank or not values.latro.kl_coef:
        return needed
    processes = max(1, to_train("latro")["gpus"](wildcards) or placement.processes)
    readers = 1 if placement.strategy.startswith("zero3") else processes
    size = 1 if settings.model(wildcards.model).dtype == "float32" else 0.5
    return needed + int(copies_of(settings.model(wildcards.model), readers * size))
