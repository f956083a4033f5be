"""The configuration's section on devices: how trainings are spread over them."""

from pydantic import Field

from retrace.config_types import Count, Name, Section
from retrace.errors import UserError
from retrace.launch import DIVIDING, OFFLOADING, Strategy, strategy_for
from retrace.training_options import Training


class Placement(Section):
    """Devices of a training."""

    gpus: int = Field(
        default=-1,
        ge=-1,
        description="GPUs on each node; -1: one for a model of the Hub, none for one made from scratch. "
        "From 1 on, sampling and decoding take one GPU each, too",
    )
    nodes: Count = Field(default=1, description="nodes of a training; more than one needs SLURM")
    processes: int = Field(
        default=0, ge=0, description="processes on each node where a training has no GPU; 0: one. GPUs: always one each"
    )
    strategy: Strategy = Field(
        default="ddp",
        description="what the processes share: ddp copies the model; zero2 divides gradients and optimizer, zero3 and "
        "fsdp the weights too (one process alone trains as under ddp); zero2_offload and zero3_offload also keep the "
        "optimizer, and zero3_offload the weights, in the machine's memory, which helps a single GPU as well (all zero: "
        "DeepSpeed); none refuses several processes",
    )


class Launch(Placement):
    """How trainings are spread over devices. Results do not depend on it: batch sizes count over all devices."""

    trainings: dict[Name, Placement] = Field(
        default={}, description="values for one training only, by its section's name, for instance sft: {gpus: 4}"
    )

    def of(self, training: str) -> Placement:
        """The values for one training."""
        own = self.trainings.get(training, Placement()).model_dump(exclude_unset=True)
        return Placement.model_validate(self.model_dump(exclude={"trainings"}) | own)


def check_strategy(name: str, training: Training, strategy: str, world: int) -> None:
    """Raise UserError for what a training cannot do where `world` processes share it by this strategy.

    name: as in `launch.trainings`. The training itself refuses the same, but only once all before it has been computed.
    """
    strategy = strategy_for(strategy, world)
    section, fault = name.replace("dpo_st_", "dpo_st."), None
    if strategy in (*DIVIDING, *OFFLOADING):
        if getattr(training, "keep_each", False):
            fault = "keep_each", "true", "no process holds the whole model", "ddp, or keep_each to false"
        elif getattr(training, "lora_rank", 0):
            fault = "lora_rank", training.lora_rank, "adapters are small and are not divided", "ddp, or lora_rank to 0"
        elif training.optim != "adamw":
            fault = "optim", training.optim, "plain AdamW alone is divided or offloaded", "ddp, or optim to adamw"
    if strategy == "fsdp":
        if getattr(training, "keep", "") == "accuracy":
            fault = "keep", "accuracy", "no answers are decoded under it", "zero3, zero2 or ddp, or keep to best"
        elif name == "latro":
            fault = (
                "rationales",
                getattr(training, "rationales", ""),
                "none are sampled under it",
                "zero3, zero2 or ddp",
            )
    if fault:
        option, value, reason, mend = fault
        raise UserError(
            f"{section}.{option}: {value} under launch.strategy {strategy}: {reason}; set "
            f"launch.trainings.{name}.strategy to {mend}"
        )
