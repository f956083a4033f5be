"""Which pairs of factors the generated multiplications have: different ones, without remembering any.

A keyed permutation of all pairs says which pairs belong to which split, and another one, keyed by the seed, in which
order they come.
"""

import math
from collections.abc import Iterator, Set

import numpy as np

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks.long_multiplication import example_of, question_of

# Which part of all pairs a split may hold, as shares of the permuted pairs; further splits (a corpus) are not made.
SHARES = {"test": (0.0, 0.125), "dev": (0.125, 0.1875), "train": (0.1875, 1.0)}
CHUNK = 1 << 14  # pairs drawn at once


def _mixed(values: np.ndarray, key: int) -> np.ndarray:
    """64 scrambled bits for each value and a key (the finaliser of splitmix64)."""
    bits = values + np.uint64(key * 0x9E3779B97F4A7C15 % 2**64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def permuted(values: np.ndarray, size: int, key: int) -> np.ndarray:
    """Where a permutation of 0..size-1 sends each of the values (uint64); the key (from 0) chooses the permutation.

    A Feistel network over the next larger square of a power of two; what falls outside the range walks on until it is
    inside again, which keeps it a permutation.
    """
    half = max(1, math.ceil(math.log2(max(size, 2)) / 2))
    low, mask = np.uint64(half), np.uint64((1 << half) - 1)
    out = values.astype(np.uint64)
    waiting = np.arange(len(out))
    while len(waiting):
        part = out[waiting]
        left, right = part >> low, part & mask
        for turn in range(6):
            left, right = right, left ^ (_mixed(right, 6 * key + turn + 1) & mask)
        out[waiting] = part = (left << low) | right
        waiting = waiting[part >= size]
    return out


def generate(
    split: str, count: int, seed: int, digits: int, exclude: Set[str] = frozenset(), **unknown: object
) -> Iterator[Example]:
    """Yield `count` different pairs of a split, one at a time; the same arguments give the same on every machine.

    exclude: questions of other splits, which come from files. Splits share no pair, whatever their seeds and counts.
    Factors have no leading zero. Raises UserError for a split without a share, unknown settings, and where there are
    too few pairs.
    """
    if unknown:
        raise UserError(f"multiplication: unknown settings {', '.join(sorted(unknown))}; it has none")
    if split not in SHARES:
        raise UserError(f"multiplication: split {split!r} is unknown; it makes {', '.join(SHARES)}")
    lowest, choices = 10 ** (digits - 1), 9 * 10 ** (digits - 1)
    pairs = choices * choices
    first, last = (round(share * pairs) for share in SHARES[split])
    made = 0
    with np.errstate(over="ignore"):  # 64-bit products wrap around, as they shall
        for start in range(0, last - first, CHUNK):
            places = np.arange(start, min(start + CHUNK, last - first), dtype=np.uint64)
            drawn = permuted(permuted(places, last - first, seed + 1) + np.uint64(first), pairs, 0)
            for pair in drawn.tolist():
                if made == count:
                    return
                a, b = lowest + pair // choices, lowest + pair % choices
                if exclude and question_of(a, b, digits) in exclude:
                    continue
                yield example_of(
                    a,
                    b,
                    digits,
                    f"mult_{digits}x{digits}-{split}-{seed}-{made}",
                    split,
                    f"generator multiplication, {digits} digits, split {split}, seed {seed}",
                )
                made += 1
    if made < count:
        raise UserError(
            f"multiplication: there are {made} pairs of {digits} digits for split {split}, {count} were asked for; "
            "lower `count`"
        )
