"""Raw rows of a task's sources: their place in the file, their columns, and how a field is read."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrace.errors import UserError
from retrace.text.numbers import MAX_DIGITS, decimal_text, exact, exact_value

Columns = Mapping[str, str | list[str]]  # field -> column; a question may be made of several columns
_MISSING = object()
_SHOWN = 40  # characters of a value in a message


class Row(NamedTuple):
    """A row of a source. where: FILE:LINE, for messages. number: the line in a JSONL file, the row in a table; from 1."""

    where: str
    number: int
    values: dict[str, Any]


class Record(dict[str, Any]):
    """The values of a row by field. columns: the column that each field is read from. names: all columns of the file."""

    columns: Mapping[str, str] = {}
    names: Sequence[str] = ()


class CsvRow(Record):
    """A row of a CSV file, whose values are all texts."""


def with_fields(row: Row, own: Columns, given: Columns) -> Row:
    """The row with each field of its format filled from its column.

    own: the format's default columns. given: the columns set in the task's YAML, which every row must have.
    `data.text` means `text` inside `data`, and `texts.0` the first item of a list, unless a column has exactly that name.
    """
    if not given and all(field == column for field, column in own.items()):
        return row
    values, where = row.values, row.where
    kind = type(values) if isinstance(values, Record) else Record
    filled = kind(values)
    filled.names = [*map(str, values)]
    filled.columns = {field: column for field, column in {**own, **given}.items() if isinstance(column, str)}
    for field, column in {**own, **given}.items():
        if isinstance(column, list):
            parts = {name: _value_at(values, name) for name in column}
            for name in column:
                _require(where, field, name, parts[name], values)
            filled[field] = joined([field_of(where, {**values, **parts}, name) for name in column])
            continue
        value = _value_at(values, column)
        if field in given:
            _require(where, field, column, value, values)
        if value is not _MISSING:
            filled[field] = value
        elif field != column:
            filled.pop(field, None)  # a column of that name is something else
    return row._replace(values=filled)


def _require(where: str, field: str, column: str, value: Any, values: Mapping[str, Any]) -> None:
    if value is _MISSING:
        has = ", ".join(map(str, values)) or "nothing"
        raise UserError(f"{where}: no column {column!r}, set as fields.{field} (the row has {has}); correct `fields`")


def _value_at(value: Any, path: str) -> Any:
    """The value at a dotted path in a row, or _MISSING. A longer column name takes precedence over nesting."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        index, _, rest = path.partition(".")
        if not (index.isascii() and index.isdigit() and len(index) < 7 and int(index) < len(value)):
            return _MISSING
        return _value_at(value[int(index)], rest) if rest else value[int(index)]
    if not isinstance(value, Mapping):
        return _MISSING
    if path in value:
        return value[path]
    dots = [place for place, sign in enumerate(path) if sign == "."]
    ways = (_value_at(value[path[:dot]], path[dot + 1 :]) for dot in reversed(dots) if path[:dot] in value)
    return next((found for found in ways if found is not _MISSING), _MISSING)


def column_of(row: Mapping[str, Any], field: str) -> str:
    """The name of a field's column in the user's file."""
    return getattr(row, "columns", {}).get(field, field)


def shown(value: Any) -> str:
    """The start of a value, for error messages."""
    try:
        text = value if isinstance(value, str) else str(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
        return f"a {type(value).__name__} too large to show"
    return repr(text[:_SHOWN])


def field_of(where: str, row: dict[str, Any], name: str, numbers: bool = False) -> str:
    """A text field; with `numbers` a number is accepted, too. Raises UserError naming the place and the field."""
    value = row.get(name)
    if numbers and not isinstance(value, bool) and (isinstance(value, int) or _finite(value)):
        value = str(value)
    if isinstance(value, str) and value.strip():
        return value
    column = column_of(row, name)
    if name not in row:
        fault = "is missing"
    elif value is None or value == "" or value != value:  # NaN, an empty cell in pandas
        fault = "is empty"
    elif isinstance(value, list) and value:
        fault = f"is a list of {len(value)}; select one item in `fields`, as in '{column}.0'"
    elif isinstance(value, str | int | float | list | dict):
        fault = f"is {shown(value)}"
    else:
        fault = f"is a {type(value).__name__} ({shown(value)})"
    has = ", ".join(getattr(row, "names", ()) or map(str, row)) or "nothing"
    raise UserError(f"{where}: field {column!r} {fault}; it must be a text (the row has {has})")


def _finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def text_or_number(where: str, row: dict[str, Any], name: str) -> str:
    """A field with a text or a number; numbers are read exactly."""
    value = row.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return number_of(where, row, name)
    return field_of(where, row, name)


def texts_of(where: str, row: dict[str, Any], name: str) -> list[str]:
    """A field with a list of texts, or with one text that has one item per line; either may be empty."""
    value, column = row.get(name), column_of(row, name)
    if isinstance(value, str):
        return [line for line in value.split("\n") if line.strip()]
    if not isinstance(value, list):
        fault = "is empty (write [] or '' for none)" if value is None or value != value else f"is {shown(value)}"
        raise UserError(
            f"{where}: field {column!r} {fault}; it must be a list of texts, or one text with one item per line"
        )
    for number, part in enumerate(value):
        if not isinstance(part, str) or not part.strip():
            raise UserError(f"{where}: field {column!r}: item {number} is {shown(part)}; it must be a text")
    return value


def number_of(where: str, row: dict[str, Any], name: str) -> str:
    """A bare number, or the only one of a list, as the text of a final answer."""
    value = row.get(name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    number = exact(value) if isinstance(row, CsvRow) and isinstance(value, str) else exact_value(value)
    if number is None:
        long = isinstance(value, int) and abs(value) >= 10**MAX_DIGITS
        fault = f"of more than {MAX_DIGITS} digits" if long else shown(value)
        raise UserError(
            f"{where}: field {column_of(row, name)!r} is {fault}; it must be one number, in digits, as in 1234.5"
        )
    return decimal_text(number) or str(number)


def joined(parts: list[str]) -> str:
    """The parts of a question as one text; a part before another ends with a full stop if it ends with no sign.

    A single part keeps its white space.
    """
    if len(parts) == 1:
        return parts[0]
    *before, last = (part.strip() for part in parts)
    return " ".join([*(part if part[-1] in ".?!,;:" else f"{part}." for part in before), last])
