"""Read and replace layer inputs of an unmodified decoder-only model, with forward hooks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from retrace.errors import UserError

Change = Callable[[int, Tensor], Tensor | None]


class _EnoughError(Exception):
    """Ends a forward pass early."""


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The layers of a decoder-only model of the library, first to last (GPT-2: `transformer.h`, Llama: `model.layers`).

    Raises UserError for a model whose layers cannot be found, or whose first layer is not given hidden states.
    """
    base = getattr(model, "base_model", model)
    count = getattr(model.config, "num_hidden_layers", None)
    # Mostly the body's own; OPT keeps them one level below.
    found = [child for child in base.children() if _are_layers(child, count)]
    found = found or [part for child in base.children() for part in child.children() if _are_layers(part, count)]
    if len(found) != 1 or getattr(model.config, "is_encoder_decoder", False):
        raise UserError(
            f"model type {model.config.model_type!r}: its layers cannot be hooked; implicit chain of thought needs a "
            "decoder-only model such as GPT-2 or Llama"
        )
    return found[0]


def _are_layers(module: nn.Module, count: int | None) -> bool:
    return isinstance(module, nn.ModuleList) and len(module) == count


@contextmanager
def entering(blocks: Sequence[nn.Module], change: Change) -> Iterator[None]:
    """While the block runs, change(l, hidden) is called with the hidden states [B, L, H] that enter layer l.

    Its return value replaces the layer's input; None leaves it unchanged. `stop()` in it ends the model's forward pass.
    """

    def hook_of(layer: int) -> Callable:
        def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
            hidden = change(layer, args[0] if args else kwargs["hidden_states"])
            if hidden is None:
                return None
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        return hook

    handles = [block.register_forward_pre_hook(hook_of(layer), with_kwargs=True) for layer, block in enumerate(blocks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def stop() -> None:
    """End the forward pass that called the hook; `run` returns."""
    raise _EnoughError


def run(model: nn.Module, **inputs: Any) -> None:
    """The forward pass of the model's body (no logits), for the sake of its hooks, up to a `stop`."""
    with suppress(_EnoughError):
        getattr(model, "base_model", model)(**inputs, use_cache=False)


def take(hidden: Tensor, positions: Tensor) -> Tensor:
    """The hidden state [B, H] of each row of [B, L, H] at its own position (LongTensor[B])."""
    return hidden[torch.arange(len(hidden), device=hidden.device), positions]


def put(hidden: Tensor, positions: Tensor, states: Tensor) -> Tensor:
    """`hidden` [B, L, H] with row i's state at positions[i] replaced by states[i]; the argument stays as it is."""
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden.index_put((rows, positions), states.to(hidden.dtype))


def compile_blocks(model: nn.Module) -> None:
    """Compile each layer's own computation; hooks run outside it, and weights keep their names."""
    for block in blocks_of(model):
        block.forward = torch.compile(block.forward, dynamic=True)


def without_dropout(model: nn.Module, share: float = 0.0) -> None:
    """Set every dropout of a model to `share`: the authors train with dropout off."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = share
