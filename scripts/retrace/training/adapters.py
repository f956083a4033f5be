"""Low-rank adapters (LoRA): trained instead of all weights, and merged into them at the end."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from transformers.modeling_utils import PreTrainedModel

from retrace.errors import UserError
from retrace.training.parallel import is_sharded
from retrace.training_options import AdapterTraining


def adapter_options(options: AdapterTraining, family: str) -> Any:
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
        lora_dropout=getattr(options, "lora_dropout", 0.0),
        target_modules=options.lora_modules or "all-linear",
        task_type="SEQ_2_SEQ_LM" if family == "encoder_decoder" else "CAUSAL_LM",
    )


@contextlib.contextmanager
def explained(options: AdapterTraining) -> Iterator[None]:
    """Inside, what peft and TRL have against the layers that the options name becomes a UserError."""
    try:
        yield
    except ValueError as error:
        if not options.lora_rank:
            raise
        fault = str(error).split("\n")[0][:200]
        raise UserError(f"lora_modules {' '.join(options.lora_modules) or '(all linear)'}: {fault}") from None


def with_adapters(model: PreTrainedModel, options: AdapterTraining, family: str, seed: int) -> Any:
    """The model with fresh adapters, all else frozen, or as it is where the options ask for none.

    The same seed gives the same adapters, so that a training can go on. Raises UserError for layers that the model
    does not have.
    """
    wanted = adapter_options(options, family)
    if wanted is None:
        return model
    from peft import get_peft_model

    with explained(options), torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, wanted)


def has_adapters(model: Any) -> bool:
    """Whether a model is one of peft's, around a model whose layers have adapters."""
    return hasattr(model, "peft_config")


def inner(model: Any) -> PreTrainedModel:
    """The model of the library; adapters, where it has some, are parts of its layers and stay in use."""
    return model.get_base_model() if has_adapters(model) else model


def merged(model: Any) -> PreTrainedModel:
    """The model with its adapters merged into the weights; as it is where it has none."""
    return model.merge_and_unload() if has_adapters(model) else model
