"""Files and folders of a task's sources -> raw rows. Every error names the file and the line, and says what to do."""

import csv
import json
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from retrace.errors import UserError
from retrace.tasks import split_files, steps, tables
from retrace.tasks.data_files import READABLE, kind_of, lines_of
from retrace.tasks.raw_rows import CsvRow, Row, shown
from retrace.text.numbers import WrittenFloat

# How a format's rows are stored, where the file's name does not say it. rows: one JSON object per line, or one document.
# document: one JSON document with a list. lines: `question||solution`, in a text file of any name.
FileLayout = Literal["rows", "document", "lines"]

_DIGITS = 4000  # of an integer; Python converts at most 4300
_FROM_PANDAS = "; from pandas: to_json(FILE, orient='records', lines=True)"
_QUOTED = re.compile(r'"[^"]*"')


def rows_of(
    path: Path, layout: FileLayout = "rows", skip_faulty: bool = False, split: str = "", subset: str | None = None
) -> Iterator[Row]:
    """The rows of a file, or of one split of a folder. Raises UserError naming the file, the line and the fix.

    The file's name decides how it is read (retrace.tasks.data_files.kind_of); layout: for names that do not.
    skip_faulty: rows of layout `lines` that cannot be read are left out and counted on stderr.
    """
    if path.is_dir():
        if tables.is_saved(path):
            yield from tables.saved_rows(path, split)
            return
        files = split_files.in_folder(path, split, subset)
        yield from joined_rows(rows_of(file, layout, skip_faulty) for file in files)
        return
    kind = kind_of(path)
    if kind == "parquet":
        yield from tables.parquet_rows(path)
    elif layout == "lines":
        yield from _separated_rows(path, skip_faulty)
    elif kind == "table":
        yield from _csv_rows(path)
    elif kind == "rows":
        yield from _json_rows(path, lines_of(path))
    else:
        yield from _json_file_rows(path, layout, split)


def joined_rows(files: Iterator[Iterator[Row]]) -> Iterator[Row]:
    """The rows of several files, numbered consecutively."""
    for number, row in enumerate(chain.from_iterable(files), start=1):
        yield row._replace(number=number)


# ---------------------------------------------------------------- JSON


class _Fault(ValueError):
    """A fault of a JSON text other than its syntax."""


def _parsed(text: str) -> Any:
    """The value of a JSON text. Raises ValueError (of which JSONDecodeError is one) or RecursionError."""
    return json.loads(text, object_pairs_hook=_object, parse_int=_whole_number, parse_float=WrittenFloat)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Fault(f"duplicate key {shown(twice)} in one object; remove one")
    return found


def _whole_number(text: str) -> int:
    if len(text) > _DIGITS:
        raise _Fault(f"a number of {len(text)} digits; write it as text")
    return int(text)


def _not_json(where: str, error: ValueError | RecursionError, place: str, mend: str) -> UserError:
    if isinstance(error, _Fault):
        return UserError(f"{where}: {error}")
    fault = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
    return UserError(f"{where}: not JSON ({fault}{place}){mend}")


