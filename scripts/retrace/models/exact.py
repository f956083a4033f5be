"""Batch-invariant inference on the CPU: a row's results do not depend on other rows, to the last bit.

Without it they do, in the last digits: matrix products take other paths for a few rows than for many, and sums over a
padded length add in another order. A near tie may then fall either way, with the batch size or the number of shards.

- Linear layers compute at least so many rows that the matrix library takes its usual path (missing ones are zeros).
  Whether it then gives each row the same numbers is tried out once for each shape; where it does not, the model
  computes in float64, whose noise is too small to be seen.
- Attention and sums over positions run in float64 and are rounded to float32 in the end.
- Activation functions are left alone: they agree where layers are a multiple of 32 wide, as those of real models are;
  of other widths the processor computes the last few values of a tensor in another way.

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
_ROWS = 8  # a thread; MKL needs 4, and as many again where it divides the rows unevenly
_TRIED = (0, 1, 3, 9, 56)  # rows more than the least, compared with one another


def exact_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The library's attention in float64, rounded to the type of `query`. query: [B, heads, n, width]."""
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.double()
    if position_bias is not None:
        kwargs["position_bias"] = position_bias.double()
    out, _ = sdpa_attention_forward(module, query.double(), key.double(), value.double(), attention_mask, **kwargs)
    return out.to(query.dtype), None


AttentionInterface.register(ATTENTION, exact_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def is_exact(device: torch.device | str) -> bool:
    """Whether inference on this device is batch-invariant."""
    return torch.device(device).type == "cpu"


def takes_float64(weight: Tensor) -> bool:
    """Whether inference with weights of this type, where they are, keeps its keys and values in float64."""
    return is_exact(weight.device) and weight.dtype in (torch.float32, torch.float64)


def set_attention(model: nn.Module, attention: str) -> bool:
    """Let a network, and each network inside it, use this registered attention function; whether all of them now do.

    transformers 5.17 passes by the parts whose configuration has the class of the whole's: the stacks of T5.
    """
    parts = [module for module in model.modules() if hasattr(module, "set_attn_implementation")]
    for part in parts:
        part.set_attn_implementation(attention)
    return bool(parts) and all(part.config._attn_implementation == attention for part in parts)


def make_rows_independent(model: nn.Module, attention: str | None = ATTENTION) -> bool:
    """Prepare a network in evaluation mode on a processor, in place; on a GPU, or in half precision, nothing is done.

    attention: the registered attention function that its transformer shall use; None leaves it as it is.
    Returns whether its attention now takes keys and values in float64: those of a few architectures cannot be replaced.
    """
    weight = next(model.parameters())
    if not takes_float64(weight):
        return False
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | Conv1D)]
    shapes = {tuple(layer.weight.shape) for layer in layers}
    if weight.dtype == torch.float32 and not all(_rows_agree(*shape, torch.get_num_threads()) for shape in shapes):
        model.double()
    for layer in layers:
        layer.forward = partial(_on_enough_rows, type(layer).forward, layer)
    if attention is None:
        return True
    if own := [module for module in model.modules() if hasattr(module, "_attn") and hasattr(module, "scale_attn")]:
        for module in own:
            module._attn = partial(_exact_scaled_attention, module)
        return True
    return set_attention(model, attention)


def _exact_scaled_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same for GPT-J, whose layers have an attention of their own and no registered one."""
    weights = torch.matmul(query.double(), key.double().transpose(-1, -2)) / module.scale_attn
    if attention_mask is not None:
        weights = weights + attention_mask.double()
    weights = module.attn_dropout(torch.softmax(weights, -1))  # nothing but in a training that also decodes
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


@lru_cache(maxsize=256)
def _rows_agree(height: int, width: int, threads: int) -> bool:
    """Whether the first rows of products with a [height, width] matrix are the same however many rows there are."""
    least = _ROWS * threads
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows, weight = torch.randn(least + max(_TRIED), width), torch.randn(height, width)
    whole = functional.linear(rows, weight)
    return all(torch.equal(functional.linear(rows[: least + n], weight), whole[: least + n]) for n in _TRIED)
