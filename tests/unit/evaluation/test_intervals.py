"""Wilson intervals against published values, and the cluster bootstrap against what it must cover."""

import numpy as np
import pytest

from retrace.evaluation.intervals import cluster_bootstrap, estimate, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_symmetric_and_keeps_its_ends() -> None:
    low, high = wilson(7, 40)
    assert wilson(33, 40) == pytest.approx((1 - high, 1 - low))
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == 1.0
    assert wilson(5, 5)[0] == pytest.approx(0.5655, abs=1e-4)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_share(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a share"):
        wilson(successes, n)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    hits = 0
    for trial in range(300):
        values = (generator.random((1, 120)) < 0.3).astype(float)
        low, high = cluster_bootstrap(values, resamples=800, seed=trial)
        hits += low <= 0.3 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_bootstrap_of_one_seed_is_near_the_normal_interval() -> None:
    values = np.zeros((1, 400))
    values[0, :100] = 1
    low, high = cluster_bootstrap(values)
    half = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.004)


def test_copies_of_a_seed_do_not_make_the_interval_smaller() -> None:
    # Questions answered alike under five seeds are not five times as many questions.
    one = (np.random.default_rng(1).random((1, 300)) < 0.4).astype(float)
    narrow = cluster_bootstrap(np.repeat(one, 5, axis=0))
    single = cluster_bootstrap(one)
    assert narrow[1] - narrow[0] == pytest.approx(single[1] - single[0], rel=0.05)


def test_seeds_that_differ_widen_the_interval() -> None:
    values = np.zeros((3, 200))
    values[0, :40], values[1, :100], values[2, :160] = 1, 1, 1
    with_seeds = cluster_bootstrap(values)
    questions_only = cluster_bootstrap(values, over_seeds=False)
    assert with_seeds[1] - with_seeds[0] > 1.5 * (questions_only[1] - questions_only[0])


def test_the_seed_decides_the_interval() -> None:
    values = (np.random.default_rng(2).random((2, 50)) < 0.5).astype(float)
    assert cluster_bootstrap(values, 150, seed=3) == cluster_bootstrap(values, 150, seed=3)
    assert cluster_bootstrap(values, 150, seed=3) != cluster_bootstrap(values, 150, seed=4)


def test_bootstrap_refuses_nothing_and_other_shapes() -> None:
    for values in (np.zeros((0, 3)), np.zeros((2, 0)), np.zeros(3)):
        with pytest.raises(ValueError, match="seeds, questions"):
            cluster_bootstrap(values)


def test_estimate_takes_wilson_for_one_seed_and_the_bootstrap_for_several() -> None:
    one = np.array([[1.0] * 81 + [0.0] * 182])
    found = estimate(one)
    assert found.interval == "wilson"
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert estimate(np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])).interval == "cluster_bootstrap"


def test_estimate_claims_no_certainty_where_all_answers_are_alike() -> None:
    found = estimate(np.ones((3, 10)))
    assert found.value == 1.0
    assert found.low == pytest.approx(wilson(10, 10)[0])
