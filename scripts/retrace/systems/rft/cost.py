"""Cost formulas of rejection-sampling fine-tuning."""

from dataclasses import replace

from retrace.planning.work import Costing, Work, formula

SAMPLES_A_SECOND = 5000  # read and compared in one thread, as for DPO-ST's pairs


@formula("sample_rft")
def sample_rft(job: Costing) -> Work:
    """The same number of solutions for every question in a shard."""
    text = job.text("train")
    return job.written(text, text.rows / job.option("shards"), job.option("samples"))


@formula("select_solutions")
def select_solutions(job: Costing) -> Work:
    """The references, and the correct samples that differ from each other."""
    text, read = job.text("train"), job.rows("/trajectories.jsonl") or job.assumed.rows
    rows = text.rows + read * (1 - job.assumed.wrong_share) * job.assumed.unlike_share
    work = job.small(rows, text.question + text.solution, SAMPLES_A_SECOND, text.known)
    return replace(work, seconds=job.assumed.small_job_seconds + read / SAMPLES_A_SECOND)


@formula("train_rft")
def train_rft(job: Costing) -> Work:
    """Question and solution of every reference and selected sample."""
    text, dev = job.text("train"), job.text("dev")
    work = job.evaluated(job.rows("/solutions.jsonl") or text.rows, text.question + text.solution, dev)
    return replace(work, sizes_known=text.known and dev.known)
