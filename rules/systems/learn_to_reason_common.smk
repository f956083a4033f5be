"""Helpers of Learn-to-Reason only, no rules: rounds that chain by files, whose exam counts, whom a round asks."""


def student_folder(w):
    """The folder of the student that a round starts from."""
    return checkpoint_folder(w, previous_round(w, w.loop, w.round))


def released_for(files, number):
    """The released file of a round, if the configuration names one."""
    return files[int(number) - 1] if int(number) <= len(files) else None


def marks_file(w):
    """The marked answers of a round's student: those of its exam, or released mistakes."""
    if released_for(values_of(w).feedback.released_mistakes, w.round):
        return f"{run_folder(w)}/{w.loop}_round{w.round}/released_marks.jsonl"
    return f"{run_folder(w)}/{previous_round(w, w.loop, w.round)}/exam/marks.jsonl"


def released_mistakes_file(w):
    return released_for(values_of(w).feedback.released_mistakes, w.round) or []


def random_like_input(w):
    """Where random questions are asked, as many as the same round of another loop asked for missed ones."""
    if values_of(w).feedback.questions == "missed":
        return {}
    loops = [name for name in settings.checkpoints[w.loop].made_from if settings.checkpoints[name].rounds]
    if not loops:
        raise WorkflowError(
            f"feedback.questions random: {w.loop} asks as many as another loop does; set it in a file of "
            "config/checkpoints with `made_from: [learn_to_reason]`, as learn_to_reason_random.yaml does"
        )
    return {"like": f"{run_folder(w)}/{loops[0]}_round{w.round}/rationales.jsonl"}


def released_rationales_input(w):
    released = released_for(values_of(w).feedback.released_rationales, w.round)
    return {"released": released} if released else {}


def local_teacher_input(w):
    """The folder of the teacher, where it is a model of ours."""
    teacher = values_of(w).teacher
    if teacher.kind != "local" or "released" in released_rationales_input(w):
        return {}
    settings.generator_model(teacher.model)
    return {"local": hub_model_folder(teacher.model)}


def teacher_arguments(w):
    """Words on the teacher and the feedback that decide what is written; the template counts with its text."""
    configuration = values_of(w)
    teacher, feedback = configuration.teacher, configuration.feedback
    argv = arguments_of(feedback, set(type(feedback).model_fields) - {"released_rationales", "released_mistakes"})
    argv += arguments_of(teacher, set(type(teacher).model_fields) - speed_options(teacher))
    argv += ["--samples", str(configuration.exam.samples)]
    return shlex.join(argv)


def local_teacher_arguments(w):
    """The words that name a local teacher's folder and YAML."""
    if "local" not in local_teacher_input(w):
        return ""
    name = values_of(w).teacher.model
    return f"--local-folder {hub_model_folder(name)} --local-file {shell_yaml_path('models', name)}"


def teacher_inputs(w):
    """Inputs of a round's questions beside the marked answers: of the control, of a local teacher, what is released."""
    return {**random_like_input(w), **local_teacher_input(w), **released_rationales_input(w)}


def teacher_prices(w):
    """A price is worth computing again where the prices changed."""
    teacher = values_of(w).teacher
    return [teacher.input_price, teacher.output_price]


def teacher_memory(w, attempt):
    """A local teacher is as large as its model; any other one needs little."""
    teacher = values_of(w).teacher
    needed = megabytes(SimpleNamespace(model=teacher.model), copies=2) if teacher.kind == "local" else 4000
    return memory_of(needed, teacher_needs_gpu(w), attempt)


def template_digest(w):
    """Changes with the text of the prompts."""
    path = settings.file("prompts", values_of(w).feedback.template)
    return definitions.digest(path.read_text(encoding="utf-8")) if path.exists() else "missing"


def template_path(w):
    """The file of the prompts as the command writes it; the name is free text, and quoted."""
    folder, _, file = shell_yaml_path("prompts", values_of(w).feedback.template).rpartition("/")
    return f"{folder}/{shlex.quote(file)}"


def teacher_needs_gpu(w):
    """A local teacher sits on a GPU like any other model of the Hub."""
    teacher = values_of(w).teacher
    return gpus_of(SimpleNamespace(model=teacher.model), -1) if teacher.kind == "local" else 0


def rationale_files(w):
    """The rationales of the round, and of those before it where they accumulate."""
    all_of_them = values_of(w).learn_to_reason.accumulate
    first = 1 if all_of_them else int(w.round)
    return [f"{run_folder(w)}/{w.loop}_round{number}/rationales.jsonl" for number in range(first, int(w.round) + 1)]


def validation_file(w):
    """The development split; the test split only where the configuration names the authors' choice."""
    as_the_authors = values_of(w).learn_to_reason.validation_is_test
    return data_file(w.task, "test" if as_the_authors else "dev")


def as_one_arguments(w):
    """The words for one training that has as many steps as all rounds of the method together."""
    if not values_of(w).rounds.as_one:
        return ""
    return f"--repeat {settings.rounds(w.task, w.model, settings.checkpoints.root(checkpoint_of(w)))}"


def learn_to_reason_results(w):
    """The results that the figure shows: every variant, round by round, and the student before the first one."""
    model = settings.headline_model(w.task, "learn_to_reason")
    loops = settings.checkpoints.variants("learn_to_reason")
    names = [
        f"{loop}_round{number}"
        for loop in loops
        if loop in settings.checkpoints.files.shipped
        for number in range(1, settings.rounds(w.task, model, loop) + 1)
    ]
    return [f"results/{w.task}/{model}/{name}_acc.json" for name in ["learn_to_reason_round0", *names]]


# The params and arguments of asking, and of its price.
ASKING = dict(
    task=task_digest,
    asked=teacher_arguments,
    speed=speed("teacher"),
    template=template_path,
    text=template_digest,
    like=optional_argument(random_like_input, "--random-like", "like"),
    local=local_teacher_arguments,
    released=optional_argument(released_rationales_input, "--released", "released"),
)
ASK = (
    "ask_teacher {TASK} --data {input.data} --marks {input.marks} {SEED} --round {wildcards.round}"
    " --template-file {params.template} {params.asked} {params.speed} {params.like}"
    " {params.local} {params.released}"
)
