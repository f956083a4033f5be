"""Cost formulas of implicit chain of thought."""

from dataclasses import replace

from retrace.models.options import load_model_config
from retrace.planning.sizes import Text
from retrace.planning.work import ANSWERED, Costing, Work, formula
from retrace.systems.declaration import root_at
from retrace.systems.separated_lengths import answer_of, separated

# What student and emulator have of weights in all, in units of the wrapped model's: an MLP a layer comes on top, which
# is 8 or 12 squared widths beside a layer's 12, and the emulator's LSTM.
STUDENT, EMULATOR = 1.7, 2.1
NONE = "none"  # an option that names no file


# The checkpoints that answer questions in a layout with separators.
SEPARATED = ("no_cot", "explicit_cot", "icot", "icot_undistilled", "no_cot_deep", "no_cot_from_teacher")


def answered(job: Costing, text: Text) -> Text | None:
    """A split as a checkpoint of implicit chain of thought answers it; None for other checkpoints."""
    checkpoint = root_at(job.sizes.config, job.job.wildcards.get("checkpoint", ""))
    if checkpoint not in SEPARATED:
        return None
    text = separated(job, text)
    return text if checkpoint == "explicit_cot" else replace(text, solution=answer_of(text), steps=1.0)


ANSWERED.append(answered)


@formula("cache_states")
def cache_states(job: Costing) -> Work:
    """The teacher reads question and steps once. Two bytes for each of layers x width are kept, which for models of the Hub
    is guessed from their parameters as GPT-2's sizes go (124, 355, 774 million: 9,216, 24,576, 46,080)."""
    text = separated(job, job.text("train"))
    rows = text.rows + job.text("dev").rows
    seconds = job.start(4 * job.model.parameters) + job.reading(rows * (text.question + text.solution), job.model)
    size = load_model_config(job.sizes.config / "models" / f"{job.job.wildcards['model']}.yaml").scratch
    numbers = size.layers * size.width if size else 7e-4 * job.model.parameters**0.88
    return Work(seconds, disk=2 * rows * numbers, sizes_known=text.known)


@formula("train_no_cot", "train_explicit_cot", "train_no_cot_deep", "train_no_cot_from_teacher")
@formula("train_icot_student", "train_icot_emulator", "train_icot", "train_icot_undistilled")
def train_stage(job: Costing) -> Work:
    """Question and answer, with the steps between for the teacher; the emulator reads the question, coupled to it. Where no
    states are cached, the teacher reads question and steps in every step, without a backward pass. A released pair is
    copied only; the deep control is as large as student and emulator together."""
    rule, options = job.job.rule, job.job.options
    if options.get("released-student", NONE) != NONE:
        weights = 4 * (STUDENT + EMULATOR) * job.model.parameters
        return Work(job.start(weights), disk=weights)
    text, dev = separated(job, job.text("train")), job.text("dev")
    answer = text.question + answer_of(text)
    tokens, weights = {
        "train_explicit_cot": (text.question + text.solution, 1.0),
        "train_icot_student": (answer, STUDENT),
        "train_icot_emulator": (text.question, EMULATOR),
        "train_icot": (answer + text.question, STUDENT + EMULATOR),
        "train_icot_undistilled": (answer + text.question, STUDENT + EMULATOR),
    }.get(rule, (answer, 1.0))
    read = job.option("evaluations") * dev.rows * tokens
    if options.get("cached") == "false":
        read += job.steps(text.rows) * job.option("batch-size") * (text.question + text.solution)
    model = job.model
    if rule == "train_no_cot_deep":
        model = replace(model, parameters=(STUDENT + EMULATOR) * model.parameters)
    work = job.training(text.rows, tokens, read, model)
    known = text.known and dev.known
    return replace(work, disk=work.disk * weights, state=work.state * weights, sizes_known=known)


@formula("measure_icot_speed")
def measure_speed(job: Costing) -> Work:
    """The given ways at each batch size, as often as there are rounds; steps are written by one of them only."""
    text, model = separated(job, job.text()), job.model
    lengths = {"no-cot": answer_of(text), "icot": answer_of(text), "explicit-cot": text.solution}
    seconds = job.start(5 * 4 * model.parameters)
    for batch in map(float, job.job.options.get("batch-sizes", "1").split()):
        for length in (length for way, length in lengths.items() if way in job.job.options):
            questions = job.most("questions", text.rows)
            seconds += job.option("repeats") * job.decoding(questions, length, batch, model)
    return Work(seconds, disk=1e4, sizes_known=text.known)
