"""GRACE's alignment of two lists of steps cell by cell, a similarity that is not a number included."""

import numpy as np

from retrace.systems.grace.alignment import GAP

_ENDLESS = 1000  # moves of a traceback that the official code would not end


def align_as_theirs(
    first: list[str], second: list[str], similarity: np.ndarray, gap_cost: float = 0.5, threshold: float = 0.8
) -> tuple[list[str], list[str], float]:
    """Both lists with '_' for gaps, and the cost; similarity [len(first), len(second)].

    Raises:
        RecursionError: a value that is not a number lies on the traceback, where the official code never ends.
    """
    rows, columns = len(first), len(second)
    costs = np.zeros((rows + 1, columns + 1))
    costs[:, 0], costs[0] = gap_cost * np.arange(rows + 1), gap_cost * np.arange(columns + 1)

    def options(i: int, j: int) -> list[float]:
        mismatch = 1 - similarity[i - 1, j - 1]
        return [costs[i - 1, j - 1] + mismatch, costs[i - 1, j] + gap_cost, costs[i, j - 1] + gap_cost]

    def forced(i: int, j: int) -> bool:
        return bool(similarity[i - 1, j - 1] >= threshold)

    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            costs[i, j] = costs[i - 1, j - 1] if forced(i, j) else min(options(i, j))  # the order decides about a NaN
    i, j, pairs = rows, columns, []
    while i > 0 or j > 0:
        if len(pairs) > _ENDLESS:
            raise RecursionError("the traceback never ends")
        if i > 0 and j > 0:
            near = [bool(np.isclose(option, costs[i, j])) for option in options(i, j)]
            pair = forced(i, j) or near[0]
            take_first, take_second = pair or near[1], pair or (near[2] and not near[1])
        else:
            take_first, take_second = i > 0, i == 0
        pairs.append((first[i - 1] if take_first else GAP, second[j - 1] if take_second else GAP))
        i, j = i - take_first, j - take_second
    aligned = pairs[::-1]
    return [one for one, _ in aligned], [other for _, other in aligned], float(costs[rows, columns])
