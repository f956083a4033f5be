"""Alignment: the batched table against a plain one, cell by cell and path by path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrace.errors import UserError
from retrace.systems.grace.alignment import Job, align_batch, align_by_position, align_indexed, align_jobs
from unit.two_lists import align


def plain_align(similarity, gap=0.5, threshold=0.8):
    """The same rules cell by cell: the reference for the batched code, also timed in the benchmark."""
    m, n = len(similarity), len(similarity[0]) if similarity else 0
    table = [[gap * (i + j) if i == 0 or j == 0 else 0.0 for j in range(n + 1)] for i in range(m + 1)]
    for i in range(1, m + 1):
        for j in range(1, n + 1):
            s = similarity[i - 1][j - 1]
            if s >= threshold:
                table[i][j] = table[i - 1][j - 1]
            else:
                table[i][j] = min(table[i - 1][j - 1] + 1 - s, table[i - 1][j] + gap, table[i][j - 1] + gap)

    def near(a, b):
        return abs(a - b) <= 1e-8 + 1e-5 * abs(b)

    i, j, first, second = m, n, [], []
    while i > 0 or j > 0:
        if i > 0 and j > 0:
            s, here = similarity[i - 1][j - 1], table[i][j]
            pair = s >= threshold or near(table[i - 1][j - 1] + 1 - s, here)
            only_first = not pair and near(table[i - 1][j] + gap, here)
        else:
            pair, only_first = False, j == 0
        first.append(i - 1 if pair or only_first else -1)
        second.append(j - 1 if pair or not only_first else -1)
        i -= pair or only_first
        j -= pair or not only_first
    return first[::-1], second[::-1], table[m][n]


def padded(matrices, filler=9.0):
    rows = np.array([len(matrix) for matrix in matrices])
    columns = np.array([len(matrix[0]) if matrix else 0 for matrix in matrices])
    batch = np.full((len(matrices), rows.max(), columns.max()), filler)
    for index, matrix in enumerate(matrices):
        batch[index, : rows[index], : columns[index]] = matrix
    return batch, rows, columns


# Few different values: ties, and values on both sides of the threshold, are where two implementations part.
values = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.79, 0.8, 0.8000000000000002, 0.9, 1.0]) | st.floats(-1, 1)


@st.composite
def matrix(draw):
    m, n = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    return [[draw(values) for _ in range(n)] for _ in range(m)]


def check_same(found, matrices, *settings):
    """Same paths; costs up to the rounding of sums in another order."""
    for path, one in zip(found.to_list(), matrices, strict=True):
        first, second, cost = plain_align(one, *settings)
        assert (path.first, path.second) == (first, second)
        assert path.cost == pytest.approx(cost, abs=1e-12)


@given(st.lists(matrix(), min_size=1, max_size=5), st.sampled_from([0.5, 0.3, 0.7]), st.sampled_from([0.8, 0.6]))
def test_batch_equals_plain(matrices, gap, threshold):
    check_same(align_batch(*padded(matrices), gap, threshold), matrices, gap, threshold)


def test_random_ragged_batch_equals_plain():
    random = np.random.default_rng(0)
    matrices = [
        random.choice([random.uniform(-1, 1), 0.5, 0.8, 0.9], size=random.integers(1, 13, 2)).tolist()
        for _ in range(500)
    ]
    matrices += [random.uniform(-1, 1, random.integers(1, 13, 2)).tolist() for _ in range(500)]
    check_same(align_batch(*padded(matrices)), matrices)


def test_empty_batch():
    assert align_batch(np.zeros((0, 3, 3)), np.zeros(0, dtype=int), np.zeros(0, dtype=int)).to_list() == []


def test_hand_computed():
    # One substitution of cost 1 - 0.6, then a missing step: 0.4 + 0.5.
    first, second, cost = align(["a", "b"], ["A", "B", "C"], np.array([[0.95, 0.0, 0.0], [0.0, 0.6, 0.1]]))
    assert (first, second) == (["a", "b", "_"], ["A", "B", "C"])
    assert cost == pytest.approx(0.9)


def test_forced_match_at_threshold_costs_nothing():
    assert align(["a"], ["A"], np.array([[0.8]])) == (["a"], ["A"], 0.0)
    assert align(["a"], ["A"], np.array([[0.7]]))[2] == pytest.approx(0.3)


@pytest.mark.parametrize(("m", "n"), [(0, 0), (0, 3), (2, 0)])
def test_empty_lists_are_all_gaps(m, n):
    first, second = [f"x{i}" for i in range(m)], [f"y{j}" for j in range(n)]
    assert align(first, second, np.zeros((m, n))) == (first or ["_"] * n, second or ["_"] * m, 0.5 * (m + n))


def test_padding_may_hold_nan():
    similarity = np.full((2, 2, 2), np.nan)
    similarity[:, 0, 0] = 0.9
    similarity[1] = 0.9
    [short, long] = align_batch(similarity, np.array([1, 2]), np.array([1, 2])).to_list()
    assert short == ([0], [0], 0.0)
    assert long == ([0, 1], [0, 1], 0.0)


def test_nan_is_refused():
    with pytest.raises(UserError, match=r"step 2 to reference step 1 is nan.*align\.embedder"):
        align(["a", "b"], ["A"], np.array([[0.5], [np.nan]]))
    with pytest.raises(UserError, match="inf"):
        align(["a"], ["A"], np.array([[np.inf]]))


def test_indexed_equals_one_by_one():
    random = np.random.default_rng(1)
    vectors = random.normal(size=(30, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    firsts = [random.integers(0, 30, random.integers(1, 7)).tolist() for _ in range(50)]
    seconds = [random.integers(0, 30, random.integers(1, 7)).tolist() for _ in range(50)]
    for chunk in (7, 1024):
        for x, y, path in zip(firsts, seconds, align_indexed(firsts, seconds, vectors, chunk=chunk), strict=True):
            first, second, cost = plain_align((vectors[x] @ vectors[y].T).tolist())
            assert (path.first, path.second) == (first, second)
            assert path.cost == pytest.approx(cost)


def one_hot(steps):
    """Steps of the same last word are the same, all others at right angles."""
    words = sorted({step.split()[-1] for step in steps})
    return np.eye(len(words))[[words.index(step.split()[-1]) for step in steps]]


def test_nearest_reference_wins_and_the_earlier_one_at_equal_cost():
    far, near, also_near = ["p", "q", "r"], ["x", "y"], ["other x", "other y"]
    job = Job("1", ["my x", "my z"], [far, near, also_near])
    [aligned] = align_jobs([job], one_hot)
    assert aligned.second == ["x", "y"]
    assert aligned.first == ["my x", "my z"]
    assert aligned.cost == pytest.approx(1.0)  # z for y: 1 - 0, or two gaps; the pair is taken first


def test_all_steps_are_embedded_once():
    calls = []

    def embed(steps):
        calls.append(list(steps))
        return one_hot(steps)

    align_jobs([Job("1", ["a", "b"], [["a", "c"]]), Job("2", ["b", "a"], [["a", "c"]])], embed)
    assert calls == [["a", "b", "c"]]


def test_by_position_needs_equal_length():
    jobs = [Job("1", ["a", "b"], [["x"], ["p", "q"]]), Job("2", ["a"], [["x", "y"]])]
    [only] = align_by_position(jobs)
    assert only == ("1", ["a", "b"], ["p", "q"], 0.0)
