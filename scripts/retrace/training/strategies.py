"""Options that multi-process trainings do not support; checked while planning, and again by the training."""

from retrace.errors import UserError
from retrace.machine.launch import DIVIDING, OFFLOADING, strategy_for
from retrace.training.options import Training


def check_strategy(name: str, training: Training, strategy: str, world: int) -> None:
    """Raise UserError for options that a training of `world` processes with this strategy does not support.

    name: as in `launch.trainings`. The training itself checks the same, but only after all earlier jobs.
    """
    strategy = strategy_for(strategy, world)
    section, fault = name.replace("dpo_st_", "dpo_st."), None
    if strategy in (*DIVIDING, *OFFLOADING):
        if getattr(training, "keep_each", False):
            fault = "keep_each", "true", "no process has the whole model", "ddp, or keep_each to false"
        elif getattr(training, "lora_rank", 0):
            fault = "lora_rank", training.lora_rank, "adapters are not divided among devices", "ddp, or lora_rank to 0"
        elif training.optim != "adamw":
            fault = "optim", training.optim, "only plain AdamW can be divided or offloaded", "ddp, or optim to adamw"
    if strategy == "fsdp":
        if getattr(training, "keep", "") == "accuracy":
            fault = "keep", "accuracy", "it does not support decoding answers", "zero3, zero2 or ddp, or keep to best"
        elif name == "latro":
            fault = (
                "rationales",
                getattr(training, "rationales", ""),
                "it does not support sampling them",
                "zero3, zero2 or ddp",
            )
    if fault:
        option, value, reason, mend = fault
        raise UserError(
            f"{section}.{option}: {value} under launch.strategy {strategy}: {reason}; set "
            f"launch.trainings.{name}.strategy to {mend}"
        )
