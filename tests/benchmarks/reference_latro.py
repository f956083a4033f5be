"""A plain training step of LaTRO, pass by pass: what benchmark_latro.py compares with.

Rows are padded on the left. Without gradients: rationales under the policy, rationales under the reference model,
answers under the policy. Then, with gradients, rationales and answers once more, each in a pass of its own. Every pass
makes the logits of all positions and their log-softmax.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from retrace.systems.latro.rationales import Rationale


def left_padded(texts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """(ids, mask) [B, longest]."""
    width = max(map(len, texts))
    ids = torch.tensor([[pad] * (width - len(text)) + list(text) for text in texts])
    lengths = torch.tensor([len(text) for text in texts])[:, None]
    return ids, torch.arange(width)[None] >= width - lengths


def summed(model: torch.nn.Module, texts: Sequence[Sequence[int]], wanted: Sequence[int], pad: int) -> Tensor:
    """log p of the last `wanted` tokens of each text [B]."""
    ids, mask = (part.to(next(model.parameters()).device) for part in left_padded(texts, pad))
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False).logits
    found = logits[:, :-1].float().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    counts = torch.tensor(wanted, device=ids.device)[:, None]
    last = torch.arange(found.shape[1], device=ids.device)[None] >= found.shape[1] - counts
    return (found * last).sum(1)


def step(
    policy: torch.nn.Module,
    reference: torch.nn.Module,
    rows: Sequence[Rationale],
    k: int,
    batch: int,
    kl_coef: float,
    sft_penalty: float,
    pad: int,
) -> None:
    """Gradients of one optimiser step, added up over batches of so many rows."""

    def rationales(model: torch.nn.Module, part: Sequence[Rationale]) -> Tensor:
        return summed(model, [row.prompt + row.ids for row in part], [len(row.ids) for row in part], pad)

    def answers(part: Sequence[Rationale]) -> Tensor:
        return summed(
            policy, [row.prompt + row.ids + row.answer for row in part], [len(row.answer) for row in part], pad
        )

    parts = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    with torch.no_grad():
        own = torch.cat([rationales(policy, part) for part in parts])
        theirs = torch.cat([rationales(reference, part) for part in parts])
        rewards = torch.cat([answers(part) for part in parts])
        values = (rewards - kl_coef * (own - theirs)).view(-1, k)
        advantages = (values - (values.sum(1, keepdim=True) - values) / (k - 1)).flatten()
    for number, part in enumerate(parts):
        weights = advantages[number * batch : number * batch + len(part)]
        loss = -(weights * rationales(policy, part)).mean() - sft_penalty * answers(part).mean()
        (loss / len(parts)).backward()
