"""Helpers of Learn-to-Reason only, no rules: rounds that chain by files, who takes which exam, and whom a round asks."""

from retrace.workflow.names import SINGLE
from retrace.systems.learn_to_reason.options import VARIANTS

# What each variant does otherwise: words for ask_teacher.py and for train_learn_to_reason.py.
ASKED_OTHERWISE = {"learn_to_reason_no_feedback": ["--blind"]}
TRAINED_OTHERWISE = {"learn_to_reason_no_reflection": "--ratio 0"}
ANY_VARIANT = one_of(VARIANTS)
# A round has this folder; round 0 is the generator, which no rule here makes.
ROUND = r"[1-9]\d*"


def the_student(w):
    """The folder of the student that a round starts from."""
    return checkpoint_folder(w, round_before(w, w.variant, w.round))


def the_trained_round(w):
    """The checkpoint that a round makes."""
    return f"{w.variant}_round{w.round}"


def form_of_the_round(w):
    """The words that tell a script in which form the round's student writes, where it is not usual."""
    return words_of_form(settings.form(w.task, w.model, the_trained_round(w)), w.task)


def released_for(files, number):
    """The released file of a round, if the configuration names one."""
    return files[int(number) - 1] if int(number) <= len(files) else None


def the_marks(w):
    """The marked answers of a round's student: those of its exam, or released mistakes."""
    if released_for(settings.for_target(w.task, w.model).feedback.released_mistakes, w.round):
        return f"{run_folder(w)}/{w.variant}_round{w.round}/released_marks.jsonl"
    return f"{run_folder(w)}/{round_before(w, w.variant, w.round)}/exam/marks.jsonl"


def the_released_mistakes(w):
    return released_for(settings.for_target(w.task, w.model).feedback.released_mistakes, w.round) or []


def as_many_as(w):
    """The control asks for as many random questions as the round of the method itself asked for missed ones."""
    if w.variant != "learn_to_reason_random":
        return {}
    return {"like": f"{run_folder(w)}/learn_to_reason_round{w.round}/rationales.jsonl"}


def the_released_rationales(w):
    released = released_for(settings.for_target(w.task, w.model).feedback.released_rationales, w.round)
    return {"released": released} if released else {}


def the_local_teacher(w):
    """The folder of the teacher, where it is a model of ours."""
    teacher = settings.for_target(w.task, w.model).teacher
    if teacher.kind != "local" or "released" in the_released_rationales(w):
        return {}
    settings.generator_model(teacher.model)
    return {"local": pinned(teacher.model)}


def what_the_teacher_is_asked(w):
    """Words on the teacher and the feedback that decide what is written; the template counts with its text."""
    configuration = settings.for_target(w.task, w.model)
    teacher, feedback = configuration.teacher, configuration.feedback
    words = arguments_of(feedback, set(type(feedback).model_fields) - {"released_rationales", "released_mistakes"})
    words += arguments_of(teacher, set(type(teacher).model_fields) - speed_options(teacher))
    words += [*ASKED_OTHERWISE.get(w.variant, []), "--samples", str(configuration.exam.samples)]
    return shlex.join(words)


def local_teacher_words(w):
    """The words that name a local teacher's folder and YAML."""
    if "local" not in the_local_teacher(w):
        return ""
    name = settings.for_target(w.task, w.model).teacher.model
    return f"--local-folder {pinned(name)} --local-file $RETRACE_CONFIG/models/{name}.yaml"


def prices_of_the_teacher(w):
    """A price is worth computing again where the prices changed."""
    teacher = settings.for_target(w.task, w.model).teacher
    return [teacher.input_price, teacher.output_price]


def memory_of_the_teacher(w, attempt):
    """A local teacher is as large as its model; any other one needs little."""
    teacher = settings.for_target(w.task, w.model).teacher
    needed = gigabytes(SimpleNamespace(model=teacher.model), copies=2) if teacher.kind == "local" else 4000
    return memory_of(needed, teacher_needs_gpu(w), attempt)


def what_the_template_says(w):
    """Changes with the text of the prompts."""
    name = settings.for_target(w.task, w.model).feedback.template
    path = CONFIG / "prompts" / f"{name}.yaml"
    return digest(path.read_text(encoding="utf-8")) if path.exists() else "missing"


def the_template(w):
    return settings.for_target(w.task, w.model).feedback.template


def teacher_needs_gpu(w):
    """A local teacher sits on a GPU like any other model of the Hub."""
    teacher = settings.for_target(w.task, w.model).teacher
    return gpus_of(SimpleNamespace(model=teacher.model), -1) if teacher.kind == "local" else 0


def rationales_to_learn(w):
    """The rationales of the round, and of those before it where they accumulate."""
    all_of_them = settings.for_target(w.task, w.model).learn_to_reason.accumulate
    first = 1 if all_of_them else int(w.round)
    return [f"{run_folder(w)}/{w.variant}_round{number}/rationales.jsonl" for number in range(first, int(w.round) + 1)]


def split_to_choose_on(w):
    """The development split; the test split only where the configuration names the authors' choice."""
    as_the_authors = settings.for_target(w.task, w.model).learn_to_reason.validation_is_test
    return data_of(w.task, "test" if as_the_authors else "dev")


def trained_otherwise(w):
    """What the variant's training does otherwise."""
    if w.variant == SINGLE:
        return f"--repeat {settings.for_target(w.task, w.model).rounds.learn_to_reason}"
    return TRAINED_OTHERWISE.get(w.variant, "")


def results_of_learning(w):
    """The results that the figure shows: every variant, round by round, and the student before the first one."""
    model = settings.headline_model(w.task, "learn_to_reason")
    names = [
        f"{variant}_round{number}"
        for variant in VARIANTS
        for number in range(1, settings.rounds(w.task, model, variant) + 1)
    ]
    return [f"results/{w.task}/{model}/{name}_acc.json" for name in ["learn_to_reason_round0", *names]]
