"""Learn-to-Reason's losses against the authors' own functions."""

import pytest
import torch

from retrace.systems.learn_to_reason.contrastive import (
    last_state,
    pooled_state,
    prompt_weights,
    triplet_losses,
    weighted_loss,
)
from retrace.training.data import IGNORED


def numbers(value) -> torch.Tensor:
    """A tensor of nested lists; null stands for NaN."""

    def plain(part):
        return [plain(one) for one in part] if isinstance(part, list) else float("nan") if part is None else part

    return torch.tensor(plain(value))


def language_loss(given: dict, official: bool) -> float:
    logits, ids = numbers(given["logits"]), torch.tensor(given["labels"])
    labels, weights = torch.full(ids.shape, IGNORED), torch.zeros(ids.shape)
    for row, (mask, prefix) in enumerate(zip(given["attention_mask"], given["prefix_attention_mask"], strict=True)):
        length = sum(mask)
        labels[row, : length - 1] = ids[row, 1:length]
        row_weights = prompt_weights(sum(prefix), length, given["prefix_weight"], official)
        weights[row, : length - 1] = torch.tensor(row_weights)
    return (weighted_loss(logits, labels, weights) / labels.ne(IGNORED).sum()).item()


def ours(given: dict) -> torch.Tensor | float:
    match given["fn"]:
        case "mle_weighted_loss":
            return language_loss(given, official=True)
        case "last_valid_token" | "pooling_hidden":
            mask = torch.tensor(given["input_ids"]) != given["pad_token_id"]
            represent = last_state if given["fn"] == "last_valid_token" else pooled_state
            return represent(numbers(given["hidden_state"]), mask)
        case "contrastive_loss":
            states = [numbers(given[name]) for name in ("sample", "positive", "negative")]
            mask = numbers(given["mask"])
            return ((triplet_losses(*states, given["margin"]) * mask).sum() / mask.sum().clamp(min=1e-6)).item()
        case other:
            pytest.fail(f"no implementation of {other}")


def test_ltr_loss(vectors) -> None:
    cases = vectors("ltr_loss")["cases"]
    differing = 0
    for number, case in enumerate(cases):
        found, expected = torch.as_tensor(ours(case["in"])), numbers(case["out"])
        assert torch.allclose(found, expected, atol=1e-4, equal_nan=True), f"case {number}"
        if case["in"]["fn"] == "mle_weighted_loss":
            differing += abs(language_loss(case["in"], official=False) - expected.item()) > 1e-4
    print(f"ltr_loss: {len(cases)} cases; by default {differing} differ by the weight of the rationale's first token")
    assert cases
    assert differing
