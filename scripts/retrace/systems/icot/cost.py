"""What the jobs of implicit chain of thought take."""

from dataclasses import replace

from retrace.models.options import ModelConfig, load_model_config
from retrace.planning.jobs import Job
from retrace.planning.registry import formula
from retrace.planning.sizes import Model, Sizes, Text
from retrace.planning.texts import answered
from retrace.planning.work import (
    Work,
    decoding_seconds,
    model_of,
    option,
    reading_seconds,
    start_seconds,
    text_given,
    training,
)
from retrace.systems.declaration import root_at
from retrace.tasks.long_multiplication import line_of
from retrace.yaml_files import read_yaml

# Mean tokens of GSM8K as implicit chain of thought has it, steps being equations alone: question, steps with the answer,
# answer alone (the authors' logs/gsm8k/gpt2/log.generate: src_avg, tgt_avg, both ways).
EQUATIONS, EQUATIONS_ANSWER = (57.5, 27.7), 6.1


# The checkpoints that answer questions in a layout with separators.
SEPARATED = ("no_cot", "explicit_cot", "icot", "no_cot_deep", "no_cot_from_teacher")


def separated(job: Job, sizes: Sizes, text: Text) -> Text:
    """A split as implicit chain of thought puts it, with separators; lengths of multiplications follow from their digits."""
    path = sizes.config / "tasks" / f"{job.wildcards['task']}.yaml"
    task = read_yaml(path) if path.exists() else {}
    if digits := task.get("digits"):
        low = 10 ** (digits - 1)
        question, solution = line_of(low, low, digits).split("||")
        text = replace(text, question=len(question.split()), solution=len(solution.split()), steps=digits)
    elif "icot" in task.get("split_sets", []):
        question, solution = EQUATIONS
        steps = solution / EQUATIONS_ANSWER - 1  # as `answer_of` counts
        return replace(text, question=question, solution=solution, steps=steps)
    return replace(text, question=text.question + 1, solution=text.solution + 2)


def answer_of(text: Text) -> float:
    """Tokens of marker, answer and end: as long as one step."""
    return text.solution / (text.steps + 1)


@answered
def answers(job: Job, sizes: Sizes, text: Text) -> Text | None:
    """A split as a checkpoint of implicit chain of thought answers it."""
    checkpoint = root_at(sizes.config, job.wildcards.get("checkpoint", ""))
    if checkpoint not in SEPARATED:
        return None
    text = separated(job, sizes, text)
    return text if checkpoint == "explicit_cot" else replace(text, solution=answer_of(text), steps=1.0)


# What student and emulator have of weights in all, in units of the wrapped model's: an MLP a layer comes on top, which
# is 8 or 12 squared widths beside a layer's 12, and the emulator's LSTM.
STUDENT, EMULATOR = 1.7, 2.1


def text_behind(job: Job, sizes: Sizes, name: str) -> Text:
    """The split whose file a job is given as `--train`, `--dev` or `--data`, with separators."""
    return separated(job, sizes, text_given(job, sizes, name))


def states_bytes(config: ModelConfig, rows: float) -> float:
    """Bytes of cached teacher states: two for each of layers x width, which for models of the Hub is guessed from their
    parameters as GPT-2's sizes go (124, 355, 774 million: 9,216, 24,576, 46,080)."""
    size = config.scratch
    numbers = size.layers * size.width if size else 7e-4 * (config.parameters or 1e9) ** 0.88
    return 2 * rows * numbers


def _trained(job: Job, sizes: Sizes, model: Model, tokens: float) -> Work:
    train, dev = text_behind(job, sizes, "train"), text_behind(job, sizes, "dev")
    work = training(job, sizes, model, train.rows, tokens, dev.rows)
    return replace(work, sizes_known=train.known and dev.known)


@formula("train_no_cot", "train_explicit_cot", "train_no_cot_deep", "train_no_cot_from_teacher")
def train_text(job: Job, sizes: Sizes) -> Work:
    """Question and answer, with the steps between where the layout has them; the deep control is as large as student and
    emulator together."""
    text, model = text_behind(job, sizes, "train"), model_of(job, sizes)
    if job.rule == "train_no_cot_deep":
        model = replace(model, parameters=(STUDENT + EMULATOR) * model.parameters)
    behind = text.solution if job.rule == "train_explicit_cot" else answer_of(text)
    return _trained(job, sizes, model, text.question + behind)


@formula("cache_states")
def cache_states(job: Job, sizes: Sizes) -> Work:
    """The teacher reads question and steps once."""
    text, dev = text_behind(job, sizes, "train"), text_behind(job, sizes, "dev")
    model, rows = model_of(job, sizes), text.rows + dev.rows
    seconds = start_seconds(job, 4 * model.parameters, sizes.assumed)
    seconds += reading_seconds(job, model, rows * (text.question + text.solution), sizes.assumed)
    config = load_model_config(sizes.config / "models" / f"{job.wildcards['model']}.yaml")
    return Work(seconds, 0, states_bytes(config, rows), sizes_known=text.known)


@formula("train_icot_student", "train_icot_emulator", "train_icot")
def train_stage(job: Job, sizes: Sizes) -> Work:
    """The student reads question and answer, the emulator the question; coupled, both. Where no states are cached, the
    teacher reads question and steps in every step, without a backward pass. A released pair is copied only."""
    if "released-student" in job.options:
        weights = 4 * (STUDENT + EMULATOR) * model_of(job, sizes).parameters
        return Work(start_seconds(job, weights, sizes.assumed), 0, weights)
    text, model = text_behind(job, sizes, "train"), model_of(job, sizes)
    of_student, of_emulator = text.question + answer_of(text), text.question
    tokens, weights = {
        "train_icot_student": (of_student, STUDENT),
        "train_icot_emulator": (of_emulator, EMULATOR),
        "train_icot": (of_student + of_emulator, STUDENT + EMULATOR),
    }[job.rule]
    if job.rule != "train_icot" and job.options.get("cached") == "false":
        tokens += (text.question + text.solution) / 3
    work = _trained(job, sizes, model, tokens)
    return replace(work, disk=work.disk * weights, state=work.state * weights)


@formula("measure_icot_speed")
def measure_speed(job: Job, sizes: Sizes) -> Work:
    """The given ways at each batch size, as often as there are rounds; steps are written by one of them only."""
    text, model = text_behind(job, sizes, "data"), model_of(job, sizes)
    questions = min(text.rows, option(job, "questions", 200))
    seconds = start_seconds(job, 5 * 4 * model.parameters, sizes.assumed)
    for size in map(float, job.options.get("batch-sizes", "1").split()):
        lengths = {"no-cot": answer_of(text), "icot": answer_of(text), "explicit-cot": text.solution}
        for length in (length for way, length in lengths.items() if way in job.options):
            once = decoding_seconds(job, model, questions, length, size, sizes.assumed)
            seconds += option(job, "repeats", 3) * once
    return Work(seconds, 0, 1e4, sizes_known=text.known)
