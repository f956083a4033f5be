"""Cost formulas of GRACE and its verifier: rows and tokens of each rule."""

from dataclasses import replace

from retrace.models.packaged import MINILM
from retrace.planning.sizes import BYTES_PER_TOKEN, Model, packaged
from retrace.planning.work import Costing, Work, formula


def encoder_named(job: Costing, option: str) -> Model:
    """An encoder of config/models; otherwise the size of all-MiniLM-L6 without embeddings, or of RoBERTa-large."""
    name = job.job.options.get(option, "")
    if job.sizes.is_model(name):
        return job.sizes.model(name)
    return packaged(MINILM) if MINILM in name.lower() else Model(3.5e8, "encoder", 4, True)


@formula("sample_trajectories")
def sample_trajectories(job: Costing) -> Work:
    """Whole passes over a shard's questions until enough new wrong solutions are expected at the assumed share."""
    text, shards = job.text("train"), job.option("shards")
    questions = job.most("max-questions", text.rows) / shards
    each = job.option("samples-per-pass")
    passes = job.option("incorrect") / shards / max(1e-9, questions * each * job.assumed.wrong_share)
    return job.written(text, questions, each * max(1, job.most("max-passes", -(-passes // 1))))


@formula("sweep_guided")
def sweep_guided(job: Costing) -> Work:
    """The development questions once for every beta and temperature."""
    text, options = job.text("dev"), job.job.options
    points = len(options.get("betas", "1").split()) * max(1, len(options.get("temperatures", "").split()))
    return job.guided(text, job.most("limit", text.rows) * points, job.option("samples"))


@formula("measure_step_choice")
def measure_step_choice(job: Costing) -> Work:
    """One step in at most a thousand contexts."""
    text = job.text("train")
    one_step = replace(text, steps=1.0, solution=text.solution / text.steps)
    return replace(job.guided(one_step, job.most("limit", 1000), 1), disk=1e4)


@formula("rerank")
def rerank(job: Costing) -> Work:
    """The verifier reads question and solution of every sample; existing predictions tell their number by size."""
    text, verifier = job.text(job.job.wildcards["split"]), job.encoder()
    solutions = 0.0
    for file in job.files(f"{job.job.wildcards['split']}.jsonl"):
        maker = job.sizes.makers.get(file)
        there = job.job.input_mb.get(file, job.sizes.megabytes(file))
        solutions += job.of(maker).rows if maker else there * 2**20 / (2 * text.solution * BYTES_PER_TOKEN)
    seconds = job.start(4 * verifier.parameters)
    seconds += job.reading(solutions * (text.question + text.solution), verifier)
    return Work(seconds, rows=solutions, disk=solutions * text.solution * BYTES_PER_TOKEN * 2, sizes_known=text.known)


@formula("align_steps")
def align_steps(job: Costing) -> Work:
    """The embedder reads every distinct step once; the alignment itself takes 0.2 ms per solution."""
    text, embedder = job.text("train"), encoder_named(job, "embedder")
    solutions = job.rows("trajectories.jsonl") or job.assumed.rows
    wrong = solutions * job.assumed.wrong_share
    read = (solutions * job.assumed.distinct_share + text.rows) * text.solution
    seconds = job.start(4 * embedder.parameters) + 2e-4 * wrong + job.reading(read, embedder)
    return Work(seconds, rows=wrong, disk=wrong * 2 * text.solution * BYTES_PER_TOKEN, sizes_known=text.known)


@formula("make_pairs")
def make_pairs(job: Costing) -> Work:
    """Reading and writing rows; with the entailment judge, its model reads both steps of every pair."""
    text = job.text("train")
    pairs = (job.rows("alignments.jsonl") or job.assumed.rows) * job.assumed.pairs_per_solution
    work = job.small(pairs, text.question + text.solution, 20000, text.known)
    if job.job.options.get("step-judge") != "entailment":
        return work
    judge = encoder_named(job, "entailment-model")
    judging = job.start(4 * judge.parameters) + job.reading(pairs * 2 * text.solution / text.steps, judge)
    return replace(work, seconds=work.seconds + judging)


@formula("train_discriminator")
def train_discriminator(job: Costing) -> Work:
    """Both members of a pair: question, half a solution as the prefix, one step. A tenth of the pairs is held out."""
    text, pairs = job.text("train"), job.rows("pairs.jsonl") or job.assumed.rows
    tokens = 2 * (text.question + text.solution / 2 + text.solution / text.steps)
    return job.training(pairs, tokens, job.option("evaluations") * pairs / 10 * tokens, job.encoder())


@formula("train_verifier")
def train_verifier(job: Costing) -> Work:
    """Question and solution of correct and wrong samples, up to the limit for each label."""
    text, most = job.text("train"), job.option("max-samples", -1)
    rows = job.rows("trajectories.jsonl") or job.assumed.rows
    rows = min(rows, 2 * most) if most >= 0 else rows
    tokens = text.question + text.solution
    return job.training(rows, tokens, job.option("evaluations") * rows / 10 * tokens, job.encoder())
