"""LaTRO's batches: how many rationales a device and pass takes, and how often a question was asked before."""

import pytest

from retrace.config import LatroTraining
from retrace.errors import UserError
from retrace.training.latro import check_batches, visits_of


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
        ({"batch_size": 100, "rationales": 16}, 1, "96 or 112 would fit"),
        ({"batch_size": 8, "rationales": 16}, 1, "; 16 would fit"),
        ({"batch_size": 48, "rationales": 16}, 2, "rationales 16 x 2 processes.*32 or 64 would fit"),
        (
            {"batch_size": 48, "rationales": 16, "device_batch_size": 7},
            1,
            "no multiple of device_batch_size 7.*set device_batch_size to ",
        ),
        (
            {"batch_size": 96, "rationales": 16, "device_batch_size": 5},
            2,
            "no multiple of device_batch_size 5 x 2 process",
        ),
    ],
)
def test_batch_sizes_that_do_not_fit_say_which_would(changes, world, message) -> None:
    with pytest.raises(UserError, match=message):
        check_batches(options(**changes), world)
