"""The configuration's section on devices: how trainings are spread over them."""

from pydantic import Field

from retrace.machine.launch import Strategy
from retrace.sections import Count, Name, Section


class Placement(Section):
    """Devices of a training."""

    gpus: int = Field(
        default=-1,
        ge=-1,
        description="GPUs on each node; -1: one for a pretrained model, none for one made from scratch. "
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
