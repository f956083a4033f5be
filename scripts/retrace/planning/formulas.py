"""What a job takes, from its options: one function a rule, each with its formula (retrace.planning.work has the rest).

Each system has a module `cost` of its own, with such functions under `@formula("its_rule")`.
"""

from dataclasses import replace
from math import ceil

from retrace.planning.jobs import Job
from retrace.planning.registry import FORMULAS, formula
from retrace.planning.sizes import BYTES_PER_TOKEN, Sizes
from retrace.planning.texts import decoded
from retrace.planning.work import (
    Work,
    guided,
    model_of,
    option,
    start_seconds,
    text_of,
    training,
    written,
)

# ---------------------------------------------------------------- data and models


@formula("prepare_data")
def prepare_data(job: Job, sizes: Sizes) -> Work:
    """A fixed time and 20,000 rows a second; a row's text stands in it about twice."""
    text = text_of(job, sizes, job.wildcards["split"])
    size = text.rows * (text.question + 2 * text.solution) * BYTES_PER_TOKEN
    return Work(sizes.assumed.small_job_seconds + text.rows / 20000, 0, size, text.known)


@formula("fetch_model")
def fetch_model(job: Job, sizes: Sizes) -> Work:
    """Bytes of the model over the line's."""
    size = model_of(job, sizes).parameters * sizes.assumed.hub_bytes_per_parameter
    return Work(size / sizes.assumed.download_bandwidth, 0, size)


@formula("train_base", "train_sft", "train_latro_sft")
def train_generator(job: Job, sizes: Sizes) -> Work:
    """Questions and solutions of the training split, or of the related corpus; evaluations on the development split, which
    is answered each time where the checkpoint is chosen by its accuracy."""
    names = ("corpus", "corpus_dev") if "corpus" in job.options else ("train", "dev")
    train, dev = (text_of(job, sizes, name) for name in names)
    model = model_of(job, sizes)
    if job.rule == "train_base" and "corpus" not in job.options:  # a fresh network, nothing to train it on
        return Work(start_seconds(job, 0, sizes.assumed), 0, 4 * model.parameters)
    work = training(job, sizes, model, train.rows, train.question + train.solution, dev.rows)
    seconds = work.seconds
    if job.options.get("keep") == "accuracy":
        questions = option(job, "evaluations", 1) * dev.rows
        seconds += written(job, sizes, dev, questions, 1, option(job, "answer-batch-size", 64)).seconds
    return replace(work, seconds=seconds, sizes_known=train.known and dev.known)


# ---------------------------------------------------------------- sampling and decoding


def sampled_questions(job: Job, sizes: Sizes) -> float:
    """Questions of one shard of sample_trajectories."""
    limit, rows = option(job, "max-questions", -1), text_of(job, sizes, "train").rows
    return (min(rows, limit) if limit >= 0 else rows) / option(job, "shards", 1)


def sampled(job: Job, sizes: Sizes) -> float:
    """Solutions that one shard of sample_trajectories draws: whole passes, until enough are wrong and new."""
    drawn = sampled_questions(job, sizes) * option(job, "samples-per-pass", 4)
    wanted = option(job, "incorrect", 80000) / option(job, "shards", 1)
    passes, most = ceil(wanted / max(1e-9, drawn * sizes.assumed.wrong_share)), option(job, "max-passes", -1)
    return drawn * max(1, passes if most < 0 else min(passes, most))


@formula("sample_trajectories")
def sample_trajectories(job: Job, sizes: Sizes) -> Work:
    """As many passes over the questions as it takes to find the wrong solutions, at the share that is assumed."""
    questions = sampled_questions(job, sizes)
    samples = sampled(job, sizes) / max(1e-9, questions)
    return written(job, sizes, text_of(job, sizes, "train"), questions, samples, option(job, "batch-size", 256))


@formula("decode")
def decode(job: Job, sizes: Sizes) -> Work:
    """One shard of a split with any decoder; an exam may be of the first questions only. What implicit chain of thought
    trains writes equations, or answers alone; its emulator reads the question as its student does."""
    text = decoded(job, sizes, text_of(job, sizes, job.wildcards["split"]))
    most = option(job, "max-questions", -1)
    questions = (min(text.rows, most) if most >= 0 else text.rows) / option(job, "shards", 1)
    samples = option(job, "samples", 1)
    if "candidates" in job.options:
        return guided(job, sizes, text, questions, samples)
    return written(job, sizes, text, questions, max(samples, option(job, "beams", 1)), option(job, "batch-size", 64))


def gathered(job: Job, sizes: Sizes, rule: str) -> Work:
    """Joining the shards that `rule` makes, which are deleted afterwards: what they held stays here."""
    names = ("task", "model", "checkpoint", "decoder", "split", "generator", "sampled")
    planned = sizes.planned(rule, **{name: job.wildcards[name] for name in names if name in job.wildcards})
    disk = FORMULAS[rule](planned, sizes).disk * option(planned, "shards", 1) if planned else 0.0
    return Work(sizes.assumed.small_job_seconds, 0, disk)


@formula("gather_trajectories")
def gather_trajectories(job: Job, sizes: Sizes) -> Work:
    return gathered(job, sizes, "sample_trajectories")


@formula("gather_predictions")
def gather_predictions(job: Job, sizes: Sizes) -> Work:
    return gathered(job, sizes, "decode")


# ---------------------------------------------------------------- GRACE
