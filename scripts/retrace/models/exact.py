"""Batch-invariant inference on the CPU: a row's results do not depend on other rows, to the last bit.

Without it they do, in the last digits: matrix products take other paths for a few rows than for many, and sums over a
padded length add in another order. A near tie may then fall either way, with the batch size or the number of shards.

- Linear layers compute at least so many rows that the matrix library takes its usual path (missing ones are zeros).
  A layer with one output computes two, the second of zeros: a product with a vector takes a path of its own. Whether
  the library then gives each row the same numbers is tried out once for each shape; where it does not, the model
  computes in float64, whose noise is too small to be seen.
- Attention and sums over positions run in float64 and are rounded to float32 in the end.
- Activation functions are left alone: they agree where layers are a multiple of 32 wide, as those of real models are;
  of other widths the processor computes the last few values of a tensor in another way.

This takes time, so it can be switched off for all models, or for large ones (`is_wanted`).

GPUs choose their kernels by the size of the batch; nothing is changed there, nor in half precision, where rounding is
coarse enough to make near ties common whatever one does.
"""

from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.pytorch_utils import Conv1D

ATTENTION = "retrace_exact"
SMALL = 200_000_000  # maximum number of parameters for `auto`; measured at 135 million: benchmark_exact.py
_ROWS = 8  # a thread; MKL needs 4, and as many again where it divides the rows unevenly
_TRIED = (0, 1, 3, 9, 56)  # rows more than the least, compared with one another
_OUTPUTS = 2  # minimum number of outputs of a matrix product


def exact_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The library's attention in float64, rounded to the type of `query`. query: [B, heads, n, width]."""
    if softcap is not None:
        return _capped_attention(query, key, value, attention_mask, kwargs["scaling"], softcap), None
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.double()
    if position_bias is not None:
        kwargs["position_bias"] = position_bias.double()
    out, _ = sdpa_attention_forward(module, query.double(), key.double(), value.double(), attention_mask, **kwargs)
    return out.to(query.dtype), None


def _capped_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, softcap: float
) -> Tensor:
    """The same for Gemma 2, whose attention logits are capped; the library's fused attention cannot do that."""
    groups = query.shape[1] // key.shape[1]
    keys, values = (part.double().repeat_interleave(groups, 1) for part in (key, value))
    if mask is None and query.shape[2] > 1:  # the library leaves out a mask that would only say which tokens come first
        shape = (query.shape[2], key.shape[2])
        mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril(shape[1] - shape[0])
    weights = torch.tanh(query.double() @ keys.transpose(2, 3) * scaling / softcap) * softcap
    if mask is not None:
        weights = (
            weights.masked_fill(~mask, torch.finfo(weights.dtype).min) if mask.dtype == torch.bool else weights + mask
        )
    return (torch.softmax(weights, -1) @ values).transpose(1, 2).to(query.dtype)


