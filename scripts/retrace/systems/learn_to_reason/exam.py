"""The exam: a student's samples for its training questions, graded by Learn-to-Reason's own rule (arXiv 2310.13332)."""

from collections import Counter
from collections.abc import Sequence

from retrace.errors import UserError
from retrace.schemas import Example, MarkedAnswer, Prediction
from retrace.systems.learn_to_reason.cleanup import answer_in
from retrace.tasks.base import Task


def is_right(task: Task, answer: str | None, example: Example) -> bool:
    """Whether an answer, as it was read, equals the reference's."""
    return answer is not None and task.canonical(answer) == task.canonical(example.final_answer)


def mark(
    task: Task, predictions: Sequence[Prediction], examples: Sequence[Example], path: str = "the exam"
) -> tuple[list[MarkedAnswer], dict[str, int]]:
    """The distinct answers of each question, in the order of the data, and counts for the report.

    Raises UserError if an answered question is not in the data.
    """
    known = {example.id: example for example in examples}
    marks: list[MarkedAnswer] = []
    counts: Counter[str] = Counter(questions=len(predictions))
    for prediction in predictions:
        example = known.get(prediction.example_id)
        if example is None:
            raise UserError(
                f"{path}: question {prediction.example_id!r} is not in the training data; take the exam again"
            )
        mine: dict[str, MarkedAnswer] = {}
        for sample in prediction.samples:
            text = task.kept_text(sample.text)
            if text not in mine:
                mine[text] = _marked(task, example, text)
            one = mine[text]
            counts["right" if one.correct else "no_answer" if one.answer is None else "wrong"] += 1
        right = sum(one.correct for one in mine.values())
        counts["questions_without_mistake"] += right == len(mine)
        counts["questions_all_mistakes"] += right == 0
        marks += mine.values()
    names = ("questions", "right", "wrong", "no_answer", "questions_without_mistake", "questions_all_mistakes")
    return marks, {name: counts[name] for name in names} | {"distinct": len(marks)}


def mark_released(
    task: Task, released: dict[str, list[str]], examples: Sequence[Example]
) -> tuple[list[MarkedAnswer], dict[str, int]]:
    """The same for mistakes that the authors released: question -> texts (retrace.systems.learn_to_reason.released).

    Texts that turn out to be correct are counted and left out. Questions that only one side has are counted.
    """
    by_question = {" ".join(example.question.split()): example for example in examples}
    marks = []
    counts: Counter[str] = Counter(
        questions=len(examples),
        questions_missing=sum(question not in released for question in by_question),
        questions_unknown=sum(question not in by_question for question in released),
    )
    for question, texts in released.items():
        example = by_question.get(question)
        if example is None:
            continue
        found = [_marked(task, example, text) for text in dict.fromkeys(texts)]
        counts["right"] += sum(one.correct for one in found)
        counts["wrong"] += sum(not one.correct for one in found)
        marks += [one for one in found if not one.correct]
    names = ("questions", "right", "wrong", "questions_missing", "questions_unknown")
    return marks, {name: counts[name] for name in names} | {"distinct": len(marks)}


def _marked(task: Task, example: Example, text: str) -> MarkedAnswer:
    answer = answer_in(task, text, example)
    return MarkedAnswer(example_id=example.id, text=text, answer=answer, correct=is_right(task, answer, example))
