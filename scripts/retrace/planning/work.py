"""Seconds of training, decoding and reading, from the sizes of texts and models and the throughput of devices.

Training: floating-point operations = 6 x active parameters x tokens (Kaplan et al. 2020, section 2.1: 2 for the forward,
4 for the backward pass); an encoder-decoder's token passes about half of its parameters. Seconds are the larger of
operations over throughput and batches times the least time of a batch (twice that of a decoding step). On a GPU the least
time of a step is in proportion to the model's depth.

Decoding: a batch takes as many steps as its longest sequence has tokens; a step takes the largest of the least time, the
decoder's weights over the memory bandwidth, and 2 x active parameters x sequences over the throughput. Prompts are read
once a question (2 x active parameters x tokens).
"""

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from retrace.planning.assumptions import Assumptions
from retrace.planning.jobs import Job
from retrace.planning.sizes import BYTES_PER_TOKEN, Model, Sizes, Text
from retrace.planning.texts import prompted


@dataclass(frozen=True)
class Work:
    """seconds: wall time of the job. tokens: read in training, or written in decoding. disk: bytes that it leaves.

    state: bytes on disk while a training runs, for restarts.
    """

    seconds: float
    tokens: float = 0.0
    disk: float = 0.0
    state: float = 0.0
    sizes_known: bool = True  # rows and parameters, or assumed


# ---------------------------------------------------------------- options and devices


AUTOMATIC_ROWS = 256.0  # sequences of a batch that the device's memory decides: of a large model on 80 GB


def option(job: Job, name: str, default: float) -> float:
    """A number among the job's options; `default` where it is left out or no number."""
    value = job.options.get(name, default)
    try:
        return AUTOMATIC_ROWS if name == "batch-size" and value == "auto" else float(value)
    except ValueError:
        return default


@dataclass(frozen=True)
class Device:
    flops: float
    bandwidth: float
    step_seconds: float
    count: int


def device_of(job: Job, assumed: Assumptions) -> Device:
    if job.gpus:
        return Device(assumed.gpu_flops * job.gpus, assumed.gpu_bandwidth, assumed.gpu_step_seconds, job.gpus)
    return Device(assumed.cpu_flops * job.threads, assumed.cpu_bandwidth, assumed.cpu_step_seconds, 1)


def start_seconds(job: Job, models: float, assumed: Assumptions) -> float:
    """A job's start, with so many bytes of weights to read."""
    return assumed.start_seconds + models / assumed.disk_bandwidth


def depth_on(job: Job, model: Model) -> float:
    """How the least time of a step goes with a model: on a processor kernel calls are no measure."""
    return model.depth if job.gpus else 1.0


def training_seconds(job: Job, model: Model, tokens: float, batches: float, read: float, assumed: Assumptions) -> float:
    """tokens: with backward pass. batches: of one device. read: tokens without backward pass (evaluation)."""
    device = device_of(job, assumed)
    computing = 2 * model.active * (3 * tokens + read) / device.flops
    least = batches * 2 * device.step_seconds * depth_on(job, model)
    return start_seconds(job, 4 * model.parameters, assumed) + max(computing, least)


def decoding_seconds(
    job: Job, model: Model, sequences: float, steps: float, batch: float, assumed: Assumptions
) -> float:
    """Writing `sequences` of at most `steps` tokens, `batch` at once."""
    device = device_of(job, assumed)
    weights = model.active * model.bytes_each / device.bandwidth
    together = min(batch, sequences)
    step = max(device.step_seconds * depth_on(job, model), weights, 2 * model.active * together / device.flops)
    return ceil(sequences / max(1.0, batch)) * steps * step


def reading_seconds(job: Job, model: Model, tokens: float, assumed: Assumptions) -> float:
    return 2 * model.active * tokens / device_of(job, assumed).flops


def model_of(job: Job, sizes: Sizes) -> Model:
    return sizes.model(job.wildcards["model"])


def encoder_of(job: Job, sizes: Sizes) -> Model:
    """The network that judges or embeds: the backbone's encoder, or as large as half the generator."""
    name = job.options.get("backbone", "generator").rsplit("/", 1)[-1]
    model = model_of(job, sizes) if name in ("generator", "scratch") else sizes.model(name)
    return replace(model, parameters=model.active, family="encoder")


