"""Aligning sampled solutions with references: Needleman-Wunsch over step similarities, many solutions at once.

GRACE section 3.1 and appendix B. A gap costs `gap_cost`; two steps of similarity s cost 1 - s, or nothing where
s reaches `threshold` (the match is then forced). All alignments of a batch share one table, filled one anti-diagonal
at a time. Each anti-diagonal depends only on the two before it, so a few array operations fill it for the whole batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from retrace.errors import UserError

GAP = "_"
# The possible moves; 3 is a pair whose first step could also have been given a gap at the same cost.
SECOND_ONLY, FIRST_ONLY, PAIR, _, STOP = range(5)
USES_FIRST = np.array([0, 1, 1, 1, 0], dtype=bool)
USES_SECOND = np.array([1, 0, 1, 1, 0], dtype=bool)


class Path(NamedTuple):
    """One alignment in forward order: indices of the first and of the second list, -1 where one has a gap."""

    first: list[int]
    second: list[int]
    cost: float


@dataclass(frozen=True)
class Paths:
    """The alignments of a batch, in forward order.

    Shorter paths are right-aligned; before them `first` and `second` are both -1.

    Attributes:
        costs: [batch].
        first: Indices as in Path, [longest path, batch].
        second: Indices as in Path, [longest path, batch].
    """

    first: np.ndarray
    second: np.ndarray
    costs: np.ndarray
    lengths: np.ndarray

    def to_list(self) -> list[Path]:
        """One Path for each alignment."""
        longest, first, second = len(self.first), self.first.T.tolist(), self.second.T.tolist()
        starts = (longest - self.lengths).tolist()
        return [
            Path(x[start:], y[start:], cost)
            for x, y, start, cost in zip(first, second, starts, self.costs.tolist(), strict=True)
        ]


def align_batch(
    similarity: np.ndarray,
    first_lengths: np.ndarray,
    second_lengths: np.ndarray,
    gap_cost: float = 0.5,
    threshold: float = 0.8,
) -> Paths:
    """Align many pairs of lists.

    Args:
        similarity: Cosines [batch, m, n]; entries beyond a pair's own lengths are ignored.
        first_lengths: Lengths of the first lists, [batch]; may be zero.
        second_lengths: Lengths of the second lists, [batch]; may be zero.
        gap_cost: Cost of a gap.
        threshold: Similarity from which a match is forced.

    Raises:
        UserError: If a similarity is not a number. GRACE's code accepts it and may then trace back forever.
    """
    _, rows, columns = similarity.shape
    inside = (np.arange(rows)[:, None] < first_lengths)[:, None, :] & (np.arange(columns)[:, None] < second_lengths)
    # The batch axis is last, so operations on an anti-diagonal run over long rows. A stride needs at least two columns.
    values = np.zeros((rows, max(columns, 2), similarity.shape[0]))
    np.copyto(values[:, :columns], similarity.transpose(1, 2, 0), where=inside)
    if not np.isfinite(values).all():
        i, j, index = np.argwhere(~np.isfinite(values))[0]
        raise UserError(
            f"alignment {index}: the similarity of step {i + 1} to reference step {j + 1} is "
            f"{values[i, j, index]}; the embedder gave an unusable vector: use another align.embedder"
        )
    costs, moves = _fill(values, gap_cost, threshold)
    return _trace_back(costs, moves, np.asarray(first_lengths), np.asarray(second_lengths))


def _tables(rows: int, columns: int, batch: int, gap_cost: float) -> tuple[np.ndarray, np.ndarray]:
    """Costs and moves, each [m + n + 1, m + 1, batch], indexed by anti-diagonal i + j, then row i; edges are filled."""
    costs = np.empty((rows + columns + 1, rows + 1, batch))
    moves = np.zeros(costs.shape, dtype=np.int8)  # all SECOND_ONLY, as along the first row
    for position in range(max(rows, columns) + 1):
        if position <= columns:
            costs[position, 0] = gap_cost * position
        if position <= rows:
            costs[position, position] = gap_cost * position
            moves[position, position] = FIRST_ONLY
    moves[0, 0] = STOP
    return costs, moves


def _fill(similarity: np.ndarray, gap_cost: float, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Fill the tables, one anti-diagonal at a time. similarity: [m, n, batch], finite.

    A forced match costs 0 and needs no special case: no match costs less than 0, so neighboring cells differ by at most
    one gap and the minimum always selects it.
    """
    rows, columns, batch = similarity.shape
    costs, moves = _tables(rows, columns, batch, gap_cost)
    mismatch = np.where(similarity >= threshold, 0.0, 1.0 - similarity).reshape(rows * columns, batch)
    buffers = np.empty((3, min(rows, columns), batch))
    pairs, firsts = np.zeros((2, *costs.shape), dtype=np.bool_)
    for diagonal in range(2, rows + columns + 1):
        low, high = max(1, diagonal - columns), min(rows, diagonal - 1)
        paired, first_only, second_only = buffers[:, : high - low + 1]
        # Cell (i - 1, diagonal - i - 1) of the flat table: one row down and one column back is columns - 1 cells further.
        begin = (low - 1) * columns + diagonal - low - 1
        np.add(costs[diagonal - 2, low - 1 : high], mismatch[begin :: columns - 1][: high - low + 1], out=paired)
        np.add(costs[diagonal - 1, low - 1 : high], gap_cost, out=first_only)
        np.add(costs[diagonal - 1, low : high + 1], gap_cost, out=second_only)
        best = costs[diagonal, low : high + 1]
        np.minimum(first_only, second_only, out=best)
        np.minimum(best, paired, out=best)
        # Costs equal up to rounding (numpy.isclose's tolerances) count as cheapest; pairs take precedence. One of the
        # three options is the minimum, so if neither of the first two is, the third is.
        limit = np.multiply(best, 1 + 1e-5, out=second_only)
        limit += 1e-8
        np.less_equal(paired, limit, out=pairs[diagonal, low : high + 1])
        np.less_equal(first_only, limit, out=firsts[diagonal, low : high + 1])
    moves += pairs.view(np.int8) * np.int8(PAIR)
    moves += firsts.view(np.int8) * np.int8(FIRST_ONLY)
    return costs, moves


