"""Formats of raw rows: how a file is cut into rows, and what is the question and what the solution in a row.

The formats here serve any family; those of one data set stand with the family that they were made for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from retrace.errors import UserError
from retrace.tasks import steps
from retrace.tasks.raw_rows import column_of, field_of, number_of, text_or_number, texts_of
from retrace.tasks.row_files import FileLayout

RowValues = dict[str, Any]
STEPS = "steps"  # the field with the steps of a solution
ID = "id"  # the field that any format has


class Raw(NamedTuple):
    """What a row says. solution: text that ends in `#### answer`; where `final` is given, what stands before that line.

    in_steps: each line before the answer is one step, and is not cut into sentences.
    """

    question: str
    solution: str
    final: str | None = None
    in_steps: bool = False


Reader = Callable[[str, RowValues], Raw]  # where the row stands, and the row by the format's fields
_QUESTION_ANSWER = {"question": "question", "answer": "answer"}


@dataclass(frozen=True)
class RowFormat:
    """A format of raw rows.

    read: from a row to question and solution. layout: of the file. solutions: whether rows bring worked solutions.
    fields: the fields that a task's `fields` may set, with their default columns. optional: further ones, without a default
    column.
    as_written: whether the line of the answer stays as it is, commas aside, and is not written anew.
    own_texts: whether questions are whole inputs, and responses whole outputs, as the user wrote them.
    """

    name: str
    read: Reader
    layout: FileLayout = "rows"
    solutions: bool = True
    as_written: bool = False
    own_texts: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    @property
    def field_names(self) -> list[str]:
        """All fields that a task's `fields` may set."""
        return [*self.fields, *self.optional, *([ID] if self.layout != "lines" else [])]


def worked(name: str, read: Callable[[str, RowValues], tuple[str, str]], **about: Any) -> RowFormat:
    """The format of a data set whose reader gives the question and a solution that ends in `#### answer`."""
    return RowFormat(name, lambda where, row: Raw(*read(where, row)), **about)


def stated(name: str, read: Callable[[str, RowValues], tuple[str, str, str]], **about: Any) -> RowFormat:
    """The format of rows without worked solutions whose reader gives question, what precedes the answer, and the answer."""
    return RowFormat(name, lambda where, row: Raw(*read(where, row)), solutions=False, **about)


def _question_answer(where: str, row: RowValues) -> Raw:
    """A question and its answer; if the task sets a column of steps, the answer is the final answer alone."""
    question, answer = field_of(where, row, "question"), text_or_number(where, row, "answer")
    if STEPS not in getattr(row, "columns", {}):
        return Raw(question, answer)
    if steps.MARKER in answer:
        raise UserError(
            f"{where}: field {column_of(row, 'answer')!r} contains {steps.MARKER!r}; with `fields.{STEPS}` it must be the "
            f"final answer alone: remove the marker and the text before it, or remove `{STEPS}` from `fields`"
        )
    parts = [" ".join(part.split()) for part in texts_of(where, row, STEPS)]
    if any(steps.MARKER in part for part in parts):
        raise UserError(
            f"{where}: field {column_of(row, STEPS)!r} contains {steps.MARKER!r}, the answer marker; reword it"
        )
    return Raw(question, "\n".join([*parts, f"{steps.MARKER} {answer}"]), in_steps=True)


def _question_number(where: str, row: RowValues) -> Raw:
    question = field_of(where, row, "question")
    return Raw(question, f"{steps.MARKER} {number_of(where, row, 'answer')}")


def _lines(where: str, row: RowValues) -> Raw:
    return Raw(row["question"], row["answer"])


def _text(where: str, row: RowValues, name: str) -> str:
    return field_of(where, row, name, numbers=True)  # a groundtruth may be a number in JSON


def _queries_responses(where: str, row: RowValues) -> tuple[str, str, str]:
    """LaTRO's own columns: the model's input, what it shall write behind a rationale, and what grades it."""
    query, response = _text(where, row, "question"), _text(where, row, "response")
    return query, response.strip(), " ".join(_text(where, row, "answer").split())


COMMON = (
    RowFormat("question_answer", _question_answer, fields=_QUESTION_ANSWER, optional=(STEPS,)),
    RowFormat("question_number", _question_number, solutions=False, fields=_QUESTION_ANSWER),
    RowFormat("lines", _lines, "lines", as_written=True),
    RowFormat("generated", _question_answer, fields=_QUESTION_ANSWER, optional=(STEPS,)),
    stated(
        "queries_responses",
        _queries_responses,
        own_texts=True,
        fields={"question": "queries", "response": "responses", "answer": "groundtruth"},
    ),
)
