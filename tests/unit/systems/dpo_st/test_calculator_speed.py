"""Timing the calculator: medians over rounds, relative to the calculator at the smallest batch size."""

from pathlib import Path

import pytest

from retrace.planning.work import FORMULAS
from retrace.systems.costs import register_formulas
from retrace.systems.dpo_st.speed import measure
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets

CONFIG = Path(__file__).parents[4] / "config"


class Clock:
    """A clock that moves by what each way takes a call."""

    def __init__(self) -> None:
        self.now = 0.0

    def way(self, tokens: int, *seconds: float):
        left = list(seconds)

        def write(batch_size: int) -> int:
            self.now += left.pop(0) / batch_size
            return tokens

        return write

    def __call__(self) -> float:
        return self.now


def test_medians_over_rounds_and_what_they_are_relative_to() -> None:
    clock = Clock()
    # The first call warms up; then two batch sizes in each of three rounds.
    ways = {
        "with_calculator": clock.way(100, 99, 10, 10, 20, 10, 12, 40),
        "without_calculator": clock.way(60, 99, 5, 5, 5, 5, 5, 5),
    }
    found = measure(ways, [4, 1], 3, clock)
    slow = found["with_calculator"]
    assert [one.batch_size for one in slow] == [1, 4]
    assert slow[0].rounds == pytest.approx([10, 10, 2.5])
    assert (slow[0].tokens_per_second, slow[0].speedup) == (pytest.approx(10), 1)
    assert (slow[1].tokens_per_second, slow[1].speedup) == (pytest.approx(400 / 12), pytest.approx(400 / 120))
    assert [one.speedup for one in found["without_calculator"]] == pytest.approx([1.2, 4.8])


def test_it_is_a_target_with_a_cost() -> None:
    register_formulas()
    assert "measure_calculator_speed" in FORMULAS
    Targets(Settings({"preset": "paper"}, CONFIG)).check("results/gsm8k/flan_t5_large/dpo_st_speed.json")
