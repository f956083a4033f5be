"""What a job takes, from its options: one function a rule, each with its formula (retrace.planning.work has the rest).

A further system has a module of its own, imported at the end, with such functions under `@formula("its_rule")`.
"""

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from retrace.planning.jobs import Job
from retrace.planning.sizes import BYTES_PER_TOKEN, Sizes
from retrace.planning.texts import decoded
from retrace.planning.work import (
    Work,
    encoder_of,
    guided,
    model_of,
    option,
    reading_seconds,
    start_seconds,
    text_of,
    training,
    written,
)

Formula = Callable[[Job, Sizes], Work]
FORMULAS: dict[str, Formula] = {}


def formula(*rules: str) -> Callable[[Formula], Formula]:
    """Register a formula for these rules."""

    def register(function: Formula) -> Formula:
        FORMULAS.update(dict.fromkeys(rules, function))
        return function

    return register


def work_of(job: Job, sizes: Sizes) -> Work | None:
    """What a job will take, or None where no formula is known for its rule."""
    function = FORMULAS.get(job.rule)
    if function:
        return function(job, sizes)
    if job.benchmark is None and not job.gpus:  # gathering, scoring, tables: no models
        return Work(sizes.assumed.small_job_seconds)
    return None


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


@formula("sweep_guided")
def sweep_guided(job: Job, sizes: Sizes) -> Work:
    """The development questions once for every beta and temperature."""
    text = text_of(job, sizes, "dev")
    points = len(job.options.get("betas", "1").split()) * max(1, len(job.options.get("temperatures", "").split()))
    return guided(job, sizes, text, min(text.rows, option(job, "limit", text.rows)) * points, option(job, "samples", 1))


@formula("measure_step_choice")
def measure_step_choice(job: Job, sizes: Sizes) -> Work:
    """One step in at most a thousand contexts."""
    text = text_of(job, sizes, "train")
    one_step = replace(text, steps=1.0, solution=text.solution / text.steps)
    return replace(guided(job, sizes, one_step, option(job, "limit", 1000), 1), disk=1e4)


@formula("rerank")
def rerank(job: Job, sizes: Sizes) -> Work:
    """The verifier reads question and solution of every sample."""
    text = text_of(job, sizes, job.wildcards["split"])
    verifier = encoder_of(job, sizes)
    planned = sizes.planned(
        "decode", task=job.wildcards["task"], model=job.wildcards["model"], decoder="self_consistency"
    )
    samples = option(planned, "samples", 40) if planned else 40
    read = text.rows * samples * (text.question + text.solution)
    seconds = start_seconds(job, 4 * verifier.parameters, sizes.assumed)
    seconds += reading_seconds(job, verifier, read, sizes.assumed)
    return Work(seconds, 0, text.rows * samples * text.solution * BYTES_PER_TOKEN * 2, text.known)


# ---------------------------------------------------------------- GRACE


def solutions_of(job: Job, sizes: Sizes) -> tuple[float, float]:
    """(wrong solutions, all solutions) that a job reads: in its file, or as many as the plan samples."""
    file = next(
        (name for name in (*job.input_mb, *job.input) if name.endswith(("trajectories.jsonl", "alignments.jsonl"))), ""
    )
    rows = sizes.lines(file, job.input_mb.get(file))
    if rows is not None:
        return rows * (1.0 if file.endswith("alignments.jsonl") else sizes.assumed.wrong_share), float(rows)
    planned = sizes.planned("sample_trajectories", task=job.wildcards["task"], model=job.wildcards["model"])
    if planned is None:
        return 80000.0, 80000.0 / sizes.assumed.wrong_share
    drawn = sampled(planned, sizes) * option(planned, "shards", 1)
    return drawn * sizes.assumed.wrong_share, drawn


@formula("align_steps")
def align_steps(job: Job, sizes: Sizes) -> Work:
    """The embedder reads every distinct step once (a BERT-like encoder); the alignment itself takes .2 ms a solution."""
    text = text_of(job, sizes, "train")
    wrong, everything = solutions_of(job, sizes)
    embedder = sizes.embedder(job.options.get("embedder", "minilm"))
    seconds = start_seconds(job, 4 * embedder.parameters, sizes.assumed) + 2e-4 * wrong
    seconds += reading_seconds(
        job, embedder, (everything * sizes.assumed.distinct_share + text.rows) * text.solution, sizes.assumed
    )
    return Work(seconds, 0, wrong * 2 * text.solution * BYTES_PER_TOKEN, text.known)


@formula("make_pairs")
def make_pairs(job: Job, sizes: Sizes) -> Work:
    """Reading and writing rows; where entailment judges, the model reads both steps of every pair."""
    text = text_of(job, sizes, "train")
    pairs = solutions_of(job, sizes)[0] * sizes.assumed.pairs_per_solution
    seconds = sizes.assumed.small_job_seconds + pairs / 20000
    if job.options.get("step-judge") == "entailment":
        judge = sizes.embedder(job.options.get("entailment-model", ""))
        seconds += start_seconds(job, 4 * judge.parameters, sizes.assumed)
        seconds += reading_seconds(job, judge, pairs * 2 * text.solution / text.steps, sizes.assumed)
    return Work(seconds, 0, pairs * (text.question + text.solution) * BYTES_PER_TOKEN, text.known)


@formula("train_discriminator")
def train_discriminator(job: Job, sizes: Sizes) -> Work:
    """Both members of a pair: question, half a solution for the prefix, a step. A tenth of the pairs evaluates."""
    text = text_of(job, sizes, "train")
    file = next((name for name in (*job.input_mb, *job.input) if name.endswith("/pairs.jsonl")), "")
    rows = sizes.lines(file, job.input_mb.get(file))
    pairs = solutions_of(job, sizes)[0] * sizes.assumed.pairs_per_solution if rows is None else rows
    tokens = 2 * (text.question + text.solution / 2 + text.solution / text.steps)
    return training(job, sizes, encoder_of(job, sizes), pairs, tokens, pairs / 10)


@formula("train_verifier")
def train_verifier(job: Job, sizes: Sizes) -> Work:
    """Question and solution of right and wrong samples."""
    text = text_of(job, sizes, "train")
    rows = solutions_of(job, sizes)[1]
    most = option(job, "max-samples", -1)
    rows = min(rows, 2 * most) if most >= 0 else rows
    return training(job, sizes, encoder_of(job, sizes), rows, text.question + text.solution, rows / 10)


# Further systems register their rules.
from retrace.planning import formulas_dpo_st, formulas_icot, formulas_latro, formulas_learn_to_reason  # noqa: E402, F401
