"""Formats of raw rows: how a file is cut into rows, and what is the question and what the solution in a row.

The formats here serve any family; those of one data set stand with the family that they were made for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from retrace.tasks import steps
from retrace.tasks.raw_rows import FileLayout, field_of, joined, number_of

RowValues = dict[str, Any]


class Fields(NamedTuple):
    """The fields of a row that hold the question (in parts) and the answer, as the task's YAML names them."""

    question: list[str]
    answer: str


class Raw(NamedTuple):
    """What a row says. solution: text that ends in `#### answer`; where `final` is given, what stands before that line."""

    question: str
    solution: str
    final: str | None = None


Reader = Callable[[str, RowValues, Fields], Raw]  # where the row stands, the row, its fields


@dataclass(frozen=True)
class RowFormat:
    """A format of raw rows.

    read: from a row to question and solution. layout: of the file. solutions: whether rows bring worked solutions.
    as_written: whether the line of the answer stays as it is, commas aside, and is not written anew.
    own_texts: whether questions are whole inputs, and responses whole outputs, as the user wrote them.
    """

    name: str
    read: Reader
    layout: FileLayout = "rows"
    solutions: bool = True
    as_written: bool = False
    own_texts: bool = False


def worked(name: str, read: Callable[[str, RowValues], tuple[str, str]], **about: Any) -> RowFormat:
    """The format of a data set whose reader gives the question and a solution that ends in `#### answer`."""
    return RowFormat(name, lambda where, row, _: Raw(*read(where, row)), **about)


def stated(name: str, read: Callable[[str, RowValues], tuple[str, str, str]], **about: Any) -> RowFormat:
    """The format of rows without worked solutions whose reader gives question, what precedes the answer, and the answer."""
    return RowFormat(name, lambda where, row, _: Raw(*read(where, row)), solutions=False, **about)


def question_of(where: str, row: RowValues, fields: Fields) -> str:
    """The question of a row, of its fields in their order."""
    return joined([field_of(where, row, field) for field in fields.question])


def _question_answer(where: str, row: RowValues, fields: Fields) -> Raw:
    return Raw(question_of(where, row, fields), field_of(where, row, fields.answer))


def _question_number(where: str, row: RowValues, fields: Fields) -> Raw:
    question = question_of(where, row, fields)
    return Raw(question, f"{steps.MARKER} {number_of(where, row, fields.answer)}")


def _lines(where: str, row: RowValues, fields: Fields) -> Raw:
    return Raw(row["question"], row["answer"])


def _text(where: str, row: RowValues, name: str) -> str:
    return field_of(where, row, name, numbers=True)  # a groundtruth may be a number in JSON


def _queries_responses(where: str, row: RowValues) -> tuple[str, str, str]:
    """LaTRO's own columns: the model's input, what it shall write behind a rationale, and what grades it."""
    query, response = _text(where, row, "queries"), _text(where, row, "responses")
    return query, response.strip(), " ".join(_text(where, row, "groundtruth").split())


COMMON = (
    RowFormat("question_answer", _question_answer),
    RowFormat("question_number", _question_number, "either", solutions=False),
    RowFormat("lines", _lines, "lines", as_written=True),
    RowFormat("generated", _question_answer),
    stated("queries_responses", _queries_responses, own_texts=True),
)
