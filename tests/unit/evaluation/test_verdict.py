"""Verdicts: the prediction interval by hand, its error rates in simulated reruns, and what planted faults do to them."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from retrace.evaluation.result import independent_runs
from retrace.evaluation.verdict import (
    CANNOT_TELL,
    NOT_REPRODUCED,
    REPRODUCED,
    Number,
    Prediction,
    decide,
    holm,
    predict,
)

FIVE = [0.33, 0.34, 0.35, 0.36, 0.37]  # mean .35, standard deviation sqrt(.001 / 4)
MARGIN = 0.12


def verdict(value: float, values: Sequence[float] = FIVE, margin: float = MARGIN, **number: float) -> str:
    found = predict(values, Number(value, **number))  # type: ignore[arg-type]
    return decide(found, len(values), margin).verdict


def test_the_interval_by_hand() -> None:
    found = predict(FIVE, Number(0.343))
    assert found is not None
    half = 2.776445 * math.sqrt(0.001 / 4) * math.sqrt(1 + 1 / 5)  # t with 4 degrees of freedom
    assert (found.mean, found.spread, found.seeds) == (pytest.approx(0.35), pytest.approx(0.0158114), 5)
    assert (found.low, found.high) == (pytest.approx(0.35 - half), pytest.approx(0.35 + half))
    # With one degree of freedom t is Cauchy's: P(|t| > 1) is a half.
    half_of_them = predict([0.3, 0.4], Number(0.35 + math.sqrt(0.005) * math.sqrt(1.5), rounding=0))
    assert half_of_them is not None
    assert half_of_them.p_value == pytest.approx(0.5)


def test_a_mean_of_several_runs_is_expected_nearer_than_one_run() -> None:
    one, mean = predict(FIVE, Number(0.343)), predict(FIVE, Number(0.343, runs=5))
    assert one is not None
    assert mean is not None
    assert (mean.high - mean.low) / (one.high - one.low) == pytest.approx(math.sqrt((1 / 5 + 1 / 5) / (1 + 1 / 5)))


def test_the_papers_own_spread_takes_the_place_of_ours() -> None:
    narrow = predict(FIVE, Number(0.343, runs=5, spread=0.0))
    assert narrow is not None
    assert narrow.high - narrow.low == pytest.approx(2 * 2.776445 * math.sqrt(0.001 / 4 / 5))
    equal = predict(FIVE, Number(0.343, runs=5, spread=math.sqrt(0.001 / 4)))
    assert equal is not None
    assert equal.high - equal.mean == pytest.approx(2.306004 * 0.0158114 * math.sqrt(2 / 5), rel=1e-5)  # 8 degrees
    unknown_runs = predict(FIVE, Number(0.343, spread=0.5))
    assert unknown_runs == predict(FIVE, Number(0.343)), "a spread of one run says nothing"


@pytest.mark.parametrize(
    ("value", "values", "margin", "expected", "why"),
    [
        (0.36, FIVE, MARGIN, REPRODUCED, "inside the 95 % prediction interval, 30.2 to 39.8"),
        (0.45, FIVE, MARGIN, NOT_REPRODUCED, "outside the 95 % prediction interval, 30.2 to 39.8"),
        (0.36, FIVE, 0.05, CANNOT_TELL, "9.6 points wide; 5 are the most"),
        (0.45, FIVE, 0.05, NOT_REPRODUCED, "outside"),  # a wide interval refutes all the same
        (0.36, [0.35], MARGIN, CANNOT_TELL, "1 independent run; it takes 3"),
        (0.36, [0.35, 0.36], MARGIN, CANNOT_TELL, "2 independent runs; it takes 3"),
        (0.90, [0.35, 0.36], MARGIN, CANNOT_TELL, "it takes 3"),
        (0.36, [0.35] * 5, MARGIN, CANNOT_TELL, "the spread between runs is not known"),
        (0.35, [0.3502] * 5, MARGIN, REPRODUCED, "all runs gave the paper's number"),
    ],
)
def test_three_states(value: float, values: list[float], margin: float, expected: str, why: str) -> None:
    found = decide(predict(values, Number(value)), len(values), margin)
    assert found.verdict == expected
    assert why in found.because


def test_what_is_rounded_to_the_printed_number_counts_as_it() -> None:
    edge = predict(FIVE, Number(0.35))
    assert edge is not None
    assert verdict(edge.high + 0.0004) == REPRODUCED
    assert verdict(edge.high + 0.0006) == NOT_REPRODUCED
    assert verdict(edge.high + 0.004, rounding=0.005) == REPRODUCED  # printed as whole percent


def test_seeds_with_the_same_predictions_are_one_run() -> None:
    def run(*texts: str, chosen: int = 0) -> Any:
        rows = [SimpleNamespace(chosen=chosen, answer="1", samples=[SimpleNamespace(text=text)]) for text in texts]
        return SimpleNamespace(rows=rows)

    assert independent_runs([run("a", "b"), run("a", "b"), run("a", "c"), run("a", "b", chosen=1)]) == [0, 2, 3]
    # Three seeds of one model, and a lucky spread: two independent runs are too few.
    found = decide(predict([0.35, 0.36], Number(0.35)), 3, MARGIN)
    assert found.verdict == CANNOT_TELL
    assert "2 independent runs (of 3 seeds; the others gave the same predictions)" in found.because


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_one_odd_number_among_many_is_not_yet_refuted() -> None:
    found = predict(FIVE, Number(0.405))
    assert found is not None
    assert 0.01 < found.p_value < 0.05
    assert decide(found, 5, MARGIN).verdict == NOT_REPRODUCED
    among = decide(found, 5, MARGIN, adjusted=holm([found.p_value] + [0.6] * 9)[0])
    assert among.verdict == CANNOT_TELL
    assert "Holm" in among.because


# ---------------------------------------------------------------- simulated reruns

QUESTIONS, SPREAD, WORLDS = 1000, 0.011, 200
Rule = Callable[[Sequence[float], Sequence[float]], list[str]]


def runs(generator: np.random.Generator, count: int, shift: float = 0.0) -> list[float]:
    """Accuracies of `count` trainings on the same questions: whole numbers of right answers."""
    return list(np.rint(QUESTIONS * generator.normal(0.4 + shift, SPREAD, count)) / QUESTIONS)


def judged_together(reference: Sequence[float], numbers: Sequence[float]) -> list[str]:
    """The verdicts of a table with these numbers in it."""
    found = [predict(reference, Number(value)) for value in numbers]
    adjusted = holm([one.p_value for one in found if one])
    return [
        decide(one, len(reference), MARGIN, adjusted=p).verdict for one, p in zip(found, adjusted, strict=True) if one
    ]


def share_with_at_most_one_alarm(rule: Rule, seeds: int, count: int = 20) -> float:
    """How often a table of clean reruns has at most one `not reproduced`."""
    generator = np.random.default_rng(5)
    alarms = [rule(runs(generator, seeds), runs(generator, count)).count(NOT_REPRODUCED) for _ in range(WORLDS)]
    return float(np.mean([number <= 1 for number in alarms]))


def test_clean_reruns_are_rarely_refuted_and_planted_defects_are_caught() -> None:
    """The claim of the study with real trainings (tests/benchmarks/verdict_study.py), for the statistics alone."""
    assert share_with_at_most_one_alarm(judged_together, 20) > 0.98
    assert share_with_at_most_one_alarm(judged_together, 5) > 0.98
    generator = np.random.default_rng(6)
    caught = [
        judged_together(runs(generator, 20), runs(generator, 20, shift=sign * 5.5 * SPREAD)).count(NOT_REPRODUCED)
        for sign in (-1, 1)
        for _ in range(WORLDS // 2)
    ]
    assert np.mean([number >= 18 for number in caught]) > 0.9


def test_a_further_run_is_inside_nineteen_times_of_twenty_whatever_the_seeds() -> None:
    generator = np.random.default_rng(7)
    for seeds in (3, 5, 20):
        inside = 0
        for _ in range(1500):
            found = predict(runs(generator, seeds), Number(*runs(generator, 1)))
            inside += found is not None and found.p_value >= 0.05
        assert 0.93 < inside / 1500 < 0.97


def _interval_of_the_mean(values: Sequence[float], number: Number) -> Prediction:
    """The defect that verdicts had: the interval of our mean, as if the paper's number had no noise."""
    honest = predict(values, Number(number.value, runs=10**9, rounding=0))
    assert honest is not None
    return honest


