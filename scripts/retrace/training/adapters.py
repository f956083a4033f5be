"""Low-rank adapters (LoRA): trained instead of all weights, and merged into them at the end."""

from typing import Any

import torch
from transformers.modeling_utils import PreTrainedModel

from retrace.config_dpo_st import RoundTraining
from retrace.errors import UserError
from retrace.training.parallel import is_sharded


def adapter_options(options: RoundTraining, family: str) -> Any:
    """The peft configuration that the options ask for; None where all weights are trained."""
    if options.lora_rank == 0:
        return None
    if is_sharded():
        raise UserError(
            f"lora_rank {options.lora_rank}: adapters are small and are not divided; set launch.strategy to ddp"
        )
    from peft import LoraConfig

    return LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=options.lora_modules or "all-linear",
        task_type="SEQ_2_SEQ_LM" if family == "encoder_decoder" else "CAUSAL_LM",
    )


def with_adapters(model: PreTrainedModel, options: RoundTraining, family: str, seed: int) -> Any:
    """The model with fresh adapters, all else frozen, or as it is where the options ask for none.

    The same seed gives the same adapters, so that a training can go on. Raises UserError for layers that the model
    does not have.
    """
    wanted = adapter_options(options, family)
    if wanted is None:
        return model
    from peft import get_peft_model

    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return get_peft_model(model, wanted)
    except ValueError as error:
        fault = str(error).split("\n")[0][:200]
        raise UserError(f"lora_modules {' '.join(options.lora_modules) or '(all linear)'}: {fault}") from None


def merged(model: Any) -> PreTrainedModel:
    """The model with its adapters merged into the weights; as it is where it has none."""
    return model.merge_and_unload() if hasattr(model, "peft_config") else model