AttentionInterface.register(ATTENTION, exact_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def is_exact(device: torch.device | str) -> bool:
    """Whether inference on this device is batch-invariant."""
    return torch.device(device).type == "cpu"


def is_wanted(exact: str, model: nn.Module) -> bool:
    """Whether to make inference with a network batch-invariant on a CPU.

    Args:
        exact: `always`, `never`, or `auto`: for networks with at most 200 million parameters. Only the size decides, not the
            speed of the machine, so the same option gives the same rows on every machine.
        model: The network.
    """
    if exact == "auto":
        return sum(weight.numel() for weight in model.parameters()) <= SMALL
    return exact == "always"


def takes_float64(weight: Tensor) -> bool:
    """Whether inference with weights of this type, where they are, keeps its keys and values in float64."""
    return is_exact(weight.device) and weight.dtype in (torch.float32, torch.float64)


def set_attention(model: nn.Module, attention: str) -> bool:
    """Let a network, and each network inside it, use this registered attention function; whether all of them now do.

    transformers 5.17 passes by the parts whose configuration has the class of the whole's: the stacks of T5.
    """
    parts = [module for module in model.modules() if hasattr(module, "set_attn_implementation")]
    if not all(part._can_set_attn_implementation() for part in parts):
        return False
    for part in parts:
        part.set_attn_implementation(attention)
    return bool(parts) and all(part.config._attn_implementation == attention for part in parts)


def make_rows_independent(model: nn.Module, attention: str | None = ATTENTION) -> bool:
    """Prepare a network in evaluation mode on a processor, in place; on a GPU, or in half precision, nothing is done.

    attention: the registered attention function that its transformer shall use; None leaves it as it is.
    Returns whether its attention now takes keys and values in float64: those of BLOOM, Falcon and MPT cannot be replaced.
    """
    weight = next(model.parameters())
    if not takes_float64(weight):
        return False
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | Conv1D)]
    shapes = {(max(_OUTPUTS, layer.weight.shape[0]), layer.weight.shape[1]) for layer in layers}
    # Experts share out the rows among themselves: how many each gets depends on the batch.
    experts = parts_with_experts(model)
    agree = not experts and all(_rows_agree(*shape, torch.get_num_threads()) for shape in shapes)
    if weight.dtype == torch.float32 and not agree:
        model.double()
    for part in experts:
        part.set_experts_implementation("eager")  # grouped products know no float64
    for layer in layers:
        narrow = isinstance(layer, nn.Linear) and layer.out_features < _OUTPUTS
        layer.forward = partial(_on_enough_rows, _with_more_outputs if narrow else type(layer).forward, layer)
    if attention is None:
        return True
    if own := [module for module in model.modules() if hasattr(module, "_attn")]:
        for module in own:
            exact = _exact_scaled_attention if hasattr(module, "scale_attn") else _exact_local_attention
            module._attn = partial(exact, module)
        return True
    return set_attention(model, attention)


def parts_with_experts(model: nn.Module) -> list[Any]:
    """The networks in `model` that are mixtures of experts."""
    names = ("num_local_experts", "num_experts")
    return [
        part
        for part in model.modules()
        if hasattr(part, "set_experts_implementation")
        and any((getattr(part.config, name, None) or 0) > 1 for name in names)
    ]


def _exact_scaled_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same for GPT-J, whose layers have an attention of their own and no registered one."""
    weights = torch.matmul(query.double(), key.double().transpose(-1, -2)) / module.scale_attn
    if attention_mask is not None:
        weights = weights + attention_mask.double()
    weights = module.attn_dropout(torch.softmax(weights, -1))  # nothing but in a training that also decodes
    return torch.matmul(weights, value.double()).to(query.dtype), weights


def _exact_local_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same for GPT-Neo: not scaled, and every other layer sees the last tokens only."""
    weights = torch.matmul(query.double(), key.double().transpose(-1, -2))
    new, length = weights.shape[-2:]
    seen = module.bias[:, :, length - new : length, :length]
    weights = weights.masked_fill(~seen, torch.finfo(weights.dtype).min)
    if attention_mask is not None:
        weights = weights + attention_mask.double()
    weights = module.attn_dropout(torch.softmax(weights, -1))
    return torch.matmul(weights, value.double()).to(query.dtype), weights


def fewest_rows() -> int:
    """Minimum number of rows of a matrix product."""
    return _ROWS * torch.get_num_threads()


def _on_enough_rows(forward: Any, layer: nn.Module, inputs: Tensor) -> Tensor:
    rows, least = inputs[..., 0].numel(), fewest_rows()
    if rows >= least or rows == 0:
        return forward(layer, inputs)
    padded = inputs.new_zeros(least, inputs.shape[-1])
    padded[:rows] = inputs.reshape(rows, -1)
    return forward(layer, padded)[:rows].view(*inputs.shape[:-1], -1)


def _with_more_outputs(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """Output of a linear layer, computed with additional zero outputs, which are then removed."""
    more = _OUTPUTS - layer.out_features
    bias = None if layer.bias is None else functional.pad(layer.bias, (0, more))
    return functional.linear(inputs, functional.pad(layer.weight, (0, 0, 0, more)), bias)[..., : layer.out_features]


@lru_cache(maxsize=256)
def _rows_agree(height: int, width: int, threads: int) -> bool:
    """Whether the first rows of products with a [height, width] matrix are the same however many rows there are."""
    least = _ROWS * threads
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows, weight = torch.randn(least + max(_TRIED), width), torch.randn(height, width)
    whole = functional.linear(rows, weight)
    return all(torch.equal(functional.linear(rows[: least + n], weight), whole[: least + n]) for n in _TRIED)
