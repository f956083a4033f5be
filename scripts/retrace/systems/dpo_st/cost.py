"""Cost formulas of DPO-ST and plain self-training, including the pairs and pseudo-labels made from samples."""

from dataclasses import replace

from retrace.errors import UserError
from retrace.machine.storage import read_json
from retrace.planning.work import Costing, Work, decode, formula

SAMPLES_A_SECOND = 5000  # reading, tokenizing and comparing in one thread: 20,000 solutions of 100 words took 4 s

formula("decode_transfer")(decode)


@formula("sample_round")
def sample_round(job: Costing) -> Work:
    """The same number of solutions for every question in a shard."""
    text = job.text("train")
    return job.written(text, job.most("max-questions", text.rows) / job.option("shards"), job.option("samples"))


def labelled(job: Costing) -> float:
    """Number of worked solutions that may be used."""
    return job.most("labelled", job.text("train").rows)


@formula("measure_calculator_speed")
def measure_calculator_speed(job: Costing) -> Work:
    """Both ways at each batch size, as often as there are rounds."""
    text, model = job.text(), job.model
    seconds = job.start(4 * model.parameters)
    length = min(text.solution, job.option("max-new-tokens"))
    for batch in map(float, job.job.options.get("batch-sizes", "1").split()):
        seconds += 2 * job.option("repeats") * job.decoding(job.most("questions", text.rows), length, batch, model)
    return Work(seconds, disk=1e4, sizes_known=text.known)


@formula("make_preferences")
def make_preferences(job: Costing) -> Work:
    """One pair for each wrong solution of a question, up to the limit.

    If a share w of n samples is wrong, n w are wrong, and a question has at least one with probability 1 - (1 - w)^n.
    """
    text, wrong = job.text("train"), job.assumed.wrong_share
    questions = max(1, job.most("max-questions", text.rows))
    read = job.rows("/trajectories.jsonl") or job.assumed.rows
    samples = read / questions
    pairs = questions * (1 - (1 - wrong) ** samples) * job.most("pairs-per-question", samples * wrong)
    work = job.small(pairs, text.question + 2 * text.solution, SAMPLES_A_SECOND, text.known)
    return replace(work, seconds=job.assumed.small_job_seconds + read / SAMPLES_A_SECOND)


@formula("make_pseudo_labels")
def make_pseudo_labels(job: Costing) -> Work:
    """The references and the correct samples that differ from them."""
    text, read = job.text("train"), job.rows("/trajectories.jsonl") or job.assumed.rows
    rows = labelled(job) + read * (1 - job.assumed.wrong_share) * job.assumed.unlike_share
    work = job.small(rows, text.question + text.solution, SAMPLES_A_SECOND, text.known)
    return replace(work, seconds=job.assumed.small_job_seconds + read / SAMPLES_A_SECOND)


@formula("train_dpo")
def train_dpo(job: Costing) -> Work:
    """Question and solution of both sides of every pair.

    Before training, every process reads all pairs once for the reference's log-probabilities. Held-out pairs count
    like the others; by default there are none.
    """
    text, pairs = job.text("train"), job.rows("/pairs.jsonl") or job.assumed.rows
    tokens = 2 * (text.question + text.solution)
    work = job.training(pairs, tokens, job.devices * pairs * tokens)
    return replace(work, sizes_known=text.known)


@formula("train_warm_up", "train_round", "train_sft_extra", "train_sft_continued")
def train_round(job: Costing) -> Work:
    """Question and solution of every reference and every pseudo-label, or of as many extra references for the control.

    The continued control takes as many steps as all trainings of the rounds.
    """
    text, dev = job.text("train"), job.text("dev")
    rows = job.rows("/pseudo_labels.jsonl") or rows_of_report(job) or labelled(job)
    if job.job.rule == "train_sft_continued":
        steps = sum(steps_of(job, file) for file in job.files("/training.json"))
        job = Costing(replace(job.job, options={**job.job.options, "max-steps": str(steps)}), job.sizes)
    work = job.evaluated(rows, text.question + text.solution, dev)
    return replace(work, sizes_known=text.known and dev.known)


def rows_of_report(job: Costing) -> float:
    """Number of pseudo-labels according to the report that is an input."""
    makers = [job.sizes.makers.get(file) for file in job.files("/pseudo_labels.json")]
    planned = sum(job.of(maker).rows for maker in makers if maker)
    return planned or sum(job.sizes.lines(f"{file}l") or 0 for file in job.files("/pseudo_labels.json"))


def steps_of(job: Costing, file: str) -> float:
    """Optimizer steps of a training that a control depends on: as planned, or from its report."""
    if maker := job.sizes.makers.get(file):
        return job.of(maker).steps
    path = job.sizes.results.parent / file
    if not path.is_file():
        return job.steps(labelled(job))
    report = read_json(path)
    if not isinstance(report, dict) or not isinstance(report.get("steps"), int):
        raise UserError(f"{path}: has no number 'steps'; delete the file and rebuild it")
    return report["steps"]
