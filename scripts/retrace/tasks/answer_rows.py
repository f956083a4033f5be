"""Rows that bring a question and its final answer without a worked solution -> examples in the one schema."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import answers, steps
from retrace.tasks.raw_rows import field_of

if TYPE_CHECKING:
    from retrace.tasks.base import Task

Row = dict[str, Any]


def example(task: "Task", where: str, row: Row, identifier: str, split: str, origin: str) -> Example:
    """An example of one row. Raises UserError naming the place, the field and the mend."""
    question, body, final = READERS[task.config.format](where, row)
    if task.config.family == "numeric" and not answers.numbers_in(final):
        raise UserError(f"{where}: the final answer {final[:40]!r} holds no number; mend it, or choose another family")
    if steps.MARKER in question + body + final:
        raise UserError(f"{where}: holds {steps.MARKER!r}, which separates solutions from answers here; reword it")
    given = row.get("id")
    return Example(
        id=str(given) if isinstance(given, str | int) else identifier,
        question=question,
        answer=f"{body}\n{steps.MARKER} {final}",
        steps=[],
        final_answer=final,
        split=split,
        source=origin,
    )


def _text(where: str, row: Row, name: str) -> str:
    return field_of(where, row, name, numbers=True)  # a groundtruth may be a number in JSON


def _queries_responses(where: str, row: Row) -> tuple[str, str, str]:
    """LaTRO's own columns: the model's input, what it shall write behind a rationale, and what grades it."""
    query, response = _text(where, row, "queries"), _text(where, row, "responses")
    return query, response.strip(), " ".join(_text(where, row, "groundtruth").split())


def _arc(where: str, row: Row) -> tuple[str, str, str]:
    """allenai/ai2_arc: question, choices {text, label}, answerKey. The question shows the options as LaTRO's code does."""
    question, key = _text(where, row, "question"), _text(where, row, "answerKey")
    choices = row.get("choices")
    texts = choices.get("text") if isinstance(choices, dict) else None
    labels = choices.get("label") if isinstance(choices, dict) else None
    if not (isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(labels) > 1):
        raise UserError(f"{where}: choices must hold equally many `text` and `label` (got {str(choices)[:80]})")
    cleaned = [" ".join(str(text).split()) for text in texts]
    if key not in labels:
        raise UserError(f"{where}: answerKey {key!r} is none of the labels {', '.join(map(str, labels))}")
    if not all(cleaned):
        raise UserError(f"{where}: choices.text: an option is empty")
    body = "\n".join(f"({label}) {text}" for label, text in zip(labels, cleaned, strict=True))
    return f"{question}\nOptions: {list(map(str, texts))}", body, cleaned[labels.index(key)]


READERS: dict[str, Callable[[str, Row], tuple[str, str, str]]] = {
    "queries_responses": _queries_responses,
    "arc": _arc,
}
