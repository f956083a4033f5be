"""Tables in binary form -> raw rows: Parquet files, and folders that `datasets` wrote with save_to_disk."""

import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.storage import read_json
from retrace.tasks.data_files import allowed_size, opened, refuse_bomb
from retrace.tasks.raw_rows import Row
from retrace.text.numbers import WrittenFloat

_MARK = b"PAR1"  # a Parquet file begins and ends so
_SPLITS, _STATE = "dataset_dict.json", "state.json"
_BATCH = 1024  # rows that are Python objects at a time
_DAMAGED = "copy or download it again, or write it anew"


@contextlib.contextmanager
def _understood(path: Path, kind: str) -> Iterator[None]:
    """Whatever the library that reads a damaged file raises, as a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of many kinds: ArrowInvalid, OSError, KeyError, UnicodeDecodeError, MemoryError ...
        fault = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"{path}: not {kind}, or damaged ({fault}); {_DAMAGED}") from None


# ---------------------------------------------------------------- Parquet


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """A Parquet file, its ends and its size checked."""
    with opened(path) as file:
        begin = file.read(4)
        file.seek(-min(4, path.stat().st_size), 2)
        end = file.read(4)
    if not begin:
        raise UserError(f"{path}: is empty; write it anew")
    if begin != _MARK:
        raise UserError(f"{path}: not Parquet (it does not begin with {_MARK.decode()}); name it by what it is")
    if end != _MARK:
        raise UserError(f"{path}: is cut off (it does not end with {_MARK.decode()}); {_DAMAGED}")
    with _understood(path, "Parquet"):
        from pyarrow import parquet

        with parquet.ParquetFile(path) as table:
            about = table.metadata
            if sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups)) > allowed_size(
                path
            ):
                raise refuse_bomb(path)
            yield table


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, a batch at a time."""
    with _parquet(path) as table:
        yield from _numbered(str(path), _whole_batches(path, table.schema_arrow, table.iter_batches(batch_size=_BATCH)))


def parquet_count(path: Path) -> int:
    """How many rows a Parquet file says it has."""
    with _parquet(path) as table:
        return table.metadata.num_rows


def _whole_batches(path: Path, schema: Any, batches: Iterator[Any]) -> Iterator[Any]:
    """The batches of a table, each sound. Raises UserError for names that stand twice and for more than is allowed."""
    names = list(schema.names)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: two columns are named {twice!r}; rename one")
    left = allowed_size(path)
    for batch in batches:
        # What a damaged file says of its own offsets must not be believed: to follow them would end the program.
        batch.validate(full=True)
        left -= batch.nbytes
        if left < 0:
            raise refuse_bomb(path)
        yield batch


def _numbered(place: str, batches: Iterator[Any]) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for values in _values_of(place, number, batch):
            number += 1
            yield Row(f"{place}: row {number}", number, values)


def _values_of(place: str, before: int, batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of a batch as Python values. Raises UserError naming the row that has none."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = []
        for index in range(batch.num_rows):
            try:
                rows += batch.slice(index, 1).to_pylist()
            except (ValueError, OverflowError) as error:  # a time of no calendar, for instance
                fault = " ".join(str(error).split())[:160]
                raise UserError(
                    f"{place}: row {before + index + 1}: a value cannot be read ({fault}); mend it"
                ) from None
    return ({name: _plain(value) for name, value in row.items()} for row in rows)


def _plain(value: Any) -> Any:
    """Decimal numbers as JSON has them: nothing of what is written is lost."""
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else WrittenFloat(f"{value:f}")
    return value


# ---------------------------------------------------------------- save_to_disk


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by save_to_disk of the library `datasets`."""
    return (folder / _SPLITS).is_file() or (folder / _STATE).is_file()


def saved_rows(folder: Path, split: str) -> Iterator[Row]:
    """The rows of a saved data set: of its split, where it has several."""
    chosen = _saved_split(folder, split)
    with _understood(chosen, "a data set that save_to_disk wrote"):
        import datasets

        table = datasets.load_from_disk(str(chosen)).with_format("arrow")
        schema = table.features.arrow_schema
        batches = (batch for part in table.iter(_BATCH) for batch in part.to_batches())
        yield from _numbered(str(chosen), _whole_batches(chosen, schema, batches))


def saved_count(folder: Path, split: str) -> int | None:
    """How many rows a saved data set says that the split has."""
    about = read_json(_saved_split(folder, split) / "dataset_info.json")
    try:
        return sum(int(part["num_examples"]) for part in about["splits"].values())
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _saved_split(folder: Path, split: str) -> Path:
    if not (folder / _SPLITS).is_file():
        return folder
    try:
        with opened(folder / _SPLITS) as file:
            names = json.loads(file.read().decode("utf-8"))["splits"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / _SPLITS}: not what save_to_disk writes ({error}); save the data set again"
        ) from None
    if not isinstance(names, list) or split not in names:
        has = ", ".join(map(str, names)) if isinstance(names, list) else repr(names)[:80]
        raise UserError(f"{folder}: has no split {split!r}; set `hub_split` to one of its own (it has {has})")
    return folder / split
