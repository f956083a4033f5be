"""Which tokens of the steps are removed in each step of a training. arXiv 2405.14838, section 3.

A removal is planned as a whole before the training, so that a killed one goes on as an uninterrupted one would have.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from retrace.errors import UserError
from retrace.systems.icot_si.options import StepwiseTraining
from retrace.training.separated_rows import SeparatedRows

LARGEST_OFFSET = 99  # code: compute_lambda_distribution


class Shortened(NamedTuple):
    """A row without `removed` tokens of its steps."""

    number: int
    removed: int


class ShorterRows(Sequence[Shortened]):
    """Rows in all lengths: item `removed * len(rows) + number` is row `number` without so many tokens of its steps."""

    def __init__(self, rows: SeparatedRows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, code):  # type: ignore[no-untyped-def]
        removed, number = divmod(int(code), len(self.rows))
        return Shortened(number, removed)

    def __iter__(self) -> Iterator[Shortened]:
        """The rows with all their steps."""
        return (self[number] for number in range(len(self)))

    def fingerprint(self) -> str:
        """Checksum of the rows."""
        return self.rows.fingerprint()


def step_tokens(rows: SeparatedRows) -> np.ndarray:
    """Tokens of the steps of each row, IntArray [n]."""
    return rows.second - rows.first - 1


def without(row: np.ndarray, first: int, second: int, removed: int, side: Literal["left", "right"]) -> np.ndarray:
    """Token ids of a row without `removed` tokens of its steps, from the left or the right.

    first, second: places of its separators. Without any step left the second separator is left out as well: that is
    the text that `no_cot` is trained on, and answers in.
    """
    left = second - first - 1 - removed
    if left <= 0:
        return np.concatenate([row[: first + 1], row[second + 1 :]])
    start, end = (second - left, second) if side == "left" else (first + 1, first + 1 + left)
    return np.concatenate([row[: first + 1], row[start:end], row[second:]])


@dataclass(frozen=True)
class Removal:
    """What a training removes, and when.

    scheduled: IntArray [steps], tokens to be removed in each step of the optimizer, before the random offsets; as many as
    the longest row has: all. order: IntArray [steps * batch_size], items of `ShorterRows` as they are visited. resets:
    steps before which the optimizer forgets.
    """

    scheduled: np.ndarray
    order: np.ndarray
    resets: frozenset[int]

    @property
    def complete(self) -> int:
        """The first step behind which no token of any row's steps is left."""
        return int(np.argmax(self.scheduled == self.scheduled[-1])) + 1

    def at(self, step: int) -> int:
        """Tokens that are removed in a step; behind the last one as in the last."""
        return int(self.scheduled[min(step, len(self.scheduled) - 1)])


def schedule(options: StepwiseTraining, steps: int, steps_of_epoch: int, longest: int) -> np.ndarray:
    """How many tokens are to be removed in each step; `longest`, the tokens of the longest steps, is all.

    As in the code: one token more every round(steps_of_epoch / remove_per_epoch) steps, at least one step apart, and the
    first one that many steps behind the epochs with all steps.
    """
    apart = max(1, round(steps_of_epoch / options.remove_per_epoch))
    removing = np.arange(steps) - round(options.explicit_epochs * steps_of_epoch)
    tokens = np.maximum(removing // apart, 0)
    if options.remove_all_beyond is not None:
        tokens = np.where(tokens >= options.remove_all_beyond, longest, tokens)
    return np.minimum(tokens, longest)


def offsets(count: int, rate: float, seed: int) -> np.ndarray:
    """Random numbers of further tokens, IntArray [count], with probabilities in proportion to exp(-rate o); 0: zeros."""
    if rate == 0:
        return np.zeros(count, dtype=np.int32)
    drawn = np.random.default_rng([seed, 1]).geometric(-np.expm1(-rate), count) - 1
    return np.minimum(drawn, LARGEST_OFFSET).astype(np.int32)


def plan_removal(rows: SeparatedRows, visited: np.ndarray, options: StepwiseTraining, seed: int) -> Removal:
    """The removal of a training that visits these rows.

    Raises UserError where the training ends before all tokens are removed: nothing could decode such a model.
    """
    tokens = step_tokens(rows)
    longest = int(tokens.max())
    size = options.batch_size
    steps, steps_of_epoch = len(visited) // size, -(-len(rows) // size)
    scheduled = schedule(options, steps, steps_of_epoch, longest)
    if scheduled[-1] < longest:
        raise UserError(
            f"icot_si: the training ends at step {steps} with {scheduled[-1]} of {longest} step tokens removed; it would "
            "still write steps. Raise epochs or max_steps, raise remove_per_epoch, or set remove_all_beyond"
        )
    of_explicit = np.arange(steps) < round(options.explicit_epochs * steps_of_epoch)
    extra = offsets(len(visited), options.smoothing_lambda, seed)
    extra[np.repeat(of_explicit, size)] = 0
    removed = np.minimum(np.repeat(scheduled, size) + extra, tokens[visited])
    gone = (removed == tokens[visited]).reshape(steps, size).all(1)  # steps whose batch has no token of steps left
    resets = [step for step in range(1, steps) if scheduled[step] > scheduled[step - 1] and not gone[step - 1]]
    return Removal(
        scheduled, removed.astype(np.int64) * len(rows) + visited, frozenset(resets if options.reset_optimizer else ())
    )
