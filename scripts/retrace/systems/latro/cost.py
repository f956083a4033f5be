"""Cost formulas of LaTRO's training; its baseline is an ordinary training."""

from dataclasses import replace
from math import ceil, inf

from retrace.planning.work import Costing, Work, formula, train_generator

formula("train_latro_sft")(train_generator)


@formula("train_latro")
def train_latro(job: Costing) -> Work:
    """Each step samples rationales, reads them with the reference model and trains on them.

    Each evaluation writes one solution for every question of the split on which checkpoints are compared.
    """
    text, compared = job.text("train"), job.text(job.job.options.get("choose-on", "dev"))
    batch, each = job.option("batch-size"), job.option("rationales")
    # If epochs count rationales, as in the authors' code, an epoch has as many episodes as there are questions.
    episodes = text.rows * (1 if job.job.options.get("epochs-count") == "rationales" else each)
    tokens = text.question + min(job.option("max-rationale-tokens", inf), text.solution)
    # One pass without gradients for the reference, and another one if a device does not hold whole groups.
    passes = 1 if job.option("device-batch-size", batch) % each == 0 else 2
    work = job.training(episodes, tokens, passes * job.steps(episodes) * batch * tokens)
    longest = min(job.option("max-rationale-tokens", inf), text.solution * job.assumed.longest)
    together = job.option("generation-batch-size", 256)
    sampling = work.steps * job.decoding(batch / job.devices, longest, together, job.model)
    answering = job.decoding(ceil(compared.rows / job.devices), longest, together, job.model)
    seconds = work.seconds + sampling + (1 + job.option("evaluations")) * answering
    return replace(work, seconds=seconds, sizes_known=text.known)
