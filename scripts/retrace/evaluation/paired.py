"""Paired comparison of two methods: difference with interval, and p value."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from retrace.evaluation.intervals import RESAMPLES, Estimate, cluster_bootstrap
from retrace.schemas import Row
from retrace.tasks.graders import PAPER


class Discordance(Row):
    """Numbers of questions on which the two methods agree and disagree."""

    both: int = Field(ge=0, description="both right")
    only_a: int = Field(ge=0)
    only_b: int = Field(ge=0)
    neither: int = Field(ge=0)


class SeedComparison(Row):
    """The comparison within one seed."""

    seed: int
    accuracy_a: float
    accuracy_b: float
    difference: Estimate
    p_value: float = Field(description="McNemar's exact test, two-sided")
    questions: Discordance


class Comparison(Row):
    """results/{task}/{model}/compare/{method_a}_vs_{method_b}.json; all differences are a minus b, as shares of 1."""

    kind: Literal["comparison"] = "comparison"
    task: str
    split: str
    model: str
    preset: str | None = None
    method_a: str
    method_b: str
    n: int = Field(ge=1, description="questions")
    seeds: list[int]
    graded_by: str = Field(
        default=PAPER, exclude_if=lambda name: name == PAPER, description="the grader of both, if not the paper's own"
    )
    accuracy_a: float = Field(description="mean over seeds, by the paper's own grader, or by `graded_by`")
    accuracy_b: float
    difference: Estimate = Field(
        description="resampling questions, with differences averaged over seeds: valid for these trained models"
    )
    difference_over_seeds: Estimate | None = Field(
        description="also resampling seeds: valid for newly trained models; absent with one seed"
    )
    difference_strict: Estimate = Field(description="as `difference`, by the strict grader")
    p_value: float = Field(ge=0, le=1, description="two-sided, for the hypothesis of no difference between the methods")
    test: Literal["mcnemar_exact", "sign_flip"] = Field(
        description="one seed: McNemar's exact test; several: sign flips of the questions' mean differences"
    )
    per_seed: list[SeedComparison]
    predictions: list[dict[str, str]] = Field(description="path and sha256 of every file that was read")


class Difference(Row):
    """A mean difference, a minus b, with its 95 % interval, in the measure's own unit."""

    value: float
    low: float
    high: float


class MeasureComparison(Row):
    """results/{task}/{model}/compare/{method_a}_vs_{method_b}_by_{measure}.json; shares of 1, or tokens a question."""

    kind: Literal["measure_comparison"] = "measure_comparison"
    task: str
    split: str
    model: str
    preset: str | None = None
    measure: str = Field(description="tokens, or pass_at_K: at least one of K samples right, unbiased")
    method_a: str
    method_b: str
    n: int = Field(ge=1, description="questions")
    seeds: list[int]
    value_a: float = Field(description="mean over questions and seeds")
    value_b: float
    difference: Difference = Field(description="questions drawn again: holds for these trained models")
    difference_over_seeds: Difference | None = Field(description="seeds drawn again too; absent with one seed")
    p_value: float = Field(ge=0, le=1, description="two-sided, from flipping the signs of the questions' differences")
    predictions: list[dict[str, str]] = Field(description="path and sha256 of every file that was read")


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p value of McNemar's exact test, from the questions that only one of the two methods answered correctly."""
    discordant = only_a + only_b
    if only_a < 0 or only_b < 0:
        raise ValueError("counts cannot be negative")
    # Integers until the final division, which Python rounds correctly at any size.
    tail = sum(math.comb(discordant, count) for count in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**discordant)


def discordance(a: np.ndarray, b: np.ndarray) -> Discordance:
    """Counts from two vectors of correct (1) and wrong (0) answers to the same questions."""
    first, second = a.astype(bool), b.astype(bool)
    return Discordance(
        both=int((first & second).sum()),
        only_a=int((first & ~second).sum()),
        only_b=int((~first & second).sum()),
        neither=int((~first & ~second).sum()),
    )


