"""pass@k and maj@k from n samples per question, for every k up to n."""

from collections.abc import Callable, Sequence

import numpy as np

from retrace.schemas import Prediction

SUBSETS = 100


def sizes_up_to(n: int) -> list[int]:
    """The values of k that results report: 1, 2, 4, ... and `n`."""
    sizes = [1 << power for power in range(n.bit_length()) if 1 << power <= n]
    return sizes if sizes[-1] == n else [*sizes, n]


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that at least one of `k` samples, drawn from `n` without replacement, is one of the `correct` ones.

    The unbiased estimator 1 - C(n - correct, k) / C(n, k) (Chen et al. 2021), as a product, which cannot overflow.
    """
    if not 0 <= correct <= n or not 1 <= k <= n:
        raise ValueError(f"need 0 <= correct <= n and 1 <= k <= n, got n={n}, correct={correct}, k={k}")
    if n - correct < k:
        return 1.0
    return 1.0 - float(np.prod(1.0 - k / np.arange(n - correct + 1, n + 1)))


def vote_shares(groups: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Probability for each question that a majority vote is correct; ties between leading answers are random.

    groups [questions, samples]: number of the sample's answer, 0 <= number < samples, or -1 for no answer, which has
    no vote. right [questions, samples]: whether the answer with that NUMBER (not that sample) is correct.
    """
    questions, samples = groups.shape
    votes = np.zeros((questions, samples + 1), dtype=np.int32)
    # One sample at a time, over all questions at once; "no answer" is counted in the last column and dropped.
    for column in groups.T:
        votes[np.arange(questions), column] += 1
    votes = votes[:, :-1]
    leading = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
    return (leading & right).sum(axis=1) / np.maximum(leading.sum(axis=1), 1)


def answer_groups(
    predictions: Sequence[Prediction], canonical: Callable[[str], str], samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `samples` samples of every question as (groups, right) for `vote_shares`, both [questions, samples].

    An answer counts as correct if the first sample that gave it was graded correct.
    """
    groups = np.full((len(predictions), samples), -1, dtype=np.int64)
    right = np.zeros((len(predictions), samples), dtype=bool)
    for row, prediction in enumerate(predictions):
        numbers: dict[str, int] = {}
        for column, sample in enumerate(prediction.samples[:samples]):
            if sample.answer is None or not sample.answer.strip():
                continue
            key = canonical(sample.answer)
            if key not in numbers:
                numbers[key] = len(numbers)
                right[row, numbers[key]] = sample.correct
            groups[row, column] = numbers[key]
    return groups, right


def maj_at_k(groups: np.ndarray, right: np.ndarray, k: int, seed: int = 0, subsets: int = SUBSETS) -> float:
    """Mean accuracy of the majority vote of `k` samples drawn from all without replacement.

    k = 1 and k = n are exact; otherwise it is the mean over `subsets` seeded draws for each question.
    """
    questions, samples = groups.shape
    if not 1 <= k <= samples:
        raise ValueError(f"k must be 1 to {samples}, got {k}")
    if k == 1:
        answered = groups >= 0
        return float((np.take_along_axis(right, np.maximum(groups, 0), axis=1) & answered).mean())
    if k == samples:
        return float(vote_shares(groups, right).mean())
    generator = np.random.default_rng([seed, k])
    total = 0.0
    for _ in range(subsets):
        drawn = np.argsort(generator.random((questions, samples)), axis=1)[:, :k]
        total += _vote_of_subset(np.take_along_axis(groups, drawn, axis=1), right)
    return total / subsets


def _vote_of_subset(groups: np.ndarray, right: np.ndarray) -> float:
    """Like `vote_shares`, with fewer samples than answer numbers: pad with "no answer" up to the width of `right`."""
    padding = np.full((groups.shape[0], right.shape[1] - groups.shape[1]), -1, dtype=groups.dtype)
    return float(vote_shares(np.concatenate([groups, padding], axis=1), right).mean())


def sample_curves(
    runs: Sequence[Sequence[Prediction]], canonical: Callable[[str], str]
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """(maj@k, pass@k) as lists of (k, share), means over runs; both empty if questions have a single sample."""
    samples = min(len(prediction.samples) for run in runs for prediction in run)
    if samples < 2:
        return [], []
    majority: list[tuple[int, float]] = []
    passed: list[tuple[int, float]] = []
    grouped = [answer_groups(run, canonical, samples) for run in runs]
    counts = [
        (len(prediction.samples), sum(sample.correct for sample in prediction.samples))
        for run in runs
        for prediction in run
    ]
    for k in sizes_up_to(samples):
        majority.append((k, float(np.mean([maj_at_k(groups, right, k) for groups, right in grouped]))))
        passed.append((k, float(np.mean([pass_at_k(n, correct, k) for n, correct in counts]))))
    return majority, passed
