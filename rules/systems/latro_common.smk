"""Helpers only, no rules: what LaTRO's trainings start from, and what they add to a result."""


def the_start(wildcards):
    """The model that LaTRO starts from: what the model's other methods decode from."""
    try:
        settings.checkpoint(wildcards.task, wildcards.model, "latro")
    except UserError as error:
        raise WorkflowError(str(error)) from None
    return checkpoint_folder(wildcards, settings.generator(wildcards.task, wildcards.model))


def curves_of_latro(wildcards):
    """One file a seed."""
    folder = f"results/{wildcards.task}/{wildcards.model}"
    return [f"{folder}/seed{seed}/latro/curves.jsonl" for seed in seeds_of_system("latro")(wildcards)]


def the_compared_questions(wildcards):
    """The questions on which checkpoints are compared: the development split, or the paper's choice if asked for."""
    return data_of(wildcards.task, settings.for_target(wildcards.task, wildcards.model).latro.choose_on)


def what_latro_adds_to_a_result(wildcards):
    """Samples of the same checkpoint for maj@k, and the reports on how checkpoints were chosen."""
    method, found = settings.method(wildcards.method), {}
    trained = settings.checkpoint(wildcards.task, wildcards.model, wildcards.method)
    results = f"results/{wildcards.task}/{wildcards.model}"
    folders = [f"{results}/seed{seed}/{trained}" for seed in seeds_of_the_method(wildcards)]
    if method.votes:
        split = test_split(wildcards.task, wildcards.model, wildcards.method)
        found["votes"] = [f"{folder}/{method.votes}/{split}.jsonl" for folder in folders]
    if trained == "latro":
        found["reports"] = [f"{folder}/report.json" for folder in folders]
    return found


def latro_score_arguments(wildcards):
    added, words = what_latro_adds_to_a_result(wildcards), []
    if "votes" in added:
        words += ["--votes", settings.method(wildcards.method).votes, "--vote-predictions", *added["votes"]]
    if "reports" in added:
        words += ["--reports", *added["reports"]]
    return words


def memory_to_train_latro(wildcards, attempt):
    """As for other trainings, and the reference model in its own type; adapters need none. Only ZeRO-3 divides it: else
    each process reads its own."""
    values = settings.for_target(wildcards.task, wildcards.model)
    needed, placement = memory_to_train("latro")(wildcards, attempt), values.launch.of("latro")
    if values.latro.lora_rank or not values.latro.kl_coef:
        return needed
    processes = max(1, to_train("latro")["gpus"](wildcards) or placement.processes)
    readers = 1 if placement.strategy.startswith("zero3") else processes
    size = 1 if settings.model(wildcards.model).dtype == "float32" else 0.5
    return needed + int(copies_of(settings.model(wildcards.model), readers * size))
