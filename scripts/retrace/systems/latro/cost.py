"""What the trainings of LaTRO take; its baseline is a training like any other (formulas.train_generator)."""

from math import ceil

from retrace.planning.jobs import Job
from retrace.planning.registry import formula
from retrace.planning.sizes import Sizes
from retrace.planning.work import Work, decoding_seconds, model_of, option, text_of, training_seconds


@formula("train_latro")
def train_latro(job: Job, sizes: Sizes) -> Work:
    """Each step samples its rationales, reads them with the reference model and trains on them; evaluations write a
    solution for each question that is compared."""
    text = text_of(job, sizes, "train")
    compared = text_of(job, sizes, job.options.get("choose-on", "dev"))
    model, assumed = model_of(job, sizes), sizes.assumed
    batch, each = option(job, "batch-size", 384), option(job, "rationales", 16)
    steps = option(job, "max-steps", -1)
    if steps < 0:
        # Where epochs count rationales, as in the authors' code, a question's rationales are as many episodes.
        counted = each if job.options.get("epochs-count", "questions") == "questions" else 1
        steps = ceil(option(job, "epochs", 6) * text.rows * counted / batch)
    length = min(option(job, "max-rationale-tokens", 500), text.solution)
    longest = min(option(job, "max-rationale-tokens", 500), text.solution * assumed.longest)
    together = option(job, "generation-batch-size", 256)
    devices = max(1, job.gpus)
    tokens = text.question + length
    # One more pass without gradients for the reference, and another where a device holds no whole groups.
    whole = option(job, "device-batch-size", batch) % each == 0
    read = steps * batch * tokens * (1 if whole else 2)
    batches = steps * ceil(batch / (option(job, "device-batch-size", batch) * devices))
    seconds = training_seconds(job, model, steps * batch * tokens, batches, read, assumed)
    seconds += steps * decoding_seconds(job, model, batch / devices, longest, together, assumed)
    evaluations = 1 + option(job, "evaluations", 1)
    seconds += evaluations * decoding_seconds(job, model, compared.rows / devices, longest, together, assumed)
    weights = 4 * model.parameters
    return Work(seconds, steps * batch * tokens, weights, 6 * weights, text.known)
