"""Helpers of Learn-to-Reason: inputs of each round, and arguments of the teacher. Defines no rules."""


def student_folder(w):
    """Model folder of the student that a round starts from."""
    return checkpoint_folder(w, previous_round(w, w.loop, w.round))


def released_for(files, number):
    """The released file of a round, if the configuration names one."""
    return files[int(number) - 1] if int(number) <= len(files) else None


def marks_file(w):
    """Input function: marked answers of a round's student, from its exam or from released mistakes."""
    if released_for(values_of(w).feedback.released_mistakes, w.round):
        return f"{run_folder(w)}/{w.loop}_round{w.round}/released_marks.jsonl"
    return f"{run_folder(w)}/{previous_round(w, w.loop, w.round)}/exam/marks.jsonl"


def released_mistakes_file(w):
    """Input function: the released mistakes of the job's round, if the configuration names them."""
    return released_for(values_of(w).feedback.released_mistakes, w.round) or []


def random_like_input(w):
    """Input function: for random questions, the rationales of the loop whose number of questions is matched."""
    if values_of(w).feedback.questions == "missed":
        return {}
    loops = [name for name in settings.checkpoints[w.loop].made_from if settings.checkpoints[name].rounds]
    if not loops:
        raise WorkflowError(
            f"feedback.questions random: {w.loop} asks as many as another loop does; set it in a file of "
            "config/checkpoints with `made_from: [learn_to_reason]`, as learn_to_reason_random.yaml does"
        )
    return {"like": f"{run_folder(w)}/{loops[0]}_round{w.round}/rationales.jsonl"}


def released_mistakes_files(w):
    """The released mistakes of the job's round as the user's files."""
    return user_files.of_names([released_mistakes_file(w)], ())


def released_rationales_input(w):
    """Input function: the released rationales of the job's round, if the configuration names them."""
    released = released_for(values_of(w).feedback.released_rationales, w.round)
    return {"released": released} if released else {}


def released_rationales_files(w):
    """The released rationales of the job's round as the user's files."""
    return user_files.of_names(released_rationales_input(w).values(), ())


def local_teacher_input(w):
    """Input function: folder of a local teacher; nothing for other teachers or with released rationales."""
    teacher = values_of(w).teacher
    if teacher.kind != "local" or "released" in released_rationales_input(w):
        return {}
    settings.generator_model(teacher.model)
    return {"local": hub_model_folder(teacher.model)}


def teacher_arguments(w):
    """Params function: arguments of teacher and feedback that can change rationales; `template_digest` has the text."""
    configuration = values_of(w)
    teacher, feedback = configuration.teacher, configuration.feedback
    argv = arguments_of(feedback, set(type(feedback).model_fields) - {"released_rationales", "released_mistakes"})
    argv += arguments_of(teacher, set(type(teacher).model_fields) - speed_options(teacher))
    argv += ["--samples", str(configuration.exam.samples)]
    return shlex.join(argv)


def local_teacher_arguments(w):
    """Params function: folder and YAML of a local teacher as arguments."""
    if "local" not in local_teacher_input(w):
        return ""
    name = values_of(w).teacher.model
    return f"--local-folder {hub_model_folder(name)} --local-file {shell_yaml_path('models', name)}"


def teacher_inputs(w):
    """Input function of asking the teacher: inputs of the control, of a local teacher and of released rationales."""
    return {**random_like_input(w), **local_teacher_input(w), **released_rationales_input(w)}


def teacher_prices(w):
    """Params function: token prices, so that a changed price reruns the price estimate."""
    teacher = values_of(w).teacher
    return [teacher.input_price, teacher.output_price]


def teacher_memory(w, attempt):
    """Resources function: memory for a local teacher's model; little for any other teacher."""
    teacher = values_of(w).teacher
    needed = megabytes(SimpleNamespace(model=teacher.model), copies=2) if teacher.kind == "local" else 4000
    return memory_of(needed, teacher_needs_gpu(w), attempt)


