"""Helpers of DPO-ST only, no rules: rounds that chain by files, and what each of them reads."""

LOOPS = ["dpo_st", "st"]  # self-training with a DPO step in every round, and without


def sampled_checkpoint(w):
    """Whose solutions lead to a checkpoint: to a DPO model those of the round before, to a round those of its DPO model;
    in plain self-training there is no DPO model."""
    made, number = w.sampled, round_of(w.sampled)
    if made.startswith("dpo_round"):
        return round_before(w, "dpo_st", number)
    return f"dpo_round{number}" if made.startswith("dpo_st_round") else round_before(w, "st", number)


def the_sampled_model(w):
    return checkpoint_folder(w, sampled_checkpoint(w))


def options_of_dpo_st(w):
    return settings.for_target(w.task, w.model).dpo_st


def sampling_options(w):
    """The words for sampling a round; new random numbers in every round."""
    first = (round_of(w.sampled) - 1) * section_of(w, sampling_section(w)).samples
    return [*options(sampling_section(w))(w), "--first-sample", str(first)]


def sampling_section(w):
    """What leads to pairs, or to pseudo-labels."""
    return "dpo_st.pair_samples" if w.sampled.startswith("dpo_round") else "dpo_st.label_samples"


def speed_of_sampling(wildcards, threads):
    return speed(sampling_section(wildcards))(wildcards, threads)


def dpo_st_form(w):
    form = options_of_dpo_st(w).form
    return "" if form == "steps" else f"--form {form}"


def labelled(w):
    return options_of_dpo_st(w).labelled


def sampled_questions(w):
    """The words that say of how many training questions solutions are drawn; none for all."""
    most = options_of_dpo_st(w).max_questions
    return f"--max-questions {most}" if most >= 0 else ""


def dpo_st_split(split):
    """An input function: the split that DPO-ST reads."""
    return lambda w: data_of(w.task, settings.split(w.task, w.model, "dpo_st_round0", split))


def samples_so_far(folder):
    """An input function: the samples of all rounds up to the job's, oldest first; `folder` names one round's."""
    return lambda w: [
        f"{run_folder(w)}/{folder.format(loop=getattr(w, 'loop', ''), round=number)}/trajectories.jsonl"
        for number in range(1, int(w.round) + 1)
    ]


def the_warm_up(w):
    return checkpoint_folder(w, "dpo_st_round0")


def where_a_round_starts(w):
    """The base model, or where the configuration continues, the round before."""
    start = options_of_dpo_st(w).sft.start
    return checkpoint_folder(w, round_before(w, w.loop, w.round) if start == "previous" else "base")


def trainings_up_to(w):
    """Reports of all trainings of rounds 1 to the job's, DPO and SFT."""
    return [
        f"{run_folder(w)}/{made}/training.json"
        for number in range(1, int(w.round) + 1)
        for made in (f"dpo_round{number}", f"dpo_st_round{number}")
    ]


def controls(w, number):
    """The controls of a round: more steps on the labelled data, and, where some was held back, more labelled data."""
    extra = options_of_dpo_st(w).labelled >= 0
    return [f"sft_continued_round{number}", *([f"sft_extra_round{number}"] if extra else [])]


def figure_of_rounds():
    """Task and model of the figure: the paper's headline, or the generated task where the preset is a small one."""
    model = settings.values.headline_models["default"]
    task = "gsm8k" if settings.model(model).scratch is None else "arithmetic"
    return task, settings.headline_model(task)


def methods_of_figure(w):
    """The methods that the figure shows: both self-trainings over the rounds, and the last round's controls."""
    task, model = figure_of_rounds()
    rounds = settings.for_target(task, model).dpo_st.rounds
    target = SimpleNamespace(task=task, model=model)
    return [
        *[f"dpo_st_round{number}" for number in range(rounds + 1)],
        *[f"st_round{number}" for number in range(1, rounds + 1)],
        *controls(target, rounds),
    ]


def results_of_figure(w):
    task, model = figure_of_rounds()
    return [f"results/{task}/{model}/{method}_acc.json" for method in methods_of_figure(w)]


def around_dpo(w):
    """The models before and after the DPO step of each round."""
    rounds = options_of_dpo_st(w).rounds
    return [name for number in range(1, rounds + 1) for name in (f"dpo_st_round{number - 1}", f"dpo_round{number}")]


def predictions_around_dpo(decoder):
    """An input function: development predictions of `around_dpo`, model by model, seed by seed."""
    return lambda w: [
        f"results/{w.task}/{w.model}/seed{seed}/{made}/{decoder}/{settings.split(w.task, w.model, made, 'dev')}.jsonl"
        for made in around_dpo(w)
        for seed in settings.seeds(w.task, w.model, "dpo_st")
    ]


def source_of(w):
    """The job's wildcards with the task that its checkpoint was trained on in place of the one that is answered."""
    return SimpleNamespace(**{**dict(w.items()), "task": w.source_task})


def examples_for_the_source(w):
    """The worked examples of the answered task, where the checkpoint's form has some in its prompts."""
    with_examples = settings.form(w.source_task, w.model, w.checkpoint) == "learn_to_reason"
    return {"examples": examples_of_the_authors(w.task)} if with_examples else {}


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
