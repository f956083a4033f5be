"""What the jobs of DPO-ST and plain self-training take, round by round, and answers to another task's questions."""

from dataclasses import replace
from math import ceil

from retrace.planning.formulas import formula
from retrace.planning.jobs import Job
from retrace.planning.sizes import BYTES_PER_TOKEN, Sizes
from retrace.planning.work import (
    Work,
    model_of,
    option,
    reading_seconds,
    text_given,
    training,
    written,
)

COMPARED = 2000  # solutions a second that are tokenised and compared with those of their question, on one thread


def references(job: Job, sizes: Sizes) -> float:
    """Worked solutions that a job trains on: of all training questions, or of as many as are labelled."""
    rows, labelled = text_given(job, sizes, "train").rows, option(job, "labelled", -1)
    return min(rows, labelled) if labelled >= 0 else rows


def sampled(job: Job, sizes: Sizes, questions: float, rounds: float) -> float:
    """Solutions that these rounds draw: as many a question as the plan's sampling jobs say, or the paper's three."""
    planned = sizes.planned("sample_round", task=job.wildcards["task"], model=job.wildcards["model"])
    return questions * rounds * (option(planned, "samples", 3) if planned else 3)


def pseudo_labels(job: Job, sizes: Sizes) -> float:
    """References and right solutions: as many as the job's file holds, or the share that is assumed of what is sampled."""
    file = next((name for name in (*job.input_mb, *job.input) if name.endswith("/pseudo_labels.jsonl")), "")
    rows = sizes.lines(file, job.input_mb.get(file))
    if rows is not None:
        return rows
    drawn = sampled(job, sizes, text_given(job, sizes, "train").rows, float(job.wildcards["round"]))
    return references(job, sizes) + drawn * (1 - sizes.assumed.wrong_share)


@formula("sample_round")
def sample_round(job: Job, sizes: Sizes) -> Work:
    """One shard of the training questions, the same number of solutions each."""
    text = text_given(job, sizes, "data")
    questions = text.rows / option(job, "shards", 1)
    return written(job, sizes, text, questions, option(job, "samples", 5), option(job, "batch-size", 256))


@formula("make_preferences", "make_pseudo_labels")
def make_rows(job: Job, sizes: Sizes) -> Work:
    """All solutions of the rounds so far, compared question by question; what is kept is written with its question."""
    text = text_given(job, sizes, "data")
    rounds = len(job.options.get("trajectories", "trajectories.jsonl").split())
    solutions = sampled(job, sizes, text.rows, rounds)
    kept = min(solutions, text.rows * option(job, "pairs-per-question", 3))
    seconds = sizes.assumed.small_job_seconds + solutions / COMPARED
    return Work(seconds, 0, kept * (text.question + 2 * text.solution) * BYTES_PER_TOKEN, sizes_known=text.known)


@formula("train_warm_up", "train_round", "train_sft_extra")
def train_round(job: Job, sizes: Sizes) -> Work:
    """References, and the pseudo-labels of a round or as many further references."""
    text, dev = text_given(job, sizes, "train"), text_given(job, sizes, "dev")
    rows = references(job, sizes) if job.rule == "train_warm_up" else pseudo_labels(job, sizes)
    work = training(job, sizes, model_of(job, sizes), rows, text.question + text.solution, dev.rows)
    return replace(work, sizes_known=text.known and dev.known)


@formula("train_sft_continued")
def train_sft_continued(job: Job, sizes: Sizes) -> Work:
    """As many steps as the DPO and SFT trainings of all rounds together, each like the last."""
    text, dev = text_given(job, sizes, "train"), text_given(job, sizes, "dev")
    dpo = sizes.planned("train_dpo", task=job.wildcards["task"], model=job.wildcards["model"])
    batch, epochs = option(job, "batch-size", 96), option(job, "epochs", 8)
    steps = option(job, "max-steps", -1)
    each = steps if steps > 0 else ceil(epochs * pseudo_labels(job, sizes) / batch)
    each += option(dpo, "max-steps", 150) if dpo else 150
    longer = replace(job, options={**job.options, "max-steps": str(each * float(job.wildcards["round"]))})
    work = training(longer, sizes, model_of(job, sizes), text.rows, text.question + text.solution, dev.rows)
    return replace(work, sizes_known=text.known and dev.known)


@formula("train_dpo")
def train_dpo(job: Job, sizes: Sizes) -> Work:
    """Both sides of every pair; the reference model reads them once before."""
    file = next((name for name in (*job.input_mb, *job.input) if name.endswith("/pairs.jsonl")), "")
    rows = sizes.lines(file, job.input_mb.get(file))
    text = sizes.text(job.wildcards["task"], "train")
    pairs = text.rows * 3 if rows is None else float(rows)
    tokens = 2 * (text.question + text.solution)
    work = training(job, sizes, model_of(job, sizes), pairs, tokens, 0)
    read = reading_seconds(job, model_of(job, sizes), pairs * tokens, sizes.assumed)
    return replace(work, seconds=work.seconds + read, sizes_known=rows is not None)


@formula("decode_transfer")
def decode_transfer(job: Job, sizes: Sizes) -> Work:
    """All test questions of another task in one job."""
    text = text_given(job, sizes, "data")
    samples = max(option(job, "samples", 1), option(job, "beams", 1))
    return written(job, sizes, text, text.rows, samples, option(job, "batch-size", 64))