def template_digest(w):
    """Digest of the text of the prompt template."""
    path = settings.file("prompts", values_of(w).feedback.template)
    # Text that is not UTF-8 is rejected by the job, with the line.
    return definitions.digest(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else "missing"


def template_path(w):
    """Path of the prompt template as a shell expression; its name is free text, so it is quoted."""
    folder, _, file = shell_yaml_path("prompts", values_of(w).feedback.template).rpartition("/")
    return f"{folder}/{shlex.quote(file)}"


def teacher_needs_gpu(w):
    """Resources function: a local teacher needs a GPU like any other Hub model; other teachers need none."""
    teacher = values_of(w).teacher
    return gpus_of(SimpleNamespace(model=teacher.model), -1) if teacher.kind == "local" else 0


def rationale_files(w):
    """Input function: rationales of the round, and of earlier rounds if they accumulate."""
    all_of_them = values_of(w).learn_to_reason.accumulate
    first = 1 if all_of_them else int(w.round)
    return [f"{run_folder(w)}/{w.loop}_round{number}/rationales.jsonl" for number in range(first, int(w.round) + 1)]


def validation_file(w):
    """Validation data: the development split, or the test split if configured as the authors did."""
    as_the_authors = values_of(w).learn_to_reason.validation_is_test
    return data_file(w.task, "test" if as_the_authors else "dev")


def as_one_arguments(w):
    """Params function: for a single training with as many steps as all rounds of the loop that it is a variant of."""
    if not values_of(w).rounds.as_one:
        return ""
    loops = settings.checkpoints.files.ancestors(w.loop)
    in_turn = (loop for loop in loops if not settings.for_target(w.task, w.model, f"{loop}_round1").rounds.as_one)
    return f"--repeat {settings.rounds(w.task, w.model, next(in_turn, loops[-1]))}"


def learn_to_reason_results(w):
    """Input function: results in the figure, every variant round by round, and the student before round 1."""
    model = settings.headline_model(w.task, "learn_to_reason")
    loops = settings.checkpoints.variants("learn_to_reason")
    names = [
        f"{loop}_round{number}"
        for loop in loops
        if loop in settings.checkpoints.files.shipped
        for number in range(1, settings.rounds(w.task, model, loop) + 1)
    ]
    return [f"results/{w.task}/{model}/{name}_acc.json" for name in ["learn_to_reason_round0", *names]]


# Params and arguments of asking the teacher, and of its price estimate.
ASKING = dict(
    task=noticing(task_digest, released_rationales_files),
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

# ---------------------------------------------------------------- judging steps


def judge_teacher(w):
    """The teacher of a task and model, who judges steps."""
    return settings.for_target(w.task, w.model).teacher


def judge_argv(w, speed_alone):
    """Arguments of teacher and judging that change results or, for `speed_alone`, only the speed."""
    sections = [section_argv_of(w.task, w.model, name, None, ()) for name in ("teacher", "judge")]
    return [word for changing, fast in sections for word in (fast if speed_alone else changing)]


def judge_arguments(w):
    """Params function: arguments that can change verdicts."""
    return judge_argv(w, speed_alone=False)


def judge_speed(wildcards, threads):
    """Params function: arguments that only change speed; Snakemake does not compare them."""
    return judge_argv(wildcards, speed_alone=True)


def judge_prompt(w):
    """Path of the judge's prompt as a shell expression."""
    template = settings.for_target(w.task, w.model).judge.template
    folder, _, file = shell_yaml_path("prompts", template).rpartition("/")
    return f"{folder}/{shlex.quote(file)}"


def judge_prompt_digest(w):
    """Digest of the text of the judge's prompt."""
    path = settings.file("prompts", settings.for_target(w.task, w.model).judge.template)
    return definitions.digest(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else "missing"


def local_judge_input(w):
    """Input function: folder of a local judge; nothing for other teachers."""
    teacher = judge_teacher(w)
    return {"local": hub_model_folder(teacher.model)} if teacher.kind == "local" else {}


def local_judge_arguments(w):
    """Params function: folder and YAML of a local judge as arguments."""
    if not local_judge_input(w):
        return ""
    name = judge_teacher(w).model
    return f"--local-folder {hub_model_folder(name)} --local-file {shell_yaml_path('models', name)}"


def judge_needs_gpu(w):
    """Resources function: as `teacher_needs_gpu`."""
    teacher = judge_teacher(w)
    return gpus_of(SimpleNamespace(model=teacher.model), -1) if teacher.kind == "local" else 0


def judge_memory(w, attempt):
    """Resources function: as `teacher_memory`."""
    teacher = judge_teacher(w)
    needed = megabytes(SimpleNamespace(model=teacher.model), copies=2) if teacher.kind == "local" else 4000
    return memory_of(needed, judge_needs_gpu(w), attempt)