def _trace_back(costs: np.ndarray, moves: np.ndarray, first_lengths: np.ndarray, second_lengths: np.ndarray) -> Paths:
    """Follow the moves of all alignments at once, from the last cell to the first."""
    _, width, batch = moves.shape
    # A cell is an index into the flat table; each move subtracts a fixed number from it.
    down, across = (width + 1) * batch, width * batch
    jump = np.array([across, down, down + across, down + across, 0])
    last = ((first_lengths + second_lengths) * width + first_lengths) * batch + np.arange(batch)
    flat, cell = moves.reshape(-1), last
    longest = int((first_lengths + second_lengths).max(initial=0))
    taken = np.empty((longest, batch), dtype=np.int8)
    for step in range(longest - 1, -1, -1):  # backward, so that rows of `taken` are in forward order
        flat.take(cell, out=taken[step], mode="clip")
        cell = cell - jump.take(taken[step])
    lengths = longest - np.count_nonzero(taken == STOP, axis=0)
    first, second = _count(USES_FIRST.take(taken)), _count(USES_SECOND.take(taken))
    return Paths(first, second, costs.reshape(-1)[last], lengths)


def _count(used: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... down the rows where `used` [rows, batch] is true, -1 elsewhere."""
    total = used.astype(np.int32)
    for row in range(1, len(total)):  # several times faster than numpy.cumsum along the first axis
        total[row] += total[row - 1]
    total *= used
    total -= 1
    return total


def spell(steps: Sequence[str], indices: Sequence[int]) -> list[str]:
    """The steps along a path, with '_' for a gap."""
    return [GAP if index < 0 else steps[index] for index in indices]


def align_indexed(
    firsts: Sequence[Sequence[int]],
    seconds: Sequence[Sequence[int]],
    vectors: np.ndarray,
    gap_cost: float = 0.5,
    threshold: float = 0.8,
    chunk: int = 1024,
) -> list[Path]:
    """Align lists of row numbers of `vectors`, in input order.

    Args:
        firsts: Row numbers of the first list of each pair.
        seconds: Row numbers of the second list of each pair.
        vectors: Unit vectors [distinct steps, width], whose products are cosines.
        gap_cost: Cost of a gap.
        threshold: Similarity from which a match is forced.
        chunk: Pairs aligned together; pairs of similar length share a chunk to limit padding.
    """
    paths: list[Path | None] = [None] * len(firsts)
    order = sorted(range(len(firsts)), key=lambda index: (len(firsts[index]), len(seconds[index])))
    for start in range(0, len(order), chunk):
        part = order[start : start + chunk]
        left, left_lengths = _padded([firsts[index] for index in part])
        right, right_lengths = _padded([seconds[index] for index in part])
        similarity = np.matmul(vectors[left], vectors[right].transpose(0, 2, 1))
        aligned = align_batch(similarity, left_lengths, right_lengths, gap_cost, threshold)
        for index, path in zip(part, aligned.to_list(), strict=True):
            paths[index] = path
    return paths  # type: ignore[return-value]


def _padded(lists: list[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(part) for part in lists])
    rows = np.zeros((len(lists), int(lengths.max())), dtype=np.int64)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(p, dtype=np.int64) for p in lists])
    return rows, lengths


# ---------------------------------------------------------------- whole solutions


@dataclass
class Job:
    """A wrong solution and its candidate references: the reference first, then correct samples."""

    example_id: str
    steps: list[str]
    references: list[list[str]] = field(default_factory=list)


class Aligned(NamedTuple):
    """A wrong solution aligned with its nearest reference; both lists have equal length."""

    example_id: str
    first: list[str]
    second: list[str]
    cost: float


def align_jobs(
    jobs: Sequence[Job],
    embed: Callable[[list[str]], np.ndarray],
    gap_cost: float = 0.5,
    threshold: float = 0.8,
) -> list[Aligned]:
    """Align every job with its references and keep the cheapest alignment; ties go to the earlier reference.

    The official code makes pairs from the alignments with all correct solutions. Compared with a correct solution that
    takes a different approach, correct steps would count as wrong, so we use the nearest reference only.

    Args:
        jobs: Wrong solutions with their references.
        embed: Maps distinct steps to unit vectors [distinct steps, width]; called once.
        gap_cost: Cost of a gap.
        threshold: Similarity from which a match is forced.
    """
    number: dict[str, int] = {}

    def numbers(steps: Sequence[str]) -> list[int]:
        return [number.setdefault(step, len(number)) for step in steps]

    firsts: list[list[int]] = []
    seconds: list[list[int]] = []
    for job in jobs:
        own = numbers(job.steps)
        for reference in job.references:
            firsts.append(own)
            seconds.append(numbers(reference))
    paths = iter(align_indexed(firsts, seconds, embed(list(number)), gap_cost, threshold)) if firsts else iter(())
    results = []
    for job in jobs:
        options = [(next(paths), reference) for reference in job.references]
        path, reference = min(options, key=lambda option: option[0].cost)
        aligned = Aligned(job.example_id, spell(job.steps, path.first), spell(reference, path.second), path.cost)
        results.append(aligned)
    return results


def align_by_position(jobs: Sequence[Job]) -> list[Aligned]:
    """The naive alignment: step k with step k of the first reference that has as many steps; cost 0.

    As in the official code, solutions without such a reference are skipped.
    """
    results = []
    for job in jobs:
        for reference in job.references:
            if len(reference) == len(job.steps):
                results.append(Aligned(job.example_id, list(job.steps), list(reference), 0.0))
                break
    return results
