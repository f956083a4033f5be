"""pass@k and maj@k against enumeration of every subset."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from retrace.evaluation.metrics import answer_groups, maj_at_k, pass_at_k, sample_curves, sizes_up_to, vote_shares
from retrace.schemas import Prediction
from unit.evaluation_data import examples, prediction, sample


@pytest.mark.parametrize(("n", "sizes"), [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (10, [1, 2, 4, 8, 10])])
def test_sizes(n: int, sizes: list[int]) -> None:
    assert sizes_up_to(n) == sizes


def test_pass_at_k_equals_the_enumeration_of_all_subsets() -> None:
    for n in range(1, 8):
        for correct in range(n + 1):
            flags = [True] * correct + [False] * (n - correct)
            for k in range(1, n + 1):
                subsets = list(combinations(flags, k))
                assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)  # 1 - C(3,2)/C(5,2) = 1 - 3/10
    assert pass_at_k(200, 0, 100) == 0.0
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5)


@pytest.mark.parametrize(("n", "correct", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)])
def test_pass_at_k_refuses_impossible_counts(n: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="need"):
        pass_at_k(n, correct, k)


def votes(answers: list[str | None], right: str) -> Prediction:
    row = prediction(examples(1)[0], True)
    return row.model_copy(update={"samples": [sample(answer, answer == right) for answer in answers]})


def enumerated(answers: list[str | None], right: str, k: int) -> float:
    shares = []
    for subset in combinations(answers, k):
        counts = Counter(answer for answer in subset if answer is not None)
        leading = [answer for answer, count in counts.items() if count == max(counts.values())]
        shares.append(sum(answer == right for answer in leading) / len(leading) if leading else 0.0)
    return sum(shares) / len(shares)


def test_majority_of_all_samples_with_ties_and_missing_answers() -> None:
    rows = [
        votes(["1", "1", "2", "3"], "1"),  # won
        votes(["1", "1", "2", "2"], "2"),  # tie: one half
        votes([None, None, None, "7"], "7"),  # no answer has no vote
        votes([None, None, None, None], "7"),  # nobody votes: wrong
    ]
    groups, right = answer_groups(rows, str, 4)
    assert vote_shares(groups, right).tolist() == [1.0, 0.5, 1.0, 0.0]
    assert maj_at_k(groups, right, 4) == pytest.approx(2.5 / 4)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6])
def test_majority_of_k_tends_to_the_enumeration(k: int) -> None:
    answers = ["1", "2", "1", None, "3", "2"]
    groups, right = answer_groups([votes(answers, "1")], str, 6)
    found = maj_at_k(groups, right, k, subsets=4000)
    assert found == pytest.approx(enumerated(answers, "1", k), abs=0.03)


def test_samples_without_an_answer_elect_nobody() -> None:
    answers = [None, None, "1"]
    groups, right = answer_groups([votes(answers, "1")], str, 3)
    assert enumerated(answers, "1", 2) == pytest.approx(2 / 3)
    assert maj_at_k(groups, right, 2, subsets=4000) == pytest.approx(2 / 3, abs=0.03)


def test_first_of_k_is_the_plain_accuracy_exactly() -> None:
    rows = [votes(["1", None, "2", "1"], "1"), votes(["3", "3", "3", "4"], "4")]
    groups, right = answer_groups(rows, str, 4)
    assert maj_at_k(groups, right, 1) == pytest.approx((2 + 1) / 8)


def test_equal_answers_meet_in_the_vote() -> None:
    groups, right = answer_groups([votes(["5.0", "5", "6"], "5")], lambda text: f"{float(text):g}", 3)
    assert groups.tolist() == [[0, 0, 1]]
    assert not right[0, 0]  # the first sample with that answer decides, as when the vote is taken


def test_curves_are_empty_for_one_sample_and_means_over_runs() -> None:
    rows = examples(2)
    single = [prediction(row, True) for row in rows]
    assert sample_curves([single], str) == ([], [])
    first = [prediction(rows[0], [True, False]), prediction(rows[1], [False, False])]
    second = [prediction(rows[0], [True, True]), prediction(rows[1], [True, False])]
    majority, passed = sample_curves([first, second], str)
    assert passed == [(1, pytest.approx((0.5 + 0 + 1 + 0.5) / 4)), (2, pytest.approx(3 / 4))]
    assert majority[1] == (2, pytest.approx(3 / 4))
    assert np.isfinite([value for _, value in majority]).all()