def text_of(job: Job, sizes: Sizes, split: str) -> Text:
    """The split that a job reads; of a measured job, with as many rows as it read then."""
    text = sizes.text(job.wildcards["task"], split)
    file = sizes.data_file(job.wildcards["task"], split)
    rows = sizes.lines(file, job.input_mb[file]) if file in job.input_mb else None
    return text if rows is None else replace(text, rows=rows, known=True)


def text_given(job: Job, sizes: Sizes, name: str) -> Text:
    """The split whose file a job is given as `--train`, `--dev` or `--data`."""
    return text_of(job, sizes, Path(job.options.get(name, f"{name}.jsonl")).stem)


def steps_of_training(job: Job, rows: float) -> float:
    """Optimiser steps: as the options say, or as many as the epochs over `rows` give."""
    steps = option(job, "max-steps", -1)
    return steps if steps >= 0 else ceil(option(job, "epochs", 1) * rows / option(job, "batch-size", 32))


def training(job: Job, sizes: Sizes, model: Model, rows: float, tokens: float, dev_rows: float) -> Work:
    """A training whose `rows` have so many tokens each; the last of the options is that of all our trainers."""
    batch = option(job, "batch-size", 32)
    steps = steps_of_training(job, rows)
    device = device_of(job, sizes.assumed)
    batches = steps * ceil(batch / (option(job, "device-batch-size", batch) * device.count))
    read = option(job, "evaluations", 1) * dev_rows * tokens
    seconds = training_seconds(job, model, steps * batch * tokens, batches, read, sizes.assumed)
    # A saved state holds weights and the two moments of AdamW; two of them while a new one replaces the old.
    weights = 4 * model.parameters
    return Work(seconds, steps * batch * tokens, weights, 6 * weights)


# ---------------------------------------------------------------- decoders


def written(job: Job, sizes: Sizes, text: Text, questions: float, samples: float, batch: float) -> Work:
    """Free decoding of `samples` solutions a question."""
    model, assumed = model_of(job, sizes), sizes.assumed
    longest = min(option(job, "max-new-tokens", 256), text.solution * assumed.longest)
    seconds = start_seconds(job, model.parameters * model.bytes_each, assumed)
    seconds += reading_seconds(job, model, questions * prompted(model, text), assumed)
    seconds += decoding_seconds(job, model, questions * samples, longest, batch, assumed)
    tokens = questions * samples * min(text.solution, longest)
    return Work(seconds, tokens, tokens * BYTES_PER_TOKEN * 2, text.known)


def guided(job: Job, sizes: Sizes, text: Text, questions: float, samples: float) -> Work:
    """Stepwise decoding: every step writes `candidates` continuations and the discriminator reads question, prefix and
    step of those that differ.

    Candidates of batch-size sequences are written together; the mean prefix is half a solution.
    """
    model, assumed = model_of(job, sizes), sizes.assumed
    candidates = option(job, "candidates", 20)
    steps = min(option(job, "max-steps", 8), text.steps)
    length = text.solution / text.steps
    longest = min(option(job, "max-step-tokens", 60), length * assumed.longest)
    sequences = questions * samples * candidates
    batch = max(candidates, option(job, "batch-size", 64))
    seconds = start_seconds(job, 2 * model.parameters * model.bytes_each, assumed)
    seconds += reading_seconds(job, model, questions * prompted(model, text), assumed)
    seconds += steps * decoding_seconds(job, model, sequences, longest, batch, assumed)
    if option(job, "beta", 1) != 0:  # beta may be `choose`
        read = sequences * assumed.distinct_share * steps * (text.question + text.solution / 2 + length)
        seconds += reading_seconds(job, discriminator_of(job, sizes), read, assumed)
    tokens = sequences * steps * min(length, longest)
    return Work(seconds, tokens, questions * samples * text.solution * BYTES_PER_TOKEN * 2, text.known)


def discriminator_of(job: Job, sizes: Sizes) -> Model:
    """A released or a trained discriminator: an encoder, as large as half a generator where its file is not named."""
    name = job.options.get("discriminator", "").rsplit("/", 1)[-1]
    released = (sizes.config / "models" / f"{name}.yaml").exists()
    return sizes.model(name) if released else encoder_of(job, sizes)
