"""Options that are not supported in multi-process trainings; checked while planning, and again by the training."""

from retrace.errors import UserError
from retrace.machine.launch import DIVIDING, OFFLOADING, strategy_for
from retrace.training.options import Training


def check_strategy(name: str, training: Training, strategy: str, world: int) -> None:
    """Raise UserError for options that a training of `world` processes with this strategy does not support.

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
