"""Questions with options, of which the answer names one, with nothing but the answer to judge (ARC-Challenge)."""

from typing import Any

from retrace.errors import UserError
from retrace.tasks.answer_kinds import OPTION
from retrace.tasks.family import FinalOnly
from retrace.tasks.raw_rows import field_of
from retrace.tasks.row_formats import stated


def _arc(where: str, row: dict[str, Any]) -> tuple[str, str, str]:
    """allenai/ai2_arc: question, choices {text, label}, answerKey. The question shows the options as LaTRO's code does."""
    question, key = field_of(where, row, "question", numbers=True), field_of(where, row, "answerKey", numbers=True)
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


class MultipleChoice(FinalOnly):
    """The answer names an option by its text or its label."""

    name = "multiple_choice"
    answers = OPTION
    formats = (stated("arc", _arc),)
