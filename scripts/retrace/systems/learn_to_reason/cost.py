"""What the jobs of Learn-to-Reason take. The exam is a decoder like any other."""

from dataclasses import replace

from retrace.planning.jobs import Job
from retrace.planning.registry import formula
from retrace.planning.sizes import BYTES_PER_TOKEN, Sizes
from retrace.planning.texts import prompted
from retrace.planning.work import Work, decoding_seconds, device_of, model_of, option, text_of, training, written

_EXAMPLES = 400  # tokens of the authors' worked examples in a prompt: 900 to 1,900 characters


def taught_questions(job: Job, sizes: Sizes) -> float:
    """Questions of a round with a rationale: those of the exam with a mistake among the answers, within the limit."""
    exam = sizes.planned("decode", task=job.wildcards["task"], model=job.wildcards["model"], decoder="exam")
    asked = text_of(job, sizes, "train").rows
    most = option(exam, "max-questions", -1) if exam else -1
    samples = option(exam, "samples", 4) if exam else 4
    missed = (min(asked, most) if most >= 0 else asked) * (1 - (1 - sizes.assumed.wrong_share) ** samples)
    asks = sizes.planned("ask_teacher", task=job.wildcards["task"], model=job.wildcards["model"])
    limit = option(job if job.rule == "ask_teacher" else asks or job, "max-questions", -1)
    return min(missed, limit) if limit >= 0 else missed


def rationales_of(job: Job, sizes: Sizes) -> float:
    """Rationales of a round: one for each mistake of a taught question, within the limit."""
    exam = sizes.planned("decode", task=job.wildcards["task"], model=job.wildcards["model"], decoder="exam")
    samples, wrong = option(exam, "samples", 4) if exam else 4, sizes.assumed.wrong_share
    asks = job if job.rule == "ask_teacher" else None
    asks = asks or sizes.planned("ask_teacher", task=job.wildcards["task"], model=job.wildcards["model"])
    most = option(asks, "per-question", 1) if asks else 1
    mistakes = samples * wrong / max(1e-9, 1 - (1 - wrong) ** samples)  # of a question that has any
    return taught_questions(job, sizes) * min(most, max(1.0, mistakes))


@formula("ask_teacher")
def ask_teacher(job: Job, sizes: Sizes) -> Work:
    """One response a rationale: from a server so many at once, from a local model like any decoding, from an oracle none."""
    text = text_of(job, sizes, "train")
    questions = rationales_of(job, sizes)
    disk = questions * text.solution * BYTES_PER_TOKEN * 2
    if job.options.get("kind") == "local":
        return replace(written(job, sizes, text, questions, 1, option(job, "concurrency", 8)), disk=disk)
    seconds = sizes.assumed.small_job_seconds
    if job.options.get("kind") == "openai":
        seconds += questions * sizes.assumed.response_seconds / option(job, "concurrency", 8)
    return Work(seconds, 0, disk, text.known)


@formula("train_learn_to_reason")
def train_learn_to_reason(job: Job, sizes: Sizes) -> Work:
    """Each rationale once, behind the prompt and its worked examples, with another one and a mistake; evaluations on the
    development split, whose questions are answered where the checkpoint is chosen by accuracy."""
    text, dev = text_of(job, sizes, "train"), text_of(job, sizes, "dev")
    sides = 3 if option(job, "ratio", 0.5) else 1
    model, answers = model_of(job, sizes), job.options.get("keep") == "accuracy"
    shown = text.question + _EXAMPLES if job.options.get("form") == "learn_to_reason" else prompted(model, text)
    tokens = shown + sides * text.solution
    repeat = option(job, "repeat", 1)
    read = 0 if answers else dev.rows
    work = training(job, sizes, model, repeat * rationales_of(job, sizes), tokens, read)
    if answers:
        each = dev.rows / device_of(job, sizes.assumed).count
        longest = min(option(job, "answer-tokens", 256), dev.solution * sizes.assumed.longest)
        batch = option(job, "answer-batch-size", 64)
        once = decoding_seconds(job, model, each, longest, batch, sizes.assumed)
        work = replace(work, seconds=work.seconds + option(job, "evaluations", 1) * once)
    return replace(work, sizes_known=text.known and dev.known)