def _normal_for_t(values: Sequence[float], number: Number) -> Prediction:
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    z = abs(number.value - mean) / (spread * math.sqrt(1 + 1 / len(values)))
    half = 1.96 * spread * math.sqrt(1 + 1 / len(values))
    p_value = math.erfc(z / math.sqrt(2))
    return Prediction(
        low=mean - half, high=mean + half, mean=mean, spread=spread, seeds=len(values), p_value=min(1.0, p_value)
    )


def _seeds_shared(values: Sequence[float], number: Number) -> Prediction:
    """Each run counted four times over."""
    found = predict([value for value in values for _ in range(4)], number)
    assert found is not None
    return found


def _spread_of_the_questions_halved(values: Sequence[float], number: Number) -> Prediction:
    mean = float(np.mean(values))
    found = predict([mean + (value - mean) / 2 for value in values], number)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("defect", "seeds"),
    [(_interval_of_the_mean, 5), (_normal_for_t, 3), (_seeds_shared, 3), (_spread_of_the_questions_halved, 5)],
)
def test_the_simulation_finds_faulty_statistics(defect: Callable, seeds: int) -> None:
    generator = np.random.default_rng(8)
    inside = [defect(runs(generator, seeds), Number(*runs(generator, 1))).p_value >= 0.05 for _ in range(600)]
    assert np.mean(inside) < 0.92


def test_without_holm_a_table_of_clean_reruns_would_often_be_refuted() -> None:
    def alone(reference: Sequence[float], numbers: Sequence[float]) -> list[str]:
        return [verdict(value, reference) for value in numbers]

    assert share_with_at_most_one_alarm(alone, 20) < 0.85
