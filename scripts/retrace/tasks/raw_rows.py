"""Files of a task's sources -> raw rows, each with where it stands; and what is read from a row's fields."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from retrace.errors import UserError
from retrace.tasks import steps
from retrace.text.numbers import MAX_DIGITS, WrittenFloat, decimal_text, exact, exact_value

Row = tuple[str, dict[str, Any]]  # where it stands (FILE:LINE), and what
# rows: a JSON object a line. document: one JSON document with a list. either: whichever it is. lines: `question||solution`.
FileLayout = Literal["rows", "document", "either", "lines"]


class CsvRow(dict[str, Any]):
    """A row of a CSV file, whose values are all texts."""


def rows_of(path: Path, layout: FileLayout, skip_faulty: bool = False) -> Iterator[Row]:
    """The rows of a file in this layout, each with where it stands. Raises UserError naming file, line and mend.

    A file NAME.csv stands for rows in JSON: its first line names the fields.

    skip_faulty: rows of layout `lines` that cannot be read are left out and counted on stderr.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if layout == "document" or (layout == "either" and text.lstrip().startswith("[")):
        yield from _document_rows(path, text)
        return
    if layout == "lines":
        yield from _separated_rows(path, text, skip_faulty)
        return
    if path.suffix.lower() == ".csv":
        yield from _csv_rows(path, text)
        return
    # Not splitlines: a JSON text may hold U+2028 and the like, which end no line.
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        if not line.strip():
            raise UserError(f"{path}:{number}: empty line; remove it")
        try:
            row = json.loads(line, parse_float=WrittenFloat)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{number}: not JSON ({error.msg}, column {error.colno}); one object a line"
            ) from None
        except RecursionError:
            raise UserError(f"{path}:{number}: not JSON (nested too deeply); one object a line") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: a row is a JSON object, this is a {type(row).__name__}")
        yield f"{path}:{number}", row


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    """The rows of a CSV file, by the names in its first line; texts in quotes may hold commas and line ends."""
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(table, [])
        if len(set(names)) != len(names) or not all(name.strip() for name in names):
            raise UserError(f"{path}:1: the first line must name the fields, each once (it has {', '.join(names)})")
        for cells in table:
            where = f"{path}:{table.line_num}"
            if len(cells) != len(names):
                fault = f"{len(cells)} fields, the first line names {len(names)}; put texts with commas in quotes"
                raise UserError(f"{where}: {fault}")
            yield where, CsvRow(zip(names, cells, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}:{table.line_num}: not CSV ({error})") from None


def _separated_rows(path: Path, text: str, skip_faulty: bool) -> Iterator[Row]:
    """The rows of a text file with `question||steps #### answer` on each line."""
    skipped: list[int] = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        question, *rest = line.split("||")
        marks = sum(part.count(steps.MARKER) for part in rest)
        fault = None
        if len(rest) != 1:
            fault = f"a line needs '||' once, between question and solution, this has it {len(rest)} times"
        elif not question.strip():
            fault = "no question before '||'"
        elif marks != 1:
            fault = f"the solution needs '{steps.MARKER}' once, before the answer, this has it {marks} times"
        if fault is None:
            yield f"{path}:{number}", {"question": question, "answer": rest[0].strip()}
        elif skip_faulty:
            skipped.append(number)
        else:
            raise UserError(f"{path}:{number}: {fault}: 'question||steps {steps.MARKER} answer' (got {line[:60]!r})")
    if skipped:
        print(f"note: {path}: {len(skipped)} faulty lines were left out (first: {skipped[0]})", file=sys.stderr)


def _document_rows(path: Path, text: str) -> Iterator[Row]:
    """The rows of one JSON document: a list, or {"examples": [...]}."""
    try:
        document = json.loads(text, parse_float=WrittenFloat)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise UserError(f"{path}: not JSON (nested too deeply)") from None
    name, examples = ("examples", document.get("examples")) if isinstance(document, dict) else ("", document)
    if not isinstance(examples, list):
        raise UserError(f"{path}: expected a list of objects, or a JSON object with a list `examples`")
    for number, row in enumerate(examples, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{path}: {name}[{number}]: a row is a JSON object")
        yield f"{path}: {name}[{number}]", row


def field_of(where: str, row: dict[str, Any], name: str, numbers: bool = False) -> str:
    """A field that must be a text; numbers: or a number, as text. Raises UserError naming place and field."""
    value = row.get(name)
    if numbers and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        fault = "is missing" if name not in row else "is empty" if value in ("", None) else f"is {str(value)[:40]!r}"
        raise UserError(
            f"{where}: field {name!r} {fault}; it must be a text (the row has {', '.join(row) or 'nothing'})"
        )
    return value


def number_of(where: str, row: dict[str, Any], name: str) -> str:
    """A bare number, or the only one of a list, as the text of a final answer."""
    value = row.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    number = exact(value) if isinstance(row, CsvRow) and isinstance(value, str) else exact_value(value)
    if number is None:
        long = isinstance(value, int) and abs(value) >= 10**MAX_DIGITS
        shown = f"of more than {MAX_DIGITS} digits" if long else repr(str(value)[:40])
        raise UserError(f"{where}: field {name!r} is {shown}; it must be one number, in digits, as in 1234.5")
    return decimal_text(number) or str(number)


def joined(parts: list[str]) -> str:
    """The parts of a question as one text; a part before another ends with a full stop if it ends with no sign.

    A single part keeps its white space.
    """
    if len(parts) == 1:
        return parts[0]
    *before, last = (part.strip() for part in parts)
    return " ".join([*(part if part[-1] in ".?!,;:" else f"{part}." for part in before), last])
