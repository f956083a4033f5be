"""Accuracy and reward side by side: the best checkpoint, intervals by hand, and the moment to stop."""

import math

import pytest

from retrace.systems.latro.decline import Evaluation, Evaluations, best_of, declined, paired


def measured(step: int, right: int, reward: float, of: int = 100) -> Evaluation:
    return Evaluation(step, [number < right for number in range(of)], reward, 10.0, 1.0)


def test_a_paired_difference_by_hand() -> None:
    """Four questions, one lost, none won: mean -1/4, standard deviation 1/2, margin 1.96 * 0.5 / 2."""
    found = paired([True, True, False, False], [True, True, True, False])
    assert found.value == -0.25
    assert (found.low, found.high) == pytest.approx((-0.25 - 0.48999, -0.25 + 0.48999), abs=1e-4)
    same = paired([True, False], [True, False])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert math.isinf(paired([True], [False]).low)


def test_the_best_is_the_first_of_equals() -> None:
    rows = [measured(0, 40, -3), measured(5, 50, -2), measured(10, 50, -1)]
    assert best_of(rows).step == 5


@pytest.mark.parametrize(
    ("history", "stops"),
    [
        ([(40, -7.0)], False),
        ([(40, -7.0), (2, -4.9)], True),  # the reward rises, the accuracy falls
        ([(40, -7.0), (2, -8.0)], False),  # both fall: a bad training, but no deceit
        ([(40, -7.0), (39, -6.0)], False),  # a fall within chance
        ([(40, -7.0), (60, -6.0), (45, -5.0)], True),  # below the best so far, above the start
        ([(40, -7.0), (60, -6.0), (55, -5.0), (52, -4.0), (48, -3.0)], True),  # little by little
        ([(40, -7.0), (60, -5.0), (45, -6.0)], False),
        ([(40, -7.0), (50, -6.0), (60, -5.0)], False),
    ],
)
def test_when_to_stop(history, stops) -> None:
    rows = [measured(5 * place, *values) for place, values in enumerate(history)]
    assert bool(declined(rows)) == stops


def test_the_message_says_what_happened_and_what_to_do() -> None:
    message = declined([measured(0, 38, -7.0), measured(20, 2, -4.9)])
    assert "stopped at step 20: the reward rose from -7.000 to -4.900 while the accuracy fell from 38.0 %" in message
    assert "the checkpoint of step 0 is kept. Lower learning_rate" in message


def test_what_was_measured_survives_a_restart(tmp_path) -> None:
    kept = Evaluations(tmp_path)
    for row in (measured(0, 40, -7.0), measured(5, 50, -6.0), measured(10, 45, -6.5)):
        kept.add(row, write=True)
    again = Evaluations(tmp_path)
    again.resume(7)  # the state that training goes on from was saved at step 7
    assert again.rows == kept.rows[:2]
    again.add(measured(10, 48, -6.4), write=False)
    report = again.report("dev", None)
    assert report["chosen"]["step"] == 5
    assert report["gain_over_start"]["value"] == pytest.approx(0.1)
    assert 0 < report["gain_over_start"]["low"] < 0.1
    assert report["last"]["accuracy"] == 0.48
    fresh = Evaluations(tmp_path / "none")
    fresh.resume(0)
    assert fresh.rows == []
