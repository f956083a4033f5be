"""Alignment of two lists of steps, through the batched one that production runs."""

from collections.abc import Sequence

import numpy as np

from retrace.systems.grace.alignment import align_batch, spell


def align(first: Sequence[str], second: Sequence[str], similarity: np.ndarray) -> tuple[list[str], list[str], float]:
    """Both lists with '_' for gaps, and the cost; similarity [len(first), len(second)]."""
    matrix = np.asarray(similarity, dtype=np.float64).reshape(1, len(first), len(second))
    [path] = align_batch(matrix, np.array([len(first)]), np.array([len(second)])).to_list()
    return spell(first, path.first), spell(second, path.second), path.cost
