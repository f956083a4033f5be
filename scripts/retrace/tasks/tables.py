"""Binary tables -> raw rows: Parquet files, and folders written by `save_to_disk` of the library `datasets`."""

import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.storage import read_json
from retrace.tasks.data_files import allowed_size, bomb_error, opened
from retrace.tasks.raw_rows import Row
from retrace.text.numbers import WrittenFloat

_MARK = b"PAR1"  # the first and last bytes of a Parquet file
_SPLITS, _STATE = "dataset_dict.json", "state.json"
_BATCH = 1024  # rows converted to Python objects at a time
_DAMAGED = "copy or download it again, or write it again"


@contextlib.contextmanager
def _understood(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever the reading library raises for a damaged file into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # ArrowInvalid, OSError, KeyError, UnicodeDecodeError ...: there is no common base
        fault = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"{path}: not {kind}, or damaged ({fault}); {_DAMAGED}") from None


# ---------------------------------------------------------------- Parquet


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """A Parquet file, after a check of its first and last bytes and its size."""
    with opened(path) as file:
        begin = file.read(4)
        file.seek(-min(4, path.stat().st_size), 2)
        end = file.read(4)
    if not begin:
        raise UserError(f"{path}: is empty; write it again")
    if begin != _MARK:
        raise UserError(
            f"{path}: not a Parquet file (it does not start with {_MARK.decode()}); rename it to match its content"
        )
    if end != _MARK:
        raise UserError(f"{path}: is truncated (it does not end with {_MARK.decode()}); {_DAMAGED}")
    with _understood(path, "a Parquet file"):
        from pyarrow import parquet

        with parquet.ParquetFile(path) as table:
            about = table.metadata
            size = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
            if size > allowed_size(path):
                raise bomb_error(path)
            yield table


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, a batch at a time."""
    with _parquet(path) as table:
        batches = table.iter_batches(batch_size=_BATCH)
        yield from _numbered(str(path), _whole_batches(path, table.schema_arrow, batches, allowed_size(path)))


def parquet_count(path: Path) -> int:
    """The number of rows in the footer of a Parquet file."""
    with _parquet(path) as table:
        return table.metadata.num_rows


def _whole_batches(path: Path, schema: Any, batches: Iterator[Any], limit: int | None = None) -> Iterator[Any]:
    """The batches of a table, validated. Raises UserError for duplicate columns and beyond `limit` bytes."""
    names = list(schema.names)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: two columns are named {twice!r}; rename one")
    size = 0
    for batch in batches:
        # Following invalid offsets of a damaged file would crash the process.
        batch.validate(full=True)
        size += batch.nbytes
        if limit is not None and size > limit:
            raise bomb_error(path)
        yield batch


def _numbered(place: str, batches: Iterator[Any]) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for values in _values_of(place, number, batch):
            number += 1
            yield Row(f"{place}: row {number}", number, values)


def _values_of(place: str, before: int, batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of a batch as Python values. Raises UserError naming the row that cannot be converted."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = []
        for index in range(batch.num_rows):
            try:
                rows += batch.slice(index, 1).to_pylist()
            except (ValueError, OverflowError) as error:  # a date beyond the year 9999, for instance
                fault = " ".join(str(error).split())[:160]
                raise UserError(
                    f"{place}: row {before + index + 1}: a value cannot be converted ({fault}); correct or remove it"
                ) from None
    return ({name: _plain(value) for name, value in row.items()} for row in rows)


def _plain(value: Any) -> Any:
    """Decimal numbers as the JSON reader has them, with all their digits."""
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else WrittenFloat(f"{value:f}")
    return value


# ---------------------------------------------------------------- save_to_disk


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return (folder / _SPLITS).is_file() or (folder / _STATE).is_file()


def saved_rows(folder: Path, split: str) -> Iterator[Row]:
    """The rows of a saved data set, or of one split of a saved DatasetDict."""
    chosen = _saved_split(folder, split)
    with _understood(chosen, "a data set written by save_to_disk"):
        import datasets

        table = datasets.load_from_disk(str(chosen)).with_format("arrow")
        schema = table.features.arrow_schema
        batches = (batch for part in table.iter(_BATCH) for batch in part.to_batches())
        yield from _numbered(str(chosen), _whole_batches(chosen, schema, batches))


def saved_files(folder: Path, split: str) -> list[Path]:
    """The files of a saved data set, or of one split of it."""
    chosen = _saved_split(folder, split)
    own = [folder / _SPLITS] if chosen != folder else []
    return [*own, *sorted(file for file in chosen.rglob("*") if file.is_file())]


def saved_count(folder: Path, split: str) -> int | None:
    """The number of rows that a saved data set states; None if it states none."""
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
        raise UserError(f"{folder / _SPLITS}: not a file of save_to_disk ({error}); save the data set again") from None
    if not isinstance(names, list) or split not in names:
        has = ", ".join(map(str, names)) if isinstance(names, list) else repr(names)[:80]
        raise UserError(f"{folder}: has no split {split!r}; set `hub_split` to one that it has ({has})")
    return folder / split