def paired_difference(a: np.ndarray, b: np.ndarray, seed: int = 0, over_seeds: bool = False) -> Estimate:
    """Mean of a - b with its 95 % bootstrap interval; a, b: [seeds, questions], with a question's outcomes together."""
    _check(a, b)
    gap = a - b
    low, high = cluster_bootstrap(gap, RESAMPLES, seed, over_seeds=over_seeds)
    return Estimate(value=float(gap.mean()), low=low, high=high, interval="paired_bootstrap")


def sign_flip(a: np.ndarray, b: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p value of no difference, from flipping the sign of each question's mean difference at random.

    a, b: [seeds, questions]. With one seed it tends to McNemar's exact test. The smallest value is
    1 / (resamples + 1), since the data itself is one of the arrangements.
    """
    _check(a, b)
    # Integers (correct answers over the seeds), so that equal sums compare as equal.
    gaps = np.rint((a - b).sum(axis=0)).astype(np.int64)
    gaps = gaps[gaps != 0]
    seen = abs(int(gaps.sum()))
    generator = np.random.default_rng(seed)
    reached = 0
    for start in range(0, resamples, 500):
        size = min(500, resamples - start)
        signs = generator.integers(2, size=(size, gaps.size)) * 2 - 1
        reached += int((np.abs(signs @ gaps) >= seen).sum())
    return (1 + reached) / (1 + resamples)


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"both must be [seeds, questions] of the same shape, got {a.shape} and {b.shape}")


def compare_seeds(a: np.ndarray, b: np.ndarray, seeds: Sequence[int]) -> list[SeedComparison]:
    """One comparison per seed, from outcomes [seeds, questions]."""
    _check(a, b)
    rows = []
    for index, seed in enumerate(seeds):
        counts = discordance(a[index], b[index])
        rows.append(
            SeedComparison(
                seed=seed,
                accuracy_a=float(a[index].mean()),
                accuracy_b=float(b[index].mean()),
                difference=paired_difference(a[index : index + 1], b[index : index + 1]),
                p_value=mcnemar(counts.only_a, counts.only_b),
                questions=counts,
            )
        )
    return rows


def compare_by(a: np.ndarray, b: np.ndarray, seeds: Sequence[int], **names: object) -> MeasureComparison:
    """The comparison from a measure of each question [seeds, questions]; `names` are the document's remaining fields."""
    _check(a, b)
    gap = a - b

    def difference(over_seeds: bool) -> Difference:
        low, high = cluster_bootstrap(gap, RESAMPLES, over_seeds=over_seeds)
        return Difference(value=float(gap.mean()), low=low, high=high)

    return MeasureComparison(
        n=a.shape[1],
        seeds=list(seeds),
        value_a=float(a.mean()),
        value_b=float(b.mean()),
        difference=difference(False),
        difference_over_seeds=difference(True) if len(seeds) > 1 else None,
        # Whole millionths, so that equal sums compare as equal.
        p_value=sign_flip(1e6 * a, 1e6 * b),
        **names,  # type: ignore[arg-type]
    )


def compare(
    a: np.ndarray,
    b: np.ndarray,
    a_strict: np.ndarray,
    b_strict: np.ndarray,
    seeds: Sequence[int],
    **names: object,
) -> Comparison:
    """The complete comparison from outcomes [seeds, questions]; `names` are the document's other fields."""
    per_seed = compare_seeds(a, b, seeds)
    several = len(seeds) > 1
    return Comparison(
        n=a.shape[1],
        seeds=list(seeds),
        accuracy_a=float(a.mean()),
        accuracy_b=float(b.mean()),
        difference=paired_difference(a, b),
        difference_over_seeds=paired_difference(a, b, over_seeds=True) if several else None,
        difference_strict=paired_difference(a_strict, b_strict),
        p_value=sign_flip(a, b) if several else per_seed[0].p_value,
        test="sign_flip" if several else "mcnemar_exact",
        per_seed=per_seed,
        **names,  # type: ignore[arg-type]
    )