def _json_rows(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
    """The rows of a file with a JSON object on each line."""
    for number, line in lines:
        where = f"{path}:{number}"
        if not line.strip():
            raise UserError(f"{where}: empty line; remove it")
        try:
            row = _parsed(line.rstrip("\n"))
        except (ValueError, RecursionError) as error:
            place = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            raise _not_json(where, error, place, f"; one object per line{_other_kind(number, line)}") from None
        if not isinstance(row, dict):
            fault = f"a row is a JSON object, this is a {type(row).__name__}"
            raise UserError(f"{where}: {fault}{_other_kind(number, line)}")
        yield Row(where, number, row)


def _other_kind(number: int, line: str) -> str:
    """What to do if the first line starts a document rather than a row."""
    begins = number == 1 and (line.startswith("[") or line.strip() == "{")
    return "; name a file with one JSON document .json" if begins else ""


def _json_file_rows(path: Path, layout: FileLayout, split: str) -> Iterator[Row]:
    """The rows of a file that is one JSON document or has one object per line; its first line decides."""
    lines = lines_of(path)
    before: list[tuple[int, str]] = []
    for numbered in lines:
        before.append(numbered)
        if numbered[1].strip():
            break
    if not before or not before[-1][1].strip():
        return
    number, first = before[-1][0], before[-1][1].strip()
    if not first.startswith(("[", "{")) and kind_of(path) == "text":
        raise UserError(
            f"{path}:{number}: not JSON; give the file a name that says what it contains ({', '.join(READABLE[::2])})"
        )
    following = next(lines, None)
    if layout == "rows" and first.startswith("{") and (row := _whole_object(first, last=following is None)) is not None:
        if following is None and (listed := _list_in(row, split, by_name=True)):
            yield from _listed_rows(path, *listed)
            return
        if following is None and _by_columns(row):
            raise UserError(f"{path}: holds a table by columns or index, no rows{_FROM_PANDAS}")
        yield from _json_rows(path, chain(before, [following] if following else [], lines))
        return
    yield from _document_rows(
        path, "".join(line for _, line in chain(before, [following] if following else [], lines)), split
    )


def _whole_object(line: str, last: bool) -> dict[str, Any] | None:
    """The object on a line, empty for a faulty one; None if the line only starts a document."""
    try:
        row = _parsed(line)
    except json.JSONDecodeError as error:
        # A document that continues on the next line is cut off at the end of this one.
        return None if error.pos >= len(line) and not last else {}
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _by_columns(row: dict[str, Any]) -> bool:
    """Whether an object is a table as pandas writes it in one line: {"question": {"0": ...}}, {"0": {"question": ...}}."""
    if set(row) in ({"columns", "index", "data"}, {"schema", "data"}):
        return True
    tables_of = [value for value in row.values() if isinstance(value, dict) and value]
    if not row or len(tables_of) < len(row):
        return False
    return all(name.isdecimal() for name in row) or all(name.isdecimal() for value in tables_of for name in value)


def _document_rows(path: Path, text: str, split: str) -> Iterator[Row]:
    """The rows of one JSON document: a list, or an object with a list."""
    try:
        document = _parsed(text)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _not_json(f"{path}{line}", error, "", "") from None
    listed = _list_in(document, split)
    if listed is None:
        columns = isinstance(document, dict) and document and all(isinstance(v, list | dict) for v in document.values())
        mend = _FROM_PANDAS if columns else ""
        raise UserError(f"{path}: expected a list of objects, or a JSON object with a list `examples`{mend}")
    yield from _listed_rows(path, *listed)


def _list_in(document: Any, split: str, by_name: bool = False) -> tuple[str, list[Any]] | None:
    """The list of rows in a document, and its key: `examples`, the split's name, or the only list of objects.

    by_name: only the first two, because a single row may have a list of objects, such as choices.
    """
    if isinstance(document, list):
        return "", document
    if not isinstance(document, dict):
        return None
    lists = {
        name: value
        for name, value in document.items()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    }
    for name in ("examples", split):
        if name in lists or (not by_name and isinstance(document.get(name), list)):
            return name, document[name]
    return None if by_name or len(lists) != 1 else next(iter(lists.items()))


def _listed_rows(path: Path, name: str, listed: list[Any]) -> Iterator[Row]:
    for number, row in enumerate(listed, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{path}: {name}[{number}]: a row is a JSON object, this is a {type(row).__name__}")
        yield Row(f"{path}: {name}[{number}]", number, row)


# ---------------------------------------------------------------- tables and lines


def _csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV or TSV file with a header line; quoted texts may contain separators and line ends."""
    lines = (line for _, line in lines_of(path))
    first = next(lines, "")
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        raise UserError(f"{path}:1: {first.strip()!r} is a note for spreadsheet programs; remove this line")
    csv.field_size_limit(sys.maxsize)  # the default limit is 128 KiB
    table = csv.reader(chain([first], lines), strict=True, delimiter=_delimiter(path, first))
    start = 1
    try:
        names = [name.strip() for name in next(table, [])]
        # Columns without a name: the first one, which pandas writes for its index, and empty ones at the end (Excel).
        named = [place for place, name in enumerate(names) if name] or [0]
        used = slice(min(named[0], 1), named[-1] + 1)
        fields = names[used]
        if len(set(fields)) != len(fields) or not all(fields):
            raise UserError(f"{path}:1: the first line must name the fields, each once (it has {', '.join(names)})")
        start = table.line_num + 1
        for number, cells in enumerate(table, start=1):
            where = f"{path}:{start}"
            if not cells and not any(table):  # empty lines at the end
                break
            if not cells:
                raise UserError(f"{where}: empty line; remove it")
            if unnamed := [cell for cell in cells[used.stop : len(names)] if cell]:
                raise UserError(
                    f"{where}: {shown(unnamed[0])} stands in a column without a name; name it in the first line"
                )
            if len(cells) != len(names):
                fault = f"{len(cells)} fields, the first line names {len(names)}; put texts with commas in quotes"
                raise UserError(f"{where}: {fault}")
            yield Row(where, number, CsvRow(zip(fields, cells[used], strict=True)))
            start = table.line_num + 1
    except csv.Error as error:
        fault = "a quote opened here is never closed" if "end of data" in str(error) else str(error)
        raise UserError(f'{path}:{start}: not CSV ({fault}); write a quote inside quotes as ""') from None


def _delimiter(path: Path, first: str) -> str:
    """The separator of the cells: a comma; if the header has none, a semicolon or a tab."""
    bare = _QUOTED.sub("", first)
    if ".tsv" in (suffix.lower() for suffix in path.suffixes[-2:]):
        return "\t"
    return next((sign for sign in ",;\t" if sign in bare), ",")


def _separated_rows(path: Path, skip_faulty: bool) -> Iterator[Row]:
    """The rows of a text file with `question||steps #### answer` on each line."""
    skipped: list[int] = []
    for number, line in lines_of(path):
        question, *rest = line.removesuffix("\n").split("||")
        marks = sum(part.count(steps.MARKER) for part in rest)
        fault = None
        if len(rest) != 1:
            fault = f"a line needs '||' once, between question and solution, this has it {len(rest)} times"
        elif not question.strip():
            fault = "no question before '||'"
        elif marks != 1:
            fault = f"the solution needs '{steps.MARKER}' once, before the answer, this has it {marks} times"
        if fault is None:
            yield Row(f"{path}:{number}", number, {"question": question, "answer": rest[0].strip()})
        elif skip_faulty:
            skipped.append(number)
        else:
            raise UserError(f"{path}:{number}: {fault}: 'question||steps {steps.MARKER} answer' (got {line[:60]!r})")
    if skipped:
        print(f"note: {path}: {len(skipped)} faulty lines were left out (first: {skipped[0]})", file=sys.stderr)


# ---------------------------------------------------------------- without reading rows


def files_of(path: Path, split: str = "", subset: str | None = None) -> list[Path]:
    """The files that `rows_of` reads for a split: one whose content changes changes the rows."""
    if not path.is_dir():
        return [path]
    if tables.is_saved(path):
        return tables.saved_files(path, split)
    card = path / split_files.CARD
    return [*split_files.in_folder(path, split, subset), *([card] if card.is_file() else [])]


def row_count(path: Path, split: str = "", subset: str | None = None) -> int | None:
    """The number of rows of a file or of a folder's split, for estimates; None if it cannot be read."""
    try:
        if path.is_dir():
            if tables.is_saved(path):
                return tables.saved_count(path, split)
            counts = [row_count(file) for file in split_files.in_folder(path, split, subset)]
            return None if None in counts else sum(filter(None, counts))
        kind = kind_of(path)
        if kind == "parquet":
            return tables.parquet_count(path)
        counted = rows_of(path, split=split) if kind in ("json", "table") else lines_of(path)
        return sum(1 for _ in counted)
    except (UserError, OSError):
        return None
