"""Losses and trainings of implicit chain of thought: student, emulator, and both coupled."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from retrace.training.data import IGNORED


class AnswerCounts(NamedTuple):
    """Sums over a batch."""

    loss: Tensor  # cross-entropy, summed over tokens
    tokens: Tensor
    right_tokens: Tensor  # most probable token is the wanted one
    right_rows: Tensor  # rows all of whose tokens are right: greedy decoding would write exactly this answer
    rows: int


def answer_counts(logits: Tensor, labels: Tensor) -> AnswerCounts:
    """Judge logits [B, L, V] by labels [B, L] (what each position shall predict; -100: left out)."""
    loss = functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    wanted = labels.ne(IGNORED)
    right = logits.argmax(-1).eq(labels) & wanted
    return AnswerCounts(loss, wanted.sum(), right.sum(), (right | ~wanted).all(1).sum(), len(labels))


def states_loss(states: Tensor, targets: Tensor) -> Tensor:
    """Half the squared distance of emulated states [B, N, H] from the teacher's, summed over all (section 3.2)."""
    return (states.float() - targets.float()).square().sum() / 2
