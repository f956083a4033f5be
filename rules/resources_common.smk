"""Helpers only, no rules: memory and run time that jobs ask for, by the size of the model and by the attempt."""

from retrace.machine.cluster import grown
from retrace.machine.launch import OFFLOADING


def is_small(wildcards):
    """Whether the model is one that is trained from scratch."""
    return settings.model(wildcards.model).scratch is not None


def memory_of(megabytes, gpus, attempt):
    """Memory that the attempt asks for, no more than a node of the partition has where the site says how much."""
    most = settings.values.slurm.partition_of(gpus).memory_gb if settings.values.slurm else None
    return grown(megabytes * settings.values.resource_factors.memory, attempt, most and 1000 * most)


def copies_of(model, copies):
    """Memory in MB of so many float32 copies of a model."""
    return copies * 4 * (model.parameters or 1e7) / 1e6


def gigabytes(wildcards, copies, section=None):
    """Memory in MB for so many float32 copies of the model, or a larger backbone of `section`, and 4 GB for the rest."""
    return 4000 + copies_of(larger_model(wildcards, section), copies)


# Trainings whose processes read the model straight into the memory of their GPUs.
READ_ONTO_GPUS = {"sft", "latro_sft", "latro", "dpo_st_sft", "dpo_st_dpo", "learn_to_reason"}
PROCESS_MB = 4000  # of a further process on the node, without any model


def memory_to_train(section):
    """A resources function: memory of a training on one node.

    One process: weights, gradients and two moments, or as much where they are on a GPU and states are saved and read.
    Adapters: the weights that they are merged into. An offloaded optimizer lies in memory beside what is saved. Further
    processes hold all of it again on a processor, nothing of it where each reads onto its own GPU.
    """

    def needed(wildcards, attempt):
        values = values_of(wildcards)
        placement, gpus = values.launch.of(section), to_train(section)["gpus"](wildcards)
        others = max(1, gpus or placement.processes) - 1
        copies = 1 if getattr(values.trainings()[section], "lora_rank", 0) else 4
        if placement.strategy in OFFLOADING:
            copies *= 2
        if not gpus:
            copies *= 1 + others
        elif section not in READ_ONTO_GPUS:
            copies += 2 * others
        return memory_of(gigabytes(wildcards, copies, section) + PROCESS_MB * others, gpus, attempt)

    return needed


SMALL_JOB = {"mem_mb": 2000, "runtime": 30}


def training_needs(section, runtime, mem_mb=None):
    """Resources of a training: its devices, memory and run time. mem_mb: where it is not that of `memory_to_train`."""
    return {**to_train(section), "mem_mb": mem_mb or memory_to_train(section), "runtime": runtime}


def defined_by(section=None):
    """Params that nearly all jobs have: what defines their task and their model, and the options of a section."""
    words = {"options": options(section), "speed": speed(section)} if section else {}
    return {"task": what_defines_the_task, "model": what_defines_the_model, **words}


def no_gpu(wildcards):
    """GPUs of a job that only reads and writes text."""
    return 0


def memory(megabytes, gpus=no_gpu):
    """A resources function: memory that depends on the data, 4 GB where the model is a small one. gpus: as the job asks."""
    return lambda wildcards, attempt: memory_of(4000 if is_small(wildcards) else megabytes, gpus(wildcards), attempt)


def to_decode(number, guide=None):
    """Resources of a job that samples, decodes or judges: a GPU at most, memory, and `number` hours as in `hours`.

    guide: the section of the encoder that works beside the model (`discriminator`, `verifier`), or a function that names
    it for the job, or none. The larger one of the two says how long the job takes, and whether it needs a GPU.
    """

    def needs(wildcards):
        section = guide(wildcards) if callable(guide) else guide
        return needs_to_decode(wildcards.task, wildcards.model, section, variants_of(wildcards))

    def gpus(wildcards):
        return needs(wildcards)[0]

    def mem_mb(wildcards, attempt):
        count, megabytes, _ = needs(wildcards)
        return memory_of(megabytes, count, attempt)

    def runtime(wildcards, attempt):
        count, _, model = needs(wildcards)
        return minutes_of(number, model, count, attempt)

    return {"gpus": gpus, "mem_mb": mem_mb, "runtime": runtime}


@lru_cache(maxsize=None)
def needs_to_decode(task, model, section, variants):
    """(GPUs, memory in MB, the larger model) of decoding with a model and the encoder of a section; asked for every job."""
    wildcards = SimpleNamespace(task=task, model=model, variants=variants)
    own, encoder = settings.model(model), trained_model(wildcards, section)
    beside = 0 if encoder is own else copies_of(encoder, 2)
    return needs_gpu(wildcards, section), gigabytes(wildcards, copies=2) + beside, larger_model(wildcards, section)


def hours(number, section=None, gpus=needs_gpu):
    """A resources function: run time in minutes. `number` hours for a Hub model of 0.8 billion parameters, in proportion
    more for a larger one, an hour for a model trained from scratch; growing with each attempt. section: of the training,
    where that may have a backbone: then it is the backbone that takes the time. gpus: as the job asks; they decide whose
    limit holds."""

    def minutes(wildcards, attempt):
        count = to_train(section)["gpus"](wildcards) if section else gpus(wildcards)
        return minutes_of(number, trained_model(wildcards, section), count, attempt)

    return minutes


def minutes_of(number, model, gpus, attempt):
    """See `hours`. No more than the partition allows, where the site says how much: a training that is cut off goes on
    at its last saved step."""
    larger = max(1, (model.parameters or 0) / 8e8)
    first = 60 * (1 if model.scratch is not None else number * larger) * settings.values.resource_factors.time
    most = settings.values.slurm.partition_of(gpus).hours if settings.values.slurm else None
    return max(1, round(min(first * attempt, 60 * most if most else first * attempt)))


def speed(section=None):
    """A params function: the words of the options that change no result; section: default, that of the job's decoder.

    Snakemake does not compare parameters that ask for the threads, so that changing these redoes nothing.
    """

    def words(wildcards, threads):
        return [*words_for(wildcards, section)[1]]

    return words
