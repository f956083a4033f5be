"""Resources of jobs: GPUs, memory and run time, by model, configuration section and attempt.

Methods used directly as resources take the job's wildcards and Snakemake's `attempt`. The others return such
functions. Memory is in MB, run time in minutes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any

from retrace.errors import UserError
from retrace.machine.cluster import grown
from retrace.machine.launch import OFFLOADING
from retrace.models.options import ModelConfig
from retrace.models.packaged import PACKAGED
from retrace.training.strategies import check_strategy
from retrace.workflow.jobs import values_of, variants_of
from retrace.workflow.settings import Settings

Wildcards = Any
# Strategies whose processes load the model directly into GPU memory.
READ_ONTO_GPUS = {"sft", "latro_sft", "latro", "dpo_st_sft", "dpo_st_dpo", "learn_to_reason"}
PROCESS_MB = 4000  # per additional process on the node, without any model
SMALL_JOB = {"mem_mb": 2000, "runtime": 30}


@dataclass(frozen=True)
class Place:
    """Where the jobs of a run start. Evaluated per job, because Snakemake knows it only after reading the rules.

    Attributes:
        here: Whether jobs run on this machine instead of being submitted.
        planning: Whether this is a dry run.
        limit: The user's limit on GPUs of concurrent jobs, if any.
        count: Counts the GPUs visible on this machine.
    """

    here: Callable[[], bool]
    planning: Callable[[], bool]
    limit: int | None
    count: Callable[[], int]

    @cached_property
    def devices(self) -> int:
        return self.count()


def copies_of(model: ModelConfig, copies: float) -> float:
    """Memory of this many float32 copies of a model."""
    return copies * 4 * (model.parameters or 1e7) / 1e6


def no_gpu(wildcards: Wildcards) -> int:
    """GPUs of a job that only processes text: none."""
    return 0


class Needs:
    """Resources of all jobs under a configuration.

    Args:
        settings: The configuration.
        place: Where jobs run.
        error: Exception for a job that cannot run; Snakemake's own is shown without a traceback.
    """

    def __init__(self, settings: Settings, place: Place, error: type[Exception] = UserError) -> None:
        self.settings = settings
        self.place = place
        self.error = error
        self._to_decode = lru_cache(maxsize=None)(self._decode_needs)

    # ------------------------------------------------------------ models

    def trained_model(self, wildcards: Wildcards, section: str | None) -> ModelConfig:
        """The model that a section trains: its backbone or released model, or else the job's own."""
        if section is None:
            return self.settings.model(wildcards.model)
        values = getattr(values_of(self.settings, wildcards), section, None)
        name = getattr(values, "released", None) or getattr(values, "backbone", None)
        if name in PACKAGED and name not in self.settings.models:
            return PACKAGED[name].config
        return self.settings.model(name if name in self.settings.models else wildcards.model)

    def larger_model(self, wildcards: Wildcards, section: str | None) -> ModelConfig:
        """The larger of the job's model and the section's; without a section, the job's."""
        own, trained = self.settings.model(wildcards.model), self.trained_model(wildcards, section)
        more = (trained.scratch is None, trained.parameters or 0) > (own.scratch is None, own.parameters or 0)
        return trained if more else own

    def weights_mb(self, rule: str, wildcards: Wildcards) -> int:
        """Memory of the weights of a job's model or backbone; 0 without one or for a tiny one."""
        name = getattr(wildcards, "model", None)
        if name not in self.settings.models:
            return 0
        section = rule.removeprefix("train_")
        model = self.settings.model(name)
        if section in ("discriminator", "verifier"):
            model = self.larger_model(wildcards, section)
        return int((model.parameters or 0) * (4 if model.dtype == "float32" else 2) / 1e6)

    # ------------------------------------------------------------ GPUs

    def gpus_of(self, wildcards: Wildcards, wanted: int, section: str | None = None) -> int:
        """GPUs per node; -1: one for models too large for a CPU, none for models trained from scratch."""
        model = self.larger_model(wildcards, section)
        count = int(model.scratch is None) if wanted < 0 else wanted
        place = self.place
        if place.limit is not None and count > place.limit:
            raise self.error(
                f"launch.gpus is {count} for {wildcards.model} and the run may use {place.limit} "
                f"(--resources gpus={place.limit}); change one of them"
            )
        if not place.here() or place.planning():
            return count
        if not self.settings.values.require_gpu and not place.devices:
            return 0  # run on the CPU anyway
        if count > place.devices > 0:
            raise self.error(
                f"launch.gpus is {count} for {wildcards.model} and this machine has {place.devices}; lower it, "
                "or submit to a cluster (--workflow-profile profiles/slurm)"
            )
        return count

    def needs_gpu(self, wildcards: Wildcards, section: str | None = None) -> int:
        """GPUs of a job that samples, decodes or scores, with or without the encoder of a section: at most one."""
        wanted = values_of(self.settings, wildcards).launch.gpus
        return min(1, self.gpus_of(wildcards, wanted, section))

    # ------------------------------------------------------------ trainings

    def to_train(self, section: str) -> dict[str, Callable]:
        """Devices of a training: resources, and arguments of the launcher."""

        def placement(wildcards: Wildcards) -> Any:
            return values_of(self.settings, wildcards).launch.of(section)

        def gpus(wildcards: Wildcards) -> int:
            chosen = placement(wildcards)
            count = self.gpus_of(wildcards, chosen.gpus, section)
            options = values_of(self.settings, wildcards).trainings()[section]
            try:
                check_strategy(section, options, chosen.strategy, chosen.nodes * (count or chosen.processes or 1))
            except UserError as error:
                raise self.error(f"{wildcards.task} with {wildcards.model}: {error}") from None
            return count

        def launcher_options(wildcards: Wildcards) -> str:
            chosen = placement(wildcards)
            if chosen.nodes > 1 and self.place.here() and not self.place.planning():
                raise self.error(
                    f"launch.nodes is {chosen.nodes} for {wildcards.model} and jobs run on this machine; set it to 1, "
                    "or submit to a cluster (--workflow-profile profiles/slurm)"
                )
            processes = 0 if gpus(wildcards) else chosen.processes
            return f"--nodes {chosen.nodes} --processes {processes} --strategy {chosen.strategy}"

        def across_nodes(value: Callable[[int], Any]) -> Callable:
            """Resource of multi-node trainings only; the SLURM plugin then leaves srun to the launcher."""
            return lambda wildcards: value(placement(wildcards).nodes) if placement(wildcards).nodes > 1 else None

        return {
            "gpus": gpus,
            "launch": launcher_options,
            "nodes": across_nodes(lambda nodes: nodes),
            "tasks": across_nodes(lambda nodes: nodes),
            "tasks_per_gpu": across_nodes(lambda nodes: 0),
            "mpi": across_nodes(lambda nodes: "srun"),
        }

    def memory_to_train(self, section: str) -> Callable:
        """Memory of a training on one node.

        One process: weights, gradients and two moments, or as much where they are on a GPU and states are saved and
        read. Adapters: the weights that they are merged into. An offloaded optimizer lies in memory beside what is
        saved. Further processes hold all of it again on a processor, nothing of it where each reads onto its own GPU.
        """

        def needed(wildcards: Wildcards, attempt: int) -> Any:
            values = values_of(self.settings, wildcards)
            placement, gpus = values.launch.of(section), self.to_train(section)["gpus"](wildcards)
            others = max(1, gpus or placement.processes) - 1
            copies = 1 if getattr(values.trainings()[section], "lora_rank", 0) else 4
            if placement.strategy in OFFLOADING:
                copies *= 2
            if not gpus:
                copies *= 1 + others
            elif section not in READ_ONTO_GPUS:
                copies += 2 * others
            return self.memory_of(self.megabytes(wildcards, copies, section) + PROCESS_MB * others, gpus, attempt)

        return needed

    def training_needs(self, section: str, runtime: Callable, mem_mb: Callable | None = None) -> dict[str, Callable]:
        """Resources of a training. mem_mb: replaces `memory_to_train`."""
        return {**self.to_train(section), "mem_mb": mem_mb or self.memory_to_train(section), "runtime": runtime}

    # ------------------------------------------------------------ memory

    def memory_of(self, megabytes: float, gpus: int, attempt: int) -> Any:
        """Memory to request in an attempt, at most what a node of the partition has, if the site declares it."""
        values = self.settings.values
        most = values.slurm.partition_of(gpus).memory_gb if values.slurm else None
        return grown(megabytes * values.resource_factors.memory, attempt, most and 1000 * most)

    def megabytes(self, wildcards: Wildcards, copies: float, section: str | None = None) -> float:
        """Memory of this many float32 copies of the model, or of a larger backbone of `section`, plus 4 GB."""
        return 4000 + copies_of(self.larger_model(wildcards, section), copies)

    def memory(self, megabytes: float, gpus: Callable[[Wildcards], int] = no_gpu) -> Callable:
        """Memory that depends on the data; 4 GB for models trained from scratch. gpus: the job's request."""

        def needed(wildcards: Wildcards, attempt: int) -> Any:
            small = self.settings.model(wildcards.model).scratch is not None
            return self.memory_of(4000 if small else megabytes, gpus(wildcards), attempt)

        return needed

    # ------------------------------------------------------------ decoding

    def to_decode(self, number: float, guide: str | Callable | None = None) -> dict[str, Callable]:
        """Resources of a job that samples, decodes or judges: at most one GPU, memory, and `number` hours as in `hours`.

        Args:
            number: Hours.
            guide: The section of the encoder that works beside the model (`discriminator`, `verifier`), or a function
                that names it for the job, or none. The larger one of the two says how long the job takes, and whether
                it needs a GPU.
        """

        def needs(wildcards: Wildcards) -> tuple[int, float, ModelConfig]:
            section = guide(wildcards) if callable(guide) else guide
            return self._to_decode(wildcards.task, wildcards.model, section, variants_of(self.settings, wildcards))

        def gpus(wildcards: Wildcards) -> int:
            return needs(wildcards)[0]

        def mem_mb(wildcards: Wildcards, attempt: int) -> Any:
            count, megabytes, _ = needs(wildcards)
            return self.memory_of(megabytes, count, attempt)

        def runtime(wildcards: Wildcards, attempt: int) -> int:
            count, _, model = needs(wildcards)
            return self.minutes_of(number, model, count, attempt)

        return {"gpus": gpus, "mem_mb": mem_mb, "runtime": runtime}

    def _decode_needs(
        self, task: str, model: str, section: str | None, variants: tuple[str, ...]
    ) -> tuple[int, float, ModelConfig]:
        """(GPUs, memory, larger model) of decoding with a model and the encoder of a section; cached."""
        wildcards = SimpleNamespace(task=task, model=model, variants=variants)
        own, encoder = self.settings.model(model), self.trained_model(wildcards, section)
        # A decoder-only judge is a second copy of the generator; two copies are enough for a generator and its encoder.
        beside = 0 if section is None or (encoder is own and own.family != "decoder_only") else copies_of(encoder, 2)
        megabytes = self.megabytes(wildcards, copies=2) + beside
        return self.needs_gpu(wildcards, section), megabytes, self.larger_model(wildcards, section)

    # ------------------------------------------------------------ time

    def hours(self, number: float, section: str | None = None, gpus: Callable | None = None) -> Callable:
        """Run time: `number` hours for a Hub model of 0.8 billion parameters, in proportion more for a larger one, an
        hour for a model made from scratch; growing with each attempt.

        Args:
            number: Hours.
            section: Of a training that may have a backbone: then it is the backbone that takes the time.
            gpus: The job's request, if not `needs_gpu`; selects the partition whose limit applies.
        """

        def minutes(wildcards: Wildcards, attempt: int) -> int:
            count = self.to_train(section)["gpus"](wildcards) if section else (gpus or self.needs_gpu)(wildcards)
            return self.minutes_of(number, self.trained_model(wildcards, section), count, attempt)

        return minutes

    def minutes_of(self, number: float, model: ModelConfig, gpus: int, attempt: int) -> int:
        """See `hours`. At most the partition's limit, if the site declares it: a training that is cut off resumes
        at its last saved step."""
        values = self.settings.values
        larger = max(1, (model.parameters or 0) / 8e8)
        first = 60 * (1 if model.scratch is not None else number * larger) * values.resource_factors.time
        most = values.slurm.partition_of(gpus).hours if values.slurm else None
        return max(1, round(min(first * attempt, 60 * most if most else first * attempt)))
