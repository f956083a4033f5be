"""LaTRO's batches: how many rationales a device and pass takes, and how often a question was asked before."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.systems.latro.options import LatroTraining
from retrace.systems.latro.run import latro_steps
from retrace.systems.latro.trainer import check_batches, visits_of
from retrace.workflow.settings import Settings

YAMLS = Path(__file__).parents[4] / "config"


def options(**changes) -> LatroTraining:
    return LatroTraining(**{"rationales": 4, "batch_size": 16, "device_batch_size": 16} | changes)


def test_visits() -> None:
    assert visits_of([3, 1, 3, 3, 1]) == [0, 0, 1, 2, 1]


def test_batch_sizes() -> None:
    assert check_batches(options(batch_size=48, rationales=16, device_batch_size=4), 1) == (4, 12)
    assert check_batches(options(batch_size=384, rationales=16, device_batch_size=4), 8) == (4, 12)
    assert check_batches(options(batch_size=16, rationales=16, device_batch_size=64), 1) == (16, 1)


@pytest.mark.parametrize(
    ("changes", "world", "message"),
    [
        ({"batch_size": 100, "rationales": 16}, 1, "set it to 96 or 112"),
        ({"batch_size": 8, "rationales": 16}, 1, "; set it to 16"),
        ({"batch_size": 48, "rationales": 16}, 2, "rationales 16 x 2 processes.*set it to 32 or 64"),
        (
            {"batch_size": 48, "rationales": 16, "device_batch_size": 7},
            1,
            "not a multiple of device_batch_size 7.*set device_batch_size to ",
        ),
        (
            {"batch_size": 96, "rationales": 16, "device_batch_size": 5},
            2,
            "not a multiple of device_batch_size 5 x 2 process",
        ),
    ],
)
def test_batch_sizes_that_do_not_fit_say_which_would(changes, world, message) -> None:
    with pytest.raises(UserError, match=message):
        check_batches(options(**changes), world)


@pytest.mark.parametrize(
    ("task", "questions", "steps", "by_questions"),
    [("gsm8k", 7473, 117, 1869), ("gsm8k", 6457, 101, 1615), ("arc_challenge", 1119, 35, 560)],
)
def test_the_papers_preset_takes_the_authors_steps(task, questions, steps, by_questions) -> None:
    given = Settings({"preset": "paper"}, YAMLS).for_target(task, "phi35_mini").latro
    assert latro_steps(given, questions) == steps
    assert latro_steps(given.model_copy(update={"epochs_count": "questions"}), questions) == by_questions
