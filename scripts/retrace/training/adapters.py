"""Low-rank adapters (LoRA): trained instead of all weights, and merged into them at the end."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from retrace.errors import UserError
from retrace.training.options import AdapterTraining, Training
from retrace.training.parallel import is_sharded

_TASKS = {"encoder_decoder": "SEQ_2_SEQ_LM", "decoder_only": "CAUSAL_LM", "encoder": "FEATURE_EXTRACTION"}


def adapter_options(options: AdapterTraining, family: str, tokens: Sequence[int] = ()) -> Any:
    """The peft configuration of the options; None if all weights are trained. See `with_adapters`."""
    if options.lora_rank == 0:
        return None
    if is_sharded():
        raise UserError(
            f"lora_rank {options.lora_rank}: adapters are not divided among devices; set launch.strategy to ddp"
        )
    from peft import LoraConfig

    return LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=getattr(options, "lora_dropout", 0.0),
        target_modules=options.lora_modules or "all-linear",
        trainable_token_indices=list(tokens) or None,
        task_type=_TASKS[family],
    )


@contextlib.contextmanager
def explained(options: AdapterTraining) -> Iterator[None]:
    """Context that turns errors of peft and TRL about the named layers into a UserError."""
    try:
        yield
    except ValueError as error:
        if not options.lora_rank:
            raise
        fault = str(error).split("\n")[0][:200]
        raise UserError(f"lora_modules {' '.join(options.lora_modules) or '(all linear)'}: {fault}") from None


def with_adapters(
    model: PreTrainedModel, options: AdapterTraining, family: str, seed: int, tokens: Sequence[int] = ()
) -> Any:
    """The model with new adapters and all other weights frozen, or unchanged if the options ask for no adapters.

    The same seed gives the same adapters, so a training can resume. Raises UserError if the model lacks a named layer.

    Args:
        model: A generator, or the backbone of a judge.
        options: How large the adapters are, and in which layers.
        family: The generator's family; `encoder` for a network without a language-model head.
        seed: Seed of the adapters' weights.
        tokens: Ids of new tokens, whose embeddings are trained as well.
    """
    wanted = adapter_options(options, family, tokens)
    if wanted is None:
        return model
    from peft import get_peft_model

    with explained(options), torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, wanted)


def has_adapters(model: Any) -> bool:
    """Whether a model is a peft model, which wraps a model whose layers have adapters."""
    return hasattr(model, "peft_config")


def inner(model: Any) -> PreTrainedModel:
    """The transformers model inside peft's wrapper; its adapters stay active."""
    return model.get_base_model() if has_adapters(model) else model


def saved_weights(model: nn.Module, options: Training) -> int:
    """Number of weights in a saved state: all of the model's, or an upper bound on those of its (future) adapters."""
    if has_adapters(model) or has_adapters(getattr(model, "model", None)):  # the latter: the backbone of a judge
        return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    rank, names = getattr(options, "lora_rank", 0), getattr(options, "lora_modules", [])
    if not rank:
        return sum(weight.numel() for weight in model.parameters())
    layers = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and (not names or name.split(".")[-1] in names)
    ]
    return rank * sum(sum(layer.weight.shape) for layer in layers)


def merged(model: Any) -> PreTrainedModel:
    """The model with its adapters, if any, merged into the weights."""
    return model.merge_and_unload() if has_adapters(model) else model
