"""One answer from several samples, by majority vote or by a scorer."""

import math
from collections.abc import Callable, Sequence

from retrace.schemas import Example, Prediction, Sample
from retrace.tasks.base import Task


def majority(
    answers: Sequence[str | None], canonical: Callable[[str], str], weights: Sequence[float] | None = None
) -> int:
    """The index of the first sample with the winning answer (self-consistency, Wang et al. 2023).

    Ties go to the answer that reached its number of votes first. A sample without an answer wins only if no sample has
    one; the first sample then counts.

    Args:
        answers: The answer of each sample; None for no answer.
        canonical: Maps equal answers to the same text.
        weights: Votes of each sample; default: one each.
    """
    votes: dict[str, float] = {}
    first: dict[str, int] = {}
    history: list[tuple[str, float]] = []
    for index, answer in enumerate(answers):
        if answer is None or not answer.strip():
            continue
        key = canonical(answer)
        votes[key] = votes.get(key, 0.0) + (1.0 if weights is None else _finite(weights[index]))
        first.setdefault(key, index)
        history.append((key, votes[key]))
    if not votes:
        return 0
    most = max(votes.values())
    winner = next(key for key, count in history if count >= most and votes[key] >= most)
    return first[winner]


def best(scores: Sequence[float]) -> int:
    """The index of the highest score; ties go to the first."""
    return max(range(len(scores)), key=lambda index: (_finite(scores[index]), -index))


def _finite(score: float) -> float:
    if not math.isfinite(score):
        raise ValueError(f"a score is {score}; the scorer's weights or inputs are invalid")
    return score


def make_sample(
    task: Task, example: Example, text: str, tokens: int, logprob: float, score: float | None = None
) -> Sample:
    """A generated text with its answer, graded by both graders of the task."""
    return Sample(
        text=text,
        answer=task.answer_of(text, example),
        correct=task.grade(text, example.answer),
        correct_strict=task.grade_strict(text, example.answer),
        tokens=tokens,
        logprob=logprob,
        score=score,
    )


def make_prediction(
    example: Example, samples: list[Sample], chosen: int, seconds: float | None = None, tokens: int | None = None
) -> Prediction:
    """The prediction for `example`, in which sample `chosen` counts.

    tokens: number of all generated tokens; default: those of the samples.
    """
    counts = samples[chosen]
    return Prediction(
        example_id=example.id,
        question=example.question,
        gold=example.final_answer,
        samples=samples,
        chosen=chosen,
        answer=counts.answer,
        correct=counts.correct,
        correct_strict=counts.correct_strict,
        tokens=sum(sample.tokens for sample in samples) if tokens is None else tokens,
        seconds=seconds,
    )


def choose(prediction: Prediction, chosen: int, **changes: object) -> Prediction:
    """The same prediction with a different choice."""
    counts = prediction.samples[chosen]
    update = {
        "chosen": chosen,
        "answer": counts.answer,
        "correct": counts.correct,
        "correct_strict": counts.correct_strict,
    }
    return prediction.model_copy(update=update | changes)
