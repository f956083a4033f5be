"""Log-probabilities of selected tokens, without computing all other logits.

Only the positions whose next token is scored go through the output layer, chunk by chunk; a chunk's logits are the
largest tensor in memory. The backward pass recomputes each chunk's softmax instead of storing it, unless everything fits
in one small chunk.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

CHUNK_ELEMENTS = 1 << 24  # logits in memory at once: 64 MB in float32
# Configuration keys of architectures that change their logits before the softmax.
_MULTIPLIERS = ("logit_scale", "output_multiplier", "lm_head_multiplier")


class SelectedLogprobs(torch.autograd.Function):
    """log softmax(cap(scale * (hidden W' + b)))[target] for rows of hidden states.

    hidden [n, d], weight [V, d], bias [V] or None, targets LongTensor[n]; scale and softcap as `logit_shape` gives them.
    Returns float32 [n]. Gradients flow to hidden, weight and bias.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, scale: float, softcap: float
    ) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        rows = max(1, CHUNK_ELEMENTS // weight.shape[0])
        found = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        totals = torch.empty_like(found)
        kept = None
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            logits = _logits(hidden[part], weight, bias, dtype, scale, softcap)
            totals[part] = logits.logsumexp(-1)
            found[part] = logits.gather(-1, targets[part, None])[:, 0] - totals[part]
            kept = logits if rows >= len(hidden) else None
        ctx.save_for_backward(hidden, weight, bias, targets, totals, kept)
        ctx.shape = (dtype, scale, softcap, rows)
        return found

    @staticmethod
    def backward(ctx: Any, gain: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, totals, kept = ctx.saved_tensors
        dtype, scale, softcap, rows = ctx.shape
        into_hidden = torch.empty_like(hidden)
        into_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        into_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None else None
        with gathered(weight, bias):
            for start in range(0, len(hidden), rows):
                part = slice(start, start + rows)
                # A second backward pass would need the stored logits again, so they are not overwritten.
                logits = _logits(hidden[part], weight, bias, dtype, scale, softcap) if kept is None else kept.clone()
                slope = scale * (1 - (logits / softcap) ** 2) if softcap else scale
                # d log p[target] / d logit[j] = 1[j = target] - p[j]
                change = logits.sub_(totals[part, None]).exp_().mul_(-gain[part, None])
                change[torch.arange(len(change), device=change.device), targets[part]] += gain[part]
                if softcap or scale != 1.0:
                    change *= slope
                if into_bias is not None:
                    into_bias += change.sum(0)
                change = change.to(dtype)
                into_hidden[part] = (change @ weight.to(dtype)).to(hidden.dtype)
                if into_weight is not None:
                    into_weight.addmm_(change.float().t(), hidden[part].float())
        return (
            into_hidden,
            None if into_weight is None else into_weight.to(weight.dtype),
            None if into_bias is None else into_bias.to(bias.dtype),
            None,
            None,
            None,
        )


def _logits(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, scale: float, softcap: float
) -> Tensor:
    logits = (hidden.to(dtype) @ weight.to(dtype).t()).float()
    if bias is not None:
        logits += bias.float()
    if scale != 1.0:
        logits *= scale
    return logits.div_(softcap).tanh_().mul_(softcap) if softcap else logits


def logit_shape(config: Any) -> tuple[float, float]:
    """(multiplier, cap) that a model's forward applies to its logits; (1, 0) if it changes nothing."""
    config = config.get_text_config()
    factors = [getattr(config, name, None) for name in _MULTIPLIERS]
    scale = next((float(factor) for factor in factors if factor is not None), None)
    if scale is None:
        divisor = getattr(config, "logits_scaling", None)
        scale = 1.0 if divisor is None else 1.0 / float(divisor)
    return scale, float(getattr(config, "final_logit_softcapping", None) or 0.0)


@contextlib.contextmanager
def gathered(*weights: Tensor | None) -> Iterator[None]:
    """Gather whole weights, also if DeepSpeed's ZeRO-3 divides them among processes."""
    divided = [
        weight
        for weight in weights
        # Parameters gathered by someone else must not be partitioned again on exit.
        if weight is not None and hasattr(weight, "ds_id") and weight.ds_status.name != "AVAILABLE"
    ]
    if not divided:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(divided, modifier_rank=None):
        yield


def add_scorer(model: PreTrainedModel) -> None:
    """Let `model(..., scored=positions, targets=tokens)` return log-probabilities float32 [n] instead of logits.

    `scored` is a LongTensor[n] of positions in the flattened [B, T] of input_ids, and `targets` a LongTensor[n] of the
    tokens to predict there. Without `scored` the model's forward is unchanged. The call goes through the model's own
    forward, so wrappers for several processes see it.
    """
    plain = model.forward
    scale, softcap = logit_shape(model.config)

    @functools.wraps(type(model).forward)
    def forward(*args: Any, scored: Tensor | None = None, targets: Tensor | None = None, **kwargs: Any) -> Any:
        if scored is None:
            return plain(*args, **kwargs)
        given = {name: value for name, value in kwargs.items() if value is not None}  # peft passes on None values, too
        hidden = model.base_model(*args, use_cache=False, **given).last_hidden_state
        head = model.get_output_embeddings()
        chosen = hidden.flatten(0, 1).index_select(0, scored)
        with gathered(head.weight, head.bias):
            return SelectedLogprobs.apply(chosen, head.weight, head.bias, targets, scale, softcap)

    model.forward = forward
