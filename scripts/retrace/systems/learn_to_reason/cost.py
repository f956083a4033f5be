"""Cost formulas of Learn-to-Reason's jobs. The exam is estimated like any other decoder."""

from dataclasses import replace

from retrace.planning.sizes import BYTES_PER_TOKEN
from retrace.planning.work import Costing, Work, formula

EXAMPLES = 400  # tokens of the authors' worked examples in a prompt: 900 to 1,900 characters


@formula("mark_exam")
def mark_exam(job: Costing) -> Work:
    """One row for each answer of the exam."""
    exams = [maker for maker in job.makers() if "decoder" in maker.wildcards]
    return Work(job.assumed.small_job_seconds, rows=sum(job.of(exam).rows for exam in exams))


def rationales(job: Costing) -> float:
    """Number of rationales that a teacher is asked for: one for each mistake of a question, within the limits.

    If a share w of n answers is wrong, n w are wrong, and a question has at least one with probability 1 - (1 - w)^n.
    """
    samples, wrong = job.option("samples"), job.assumed.wrong_share
    missed_share = 1 - (1 - wrong) ** samples
    answers = job.rows("marks.jsonl")
    questions = job.text("train").rows if answers is None else answers / samples
    mistakes = samples * wrong / max(1e-9, missed_share)  # per question that has any
    return job.most("max-questions", questions * missed_share) * job.most("per-question", max(1.0, mistakes))


@formula("ask_teacher")
def ask_teacher(job: Costing) -> Work:
    """One response per rationale: concurrent requests to a server, or decoding by a local model. An oracle is free."""
    text, rows = job.text("train"), rationales(job)
    kind, concurrency = job.job.options.get("kind"), job.option("concurrency")
    seconds = job.assumed.small_job_seconds
    if kind == "local":
        seconds = job.written(text, rows, 1).seconds
    elif kind == "openai":
        seconds += rows * job.assumed.response_seconds / concurrency
    return Work(seconds, rows=rows, disk=rows * text.solution * BYTES_PER_TOKEN * 2, sizes_known=text.known)


@formula("judge_steps")
def judge_steps(job: Costing) -> Work:
    """A response a solution of each seed, by the same kinds of teachers."""
    text, kind = job.text(), job.job.options.get("kind")
    rows = job.most("questions", text.rows) * len(job.job.options.get("seeds", "0").split())
    seconds = job.assumed.small_job_seconds
    if kind == "local":
        seconds = job.written(text, rows, 1).seconds
    elif kind == "openai":
        seconds += rows * job.assumed.response_seconds / job.option("concurrency")
    return Work(seconds, rows=rows, disk=1e4, sizes_known=text.known)


@formula("train_learn_to_reason")
def train_learn_to_reason(job: Costing) -> Work:
    """Each rationale once, after the prompt and its worked examples, with another rationale and a mistake."""
    text, dev, options = job.text("train"), job.text("dev"), job.job.options
    shown = text.question + EXAMPLES if options.get("form") == "learn_to_reason" else job.prompt(text)
    tokens = shown + (3 if job.option("ratio") else 1) * text.solution
    rows = job.option("repeat") * (job.rows("rationales.jsonl") or job.assumed.rows)
    return replace(job.evaluated(rows, tokens, dev), sizes_known=text.known and dev.known)
