"""Paired tests with values computed by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

import compare_methods
from retrace.errors import UserError
from retrace.evaluation.paired import compare, discordance, mcnemar, paired_difference, sign_flip
from unit.evaluation_data import CONFIG, write_task


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (5, 0, 2 / 32),
        (1, 5, 2 * (1 + 6) / 64),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (3, 4, 1.0),
    ],
)
def test_mcnemar_by_hand(only_a: int, only_b: int, p: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(p)
    assert mcnemar(only_b, only_a) == pytest.approx(p)


def test_mcnemar_of_many_questions_neither_overflows_nor_loses_the_tail() -> None:
    # Normal approximation with continuity correction: z = (|a - b| - 1) / sqrt(a + b)
    assert mcnemar(1500, 1400) == pytest.approx(2 * 0.03301, abs=2e-3)
    assert 0 < mcnemar(700, 900) < 1e-5
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


def test_discordant_counts() -> None:
    counts = discordance(np.array([1.0, 1, 1, 0, 0]), np.array([1.0, 0, 0, 1, 0]))
    assert (counts.both, counts.only_a, counts.only_b, counts.neither) == (1, 2, 1, 1)


def test_pairing_makes_the_interval_smaller_where_methods_agree_on_the_hard_questions() -> None:
    b = np.array([[0.0, 1.0] * 200])
    a = b.copy()
    a[0, :40:2] = 1  # 20 more right, none lost
    found = paired_difference(a, b)
    assert found.value == pytest.approx(0.05)
    half = 1.96 * (0.05 * 0.95 / 400) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.05 - half, 0.05 + half), abs=0.005)


def test_interval_covers_zero_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    outside = 0
    for trial in range(200):
        a, b = (generator.random((2, 1, 100)) < 0.5).astype(float)
        found = paired_difference(a, b, seed=trial)
        outside += not found.low <= 0 <= found.high
    assert outside / 200 <= 0.11


def test_sign_flip_tends_to_mcnemar_for_one_seed() -> None:
    a, b = np.zeros((1, 40)), np.zeros((1, 40))
    a[0, :8], b[0, 8:10] = 1, 1
    assert sign_flip(a, b, resamples=40_000) == pytest.approx(mcnemar(8, 2), abs=0.01)
    assert sign_flip(a, a) == 1.0


def test_a_question_that_two_seeds_agree_on_counts_once() -> None:
    a, b = np.zeros((1, 30)), np.zeros((1, 30))
    a[0, :6] = 1
    one = sign_flip(a, b, resamples=20_000)
    copies = sign_flip(np.repeat(a, 4, axis=0), np.repeat(b, 4, axis=0), resamples=20_000)
    assert one == pytest.approx(2 / 64, abs=0.006)
    assert copies == pytest.approx(one)


def test_seeds_drawn_again_widen_the_difference() -> None:
    b = np.zeros((3, 200))
    a = b.copy()
    a[0, :10], a[1, :60], a[2, :110] = 1, 1, 1
    found = compare(
        a, b, a, b, [0, 1, 2], task="t", split="test", model="m", method_a="x", method_b="y", predictions=[]
    )
    wide, narrow = found.difference_over_seeds, found.difference
    assert wide is not None
    assert wide.high - wide.low > narrow.high - narrow.low
    assert found.test == "sign_flip"
    assert [row.questions.only_a for row in found.per_seed] == [10, 60, 110]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="the same shape"):
        paired_difference(np.zeros((1, 3)), np.zeros((1, 4)))


def arguments(a: list[Path], b: list[Path], output: Path) -> list[str]:
    return [
        *["--task-file", str(CONFIG / "tasks/gsm8k.yaml"), "--method-a", "grace", "--method-b", "greedy"],
        *["--predictions-a", *map(str, a), "--predictions-b", *map(str, b), "--seeds", "0", "--output", str(output)],
    ]


def test_script_writes_the_comparison(tmp_path: Path) -> None:
    a = write_task(tmp_path, [[True] * 6 + [False] * 4], "grace")
    b = write_task(tmp_path, [[True] + [False] * 9], "greedy")
    compare_methods.main(arguments(a, b, tmp_path / "out.json"))
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["kind"] == "comparison"
    assert (found["model"], found["split"], found["n"], found["test"]) == ("tiny_t5", "test", 10, "mcnemar_exact")
    assert found["difference"]["value"] == pytest.approx(0.5)
    assert found["p_value"] == pytest.approx(2 / 32)
    assert found["difference_over_seeds"] is None
    assert len(found["predictions"]) == 2


def test_script_refuses_methods_that_answered_other_questions(tmp_path: Path) -> None:
    a = write_task(tmp_path, [[True] * 10], "grace")
    b = write_task(tmp_path / "other", [[True] * 9], "greedy")
    with pytest.raises(UserError, match="1 of the 10 questions"):
        compare_methods.main(arguments(a, b, tmp_path / "out.json"))
    assert not (tmp_path / "out.json").exists()
