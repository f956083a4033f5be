"""Stepwise internalization: which tokens are removed when."""

import numpy as np
import pytest

from retrace.errors import UserError
from retrace.systems.icot_si.options import StepwiseTraining
from retrace.systems.icot_si.removal import ShorterRows, offsets, plan_removal, schedule, step_tokens, without
from retrace.training.separated_rows import SeparatedRows
from unit.implicit_world import examples, rows_of

ROW = np.array([7, 8, 0, 1, 2, 3, 0, 9, 5, 0])  # 7 8 <end> 1 2 3 <end> 9 5 <end>


def options(**changes: object) -> StepwiseTraining:
    return StepwiseTraining(**{"batch_size": 4, "smoothing_lambda": 0} | changes)


def rows(*steps: int) -> SeparatedRows:
    """Rows with so many tokens of steps each."""
    made = [[1, 0, *([2] * count), 0, 3, 0] for count in steps]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in made])])
    second = np.array([2 + count for count in steps])
    return SeparatedRows(np.concatenate(made).astype(np.uint16), starts, np.ones(len(made), dtype=np.int64), second)


@pytest.mark.parametrize(
    ("removed", "side", "left"),
    [
        (0, "left", [7, 8, 0, 1, 2, 3, 0, 9, 5, 0]),
        (1, "left", [7, 8, 0, 2, 3, 0, 9, 5, 0]),
        (2, "left", [7, 8, 0, 3, 0, 9, 5, 0]),
        (1, "right", [7, 8, 0, 1, 2, 0, 9, 5, 0]),
        (2, "right", [7, 8, 0, 1, 0, 9, 5, 0]),
        (3, "left", [7, 8, 0, 9, 5, 0]),
        (3, "right", [7, 8, 0, 9, 5, 0]),
        (9, "left", [7, 8, 0, 9, 5, 0]),
    ],
)
def test_tokens_are_removed_from_one_side(removed: int, side: str, left: list[int]) -> None:
    assert without(ROW, 2, 6, removed, side).tolist() == left


def test_without_any_step_a_row_is_what_no_cot_is_trained_on(tmp_path) -> None:
    found = rows_of(tmp_path, examples(3))
    for number in range(3):
        short = without(found.row(number), int(found.first[number]), int(found.second[number]), 99, "left")
        assert short.tolist() == found.without_steps(number).tolist()


def test_one_token_more_at_equal_distances() -> None:
    """8 steps an epoch and 4 tokens an epoch: every second step, as the code counts."""
    assert schedule(options(remove_per_epoch=4), 9, 8, 3).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert schedule(options(remove_per_epoch=0.5), 40, 8, 9).tolist() == [0] * 16 + [1] * 16 + [2] * 8
    assert schedule(options(remove_per_epoch=99), 4, 8, 9).tolist() == [0, 1, 2, 3]


def test_all_steps_stand_for_the_first_epochs() -> None:
    given = options(remove_per_epoch=4, explicit_epochs=0.5)
    assert schedule(given, 10, 8, 9).tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 2, 2]


def test_beyond_a_number_of_tokens_all_are_removed() -> None:
    given = options(remove_per_epoch=8, remove_all_beyond=2)
    assert schedule(given, 5, 8, 30).tolist() == [0, 1, 30, 30, 30]


def test_offsets_fall_off_exponentially() -> None:
    drawn = offsets(200_000, 1.0, seed=3)
    shares = np.bincount(drawn)[:4] / len(drawn)
    expected = (1 - np.exp(-1)) * np.exp(-np.arange(4))
    assert shares == pytest.approx(expected, abs=0.005)
    assert np.mean(offsets(200_000, 4.0, seed=3) == 0) == pytest.approx(1 - np.exp(-4), abs=0.001)
    assert offsets(5, 0, seed=3).tolist() == [0] * 5
    assert (offsets(50, 1.0, seed=3) != offsets(50, 1.0, seed=4)).any()
    assert offsets(10_000, 1e-9, seed=0).max() == 99  # the code's own limit


def test_each_row_loses_no_more_than_it_has() -> None:
    found = rows(1, 2, 3, 3)
    visited = np.array([0, 1, 2, 3] * 4)
    plan = plan_removal(found, visited, options(remove_per_epoch=1), seed=0)
    assert step_tokens(found).tolist() == [1, 2, 3, 3]
    assert plan.scheduled.tolist() == [0, 1, 2, 3]
    items = [ShorterRows(found)[code] for code in plan.order]
    assert [one.number for one in items] == visited.tolist()
    assert [one.removed for one in items] == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 1, 2, 3, 3]
    assert plan.complete == 4
    assert (plan.at(2), plan.at(99)) == (2, 3)


def test_offsets_are_added_row_by_row_but_not_while_all_steps_stand() -> None:
    found = rows(*[9] * 400)
    visited = np.tile(np.arange(400), 30)
    given = options(batch_size=400, remove_per_epoch=1, explicit_epochs=2, smoothing_lambda=1)
    plan = plan_removal(found, visited, given, seed=0)
    removed = (plan.order // 400).reshape(30, 400)
    assert (removed[:2] == 0).all()
    assert np.unique(removed[2]).tolist()[:3] == [0, 1, 2]
    assert removed[4].min() == 2 == plan.scheduled[4]
    assert (removed[-1] == 9).all()


def test_the_optimizer_forgets_with_each_removed_token_until_none_is_left() -> None:
    found = rows(2, 2, 2, 2)
    visited = np.array([0, 1, 2, 3] * 6)
    # Tokens: 0 1 2 2 2 2; the third step's batch has none left, and is the last to begin anew.
    assert plan_removal(found, visited, options(remove_per_epoch=1), 0).resets == {1, 2}
    assert plan_removal(found, visited, options(remove_per_epoch=1, reset_optimizer=False), 0).resets == set()
    longer = rows(2, 2, 2, 2, 5, 5, 5, 5)
    visited = np.array([4, 5, 6, 7, 4, 5, 6, 7, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7])
    plan = plan_removal(longer, visited, options(remove_per_epoch=2), 0)
    assert plan.scheduled.tolist() == [0, 1, 2, 3, 4, 5]
    assert plan.resets == {1, 2, 5}, "not behind a batch whose rows have lost all their tokens"


def test_a_training_that_ends_too_early_is_refused() -> None:
    with pytest.raises(UserError, match=r"ends at step 2 with 1 of 3 step tokens removed.*Raise epochs or max_steps"):
        plan_removal(rows(3, 1, 1, 1), np.array([0, 1, 2, 3] * 2), options(remove_per_epoch=1), 0)
    plan_removal(rows(3, 1, 1, 1), np.array([0, 1, 2, 3] * 2), options(remove_per_epoch=1, remove_all_beyond=1), 0)


def test_rows_without_steps_need_no_removal() -> None:
    plan = plan_removal(rows(0, 0, 0, 0), np.array([0, 1, 2, 3]), options(), 0)
    assert plan.order.tolist() == [0, 1, 2, 3]
    assert plan.complete == 1
