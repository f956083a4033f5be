"""Majority vote and choice by score."""

import pytest

from retrace.decoding.vote import best, choose, majority, make_prediction
from retrace.schemas import Example, Sample
from retrace.tasks.base import canonical


@pytest.mark.parametrize(
    ("answers", "chosen"),
    [
        (["5", "7", "7"], 1),
        (["5", "7", "7.0", "5.00", "5"], 0),
        (["1,000", "7", "1000"], 0),
        (["7", "5", "5", "7"], 1),  # 5 has two votes first
        (["7", "5"], 0),
        ([None, None, "5"], 2),
        (["", None, "5", "5"], 2),
        ([None, None], 0),
        (["yes", "No", "no"], 1),
    ],
)
def test_majority(answers, chosen):
    assert majority(answers, canonical) == chosen


def test_weighted_majority():
    assert majority(["5", "7", "7"], canonical, [0.9, 0.3, 0.4]) == 0
    assert majority(["5", "7", "7"], canonical, [0.6, 0.3, 0.4]) == 1
    assert majority([None, "7"], canonical, [0.9, 0.1]) == 1


def test_best():
    assert best([0.1, 0.7, 0.7, 0.2]) == 1
    with pytest.raises(ValueError, match="nan"):
        best([0.1, float("nan")])


def test_choose_keeps_the_samples():
    example = Example(id="a", question="q", answer="#### 5", steps=[], final_answer="5", split="test", source="")
    samples = [
        Sample(text=f"#### {answer}", answer=answer, correct=answer == "5", correct_strict=False, tokens=3, logprob=-1)
        for answer in ("7", "5")
    ]
    row = make_prediction(example, samples, 0, 0.5)
    assert (row.answer, row.correct, row.tokens, row.gold) == ("7", False, 6, "5")
    other = choose(row, 1, seconds=0.7)
    assert (other.answer, other.correct, other.chosen, other.seconds) == ("5", True, 1, 0.7)
    assert other.samples == samples
    assert row.chosen == 0
