"""Helpers of DPO-ST: which files each round reads, and the figure over the rounds. Defines no rules."""

# Arguments of all fine-tunings, and of the scripts that process samples.
TRAIN_ROUND = (
    "train_round {MODEL} {params.form} --model {input.model} --train {input.train} --dev {input.dev}"
    " --output {output.model} --report {output.report}"
)
FROM_SAMPLES = (
    "{TASK} {MODEL} {params.form} --tokenizer {input.tokenizer} --data {input.data} --labelled {params.labelled}"
    " {params.questions} --trajectories {input.trajectories} --report {output.report} {params.options}"
)


def main_loop(w):
    """The self-training loop that the job's loop belongs to (`dpo_st` for `dpo`)."""
    return settings.checkpoints.main_loop(w.loop)


def step_of(w):
    """The loop of DPO models between the rounds of the job's self-training; None in plain self-training."""
    return settings.checkpoints.step_of(main_loop(w))


def sampled_model(w):
    """Model folder that solutions are sampled from.

    A DPO step samples from the previous round, a fine-tuning from its round's DPO model. In plain self-training,
    which has no DPO model, both sample from the previous round.
    """
    step = step_of(w)
    if step is None or w.loop == step:
        return checkpoint_folder(w, previous_round(w, main_loop(w), w.round))
    return checkpoint_folder(w, f"{step}_round{w.round}")


def dpo_st_options(w):
    """Section `dpo_st` of the job's configuration."""
    return values_of(w).dpo_st


def sampling_options(w):
    """Params function: sampling arguments of a round; every round gets new random numbers."""
    first = (int(w.round) - 1) * section_of(w, sampling_section(w)).samples
    return [*options(sampling_section(w))(w), "--first-sample", str(first)]


def sampling_section(w):
    """Name of the sampling section: for preference pairs or for pseudo-labels."""
    return "dpo_st.pair_samples" if w.loop == step_of(w) else "dpo_st.label_samples"


def sampling_speed(wildcards, threads):
    """Params function: arguments of a round's sampling that only change speed."""
    return speed(sampling_section(wildcards))(wildcards, threads)


def dpo_st_form(w):
    """Params function: the `--form` argument; empty for the default form."""
    form = dpo_st_options(w).form
    return "" if form == "steps" else f"--form {form}"


def labeled_count(w):
    """Params function: how many questions have known references; -1 for all."""
    return dpo_st_options(w).labelled


def sampled_questions(w):
    """The `--max-questions` argument of sampling; empty for all training questions."""
    most = dpo_st_options(w).max_questions
    return f"--max-questions {most}" if most >= 0 else ""


def samples_so_far(w):
    """Input function: samples of all rounds up to the job's, oldest first."""
    return [f"{run_folder(w)}/{w.loop}_round{number}/trajectories.jsonl" for number in range(1, int(w.round) + 1)]


def warm_up_folder(w):
    """Model folder of the warm-up (round 0)."""
    return checkpoint_folder(w, f"{main_loop(w)}_round0")


def previous_round_folder(w):
    """Model folder of the previous round."""
    return checkpoint_folder(w, previous_round(w, main_loop(w), w.round))


def round_start_folder(w):
    """Model folder that a round's fine-tuning starts from: the base model, or the previous round if so configured."""
    return previous_round_folder(w) if dpo_st_options(w).sft.start == "previous" else checkpoint_folder(w, "base")


def training_reports(w):
    """Input function: reports of all trainings, DPO and SFT, from round 1 up to the job's."""
    return [
        f"{run_folder(w)}/{made}_round{number}/training.json"
        for number in range(1, int(w.round) + 1)
        for made in (step_of(w), main_loop(w))
    ]


def controls(w, number):
    """Controls of a round: more steps on the labeled data and, if some was held back, more labeled data."""
    extra = values_of(w).dpo_st.labelled >= 0
    return [f"sft_continued_round{number}", *([f"sft_extra_round{number}"] if extra else [])]


def rounds_figure_target():
    """Task and model of the figure: the paper's headline, or the generated task for presets with a small model."""
    model = settings.values.headline_models["default"]
    task = "gsm8k" if settings.model(model).scratch is None else "arithmetic"
    return task, settings.headline_model(task)


def figure_methods(w):
    """Methods in the figure: both self-trainings over the rounds, and the last round's controls."""
    task, model = rounds_figure_target()
    rounds = settings.for_target(task, model).dpo_st.rounds
    target = SimpleNamespace(task=task, model=model)
    return [
        *[f"dpo_st_round{number}" for number in range(rounds + 1)],
        *[f"st_round{number}" for number in range(1, rounds + 1)],
        *controls(target, rounds),
    ]


def figure_results(w):
    """Input function: results of `figure_methods`."""
    task, model = rounds_figure_target()
    return [f"results/{task}/{model}/{method}_acc.json" for method in figure_methods(w)]


def models_around_dpo(w):
    """Names of the models before and after the DPO step of each round."""
    rounds = values_of(w).dpo_st.rounds
    return [name for number in range(1, rounds + 1) for name in (f"dpo_st_round{number - 1}", f"dpo_round{number}")]


def predictions_around_dpo(decoder):
    """Input function: development predictions of `models_around_dpo`, ordered by model, then seed."""
    return lambda w: [
        f"results/{w.task}/{w.model}/seed{seed}/{made}/{decoder}/{settings.split(w.task, w.model, made, 'dev')}.jsonl"
        for made in models_around_dpo(w)
        for seed in settings.seeds(w.task, w.model, "dpo_st")
    ]


def speed_folder(w, name):
    """Folder of the warm-up's first seed, whose speed is measured."""
    return f"results/{w.task}/{w.model}/seed{system_seeds('dpo_st')(w)[0]}/dpo_st_round0/{name}"
