"""What the jobs of GRACE and of its verifier take, from their options: one function for each rule."""

from dataclasses import replace

from retrace.planning.formulas import sampled
from retrace.planning.jobs import Job
from retrace.planning.registry import formula
from retrace.planning.sizes import BYTES_PER_TOKEN, Sizes
from retrace.planning.work import Work, encoder_of, guided, option, reading_seconds, start_seconds, text_of, training


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
