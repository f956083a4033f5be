"""Questions with options, of which the answer names one, with nothing but the answer to judge (ARC-Challenge)."""

from typing import Any

from retrace.errors import UserError
from retrace.tasks.answer_kinds import OPTION
from retrace.tasks.family import FinalOnly
from retrace.tasks.raw_rows import column_of, field_of, shown
from retrace.tasks.row_formats import stated

LETTERS = "ABCDEFGHIJ"


def _arc(where: str, row: dict[str, Any]) -> tuple[str, str, str]:
    """allenai/ai2_arc: question, choices {text, label}, answerKey. The question shows the options as LaTRO's code does.

    In users' data the options may also be a list of texts, labeled A, B, ..., or a list of {label, text}, and the answer
    may be the text of an option instead of its label.
    """
    question, key = field_of(where, row, "question", numbers=True), field_of(where, row, "answer", numbers=True)
    column = column_of(row, "choices")
    texts, labels = _options(row.get("choices"))
    if not (isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(labels) > 1):
        raise UserError(
            f"{where}: {column} must hold equally many `text` and `label`, or be a list of at least two texts (got "
            f"{shown(row.get('choices'))})"
        )
    texts = [str(text) if isinstance(text, int | float) else text for text in texts]
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}: {column}.text: an option is {shown(text or 'empty')}; each must be a text")
    cleaned = [" ".join(text.split()) for text in texts]
    if key not in labels and cleaned.count(" ".join(key.split())) == 1:
        key = labels[cleaned.index(" ".join(key.split()))]
    if key not in labels:
        known = ", ".join(map(str, labels))[:80]
        raise UserError(f"{where}: {column_of(row, 'answer')} {shown(key)} is none of the labels {known}; mend it")
    body = "\n".join(f"({label}) {text}" for label, text in zip(labels, cleaned, strict=True))
    return f"{question}\nOptions: {texts}", body, cleaned[labels.index(key)]


def _options(choices: Any) -> tuple[Any, Any]:
    """The texts and the labels of options."""
    if isinstance(choices, dict):
        return choices.get("text"), choices.get("label")
    if not isinstance(choices, list) or len(choices) > len(LETTERS):
        return None, None
    if all(isinstance(option, dict) for option in choices):
        return [option.get("text") for option in choices], [option.get("label") for option in choices]
    return choices, list(LETTERS[: len(choices)])


class MultipleChoice(FinalOnly):
    """The answer names an option by its text or its label."""

    name = "multiple_choice"
    answers = OPTION
    formats = (stated("arc", _arc, fields={"question": "question", "choices": "choices", "answer": "answerKey"}),)
