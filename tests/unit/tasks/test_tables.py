"""Parquet files and saved data sets: values as they are, and named errors."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from retrace.errors import UserError
from retrace.tasks import data_files
from retrace.tasks.tables import parquet_count, parquet_rows, saved_rows

datasets.disable_progress_bars()


def written(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), folder / "a.parquet", **options)
    return folder / "a.parquet"


def values(folder: Path, columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [row.values for row in parquet_rows(written(folder, columns))]


def test_values_keep_their_kinds(tmp_path: Path) -> None:
    columns = {
        "text": ["2024-01-05", "007"],
        "whole": pyarrow.array([2**60 + 1, None]),
        "decimal": [decimal.Decimal("0.10"), decimal.Decimal("12.00")],
        "exact": [decimal.Decimal("0.1234567890123456789"), decimal.Decimal(1)],
        "day": [datetime.date(2024, 1, 5)] * 2,
        "texts": [["a", "b"], []],
        "kinds": pyarrow.array(["x", "y"]).dictionary_encode(),
    }
    first, second = values(tmp_path, columns)
    assert (first["text"], first["whole"], first["decimal"], first["texts"]) == (
        "2024-01-05",
        2**60 + 1,
        0.1,
        ["a", "b"],
    )
    assert str(first["exact"]) == "0.1234567890123456789"  # more digits than a float has
    assert (first["day"], first["kinds"]) == (datetime.date(2024, 1, 5), "x")
    assert (second["text"], second["whole"], second["decimal"], second["texts"]) == ("007", None, 12, [])
    assert isinstance(second["decimal"], int)


def test_a_large_file_comes_in_batches_and_its_rows_are_numbered_through(tmp_path: Path) -> None:
    path = written(tmp_path, {"n": list(range(3000))}, row_group_size=700)
    rows = parquet_rows(path)
    assert next(rows).where == f"{path}: row 1"
    last = [*rows][-1]
    assert (last.number, last.values["n"], last.where) == (3000, 2999, f"{path}: row 3000")
    assert parquet_count(path) == 3000


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[:2], "not a Parquet file .it does not start with PAR1"),
        (lambda data: b'{"a": 1}\n', "not a Parquet file .it does not start with PAR1"),
        (lambda data: data[: len(data) // 2], "is truncated .it does not end with PAR1"),
        (lambda data: data[:100] + data[-40:], "not a Parquet file, or damaged"),
        (lambda data: b"PAR1", "not a Parquet file, or damaged"),
    ],
)
def test_damaged_parquet_files(tmp_path: Path, damage: Any, message: str) -> None:
    path = written(tmp_path, {"text": ["some text"] * 50})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        list(parquet_rows(path))
    assert str(path) in str(caught.value)


def test_duplicate_columns_and_invalid_texts(tmp_path: Path) -> None:
    schema = pyarrow.schema([("a", pyarrow.string()), ("a", pyarrow.string())])
    parquet.write_table(pyarrow.Table.from_arrays([["x"], ["y"]], schema=schema), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="two columns are named 'a'; rename one"):
        list(parquet_rows(tmp_path / "a.parquet"))
    latin = pyarrow.array([b"fine", b"caf\xe9"]).view(pyarrow.string())
    with pytest.raises(UserError, match=r"a\.parquet: .*(UTF8|utf-8)"):
        values(tmp_path, {"text": latin})


def test_a_date_that_python_does_not_have_is_named_with_its_row(tmp_path: Path) -> None:
    times = pyarrow.array([0, 2**40], pyarrow.timestamp("s"))
    with pytest.raises(UserError, match=r"a\.parquet: row 2: a value cannot be converted"):
        values(tmp_path, {"time": times})


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {"text": ["0" * 1000] * 100_000}, compression="zstd")
    monkeypatch.setattr(data_files, "_FREE", 1000)
    with pytest.raises(UserError, match=r"a\.parquet: decompresses to more than .* bomb"):
        list(parquet_rows(path))
    assert path.stat().st_size < 100_000


def test_saved_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "_FREE", 10)  # they are not compressed, so there is no limit
    rows = [{"question": f"Q{n}?", "day": "2024-01-05", "texts": ["a"]} for n in range(1500)]
    whole = datasets.Dataset.from_list(rows)
    whole.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict({"train": whole.select([5, 3]), "test": whole}).save_to_disk(tmp_path / "several")
    found = list(saved_rows(tmp_path / "one", "any split"))
    assert [row.values for row in found] == rows
    assert found[-1].where == f"{tmp_path}/one: row 1500"
    chosen = list(saved_rows(tmp_path / "several", "train"))
    assert [row.values["question"] for row in chosen] == ["Q5?", "Q3?"]
    assert chosen[1].where == f"{tmp_path}/several/train: row 2"
    with pytest.raises(
        UserError, match=r"several: has no split 'dev'; set `hub_split` to one that it has \(train, test"
    ):
        list(saved_rows(tmp_path / "several", "dev"))


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize("text", ["", "[]", '{"features": 5}', "[" * 5000, None])
def test_damaged_saved_data_sets(tmp_path: Path, name: str, text: str | None) -> None:
    datasets.Dataset.from_list([{"a": "b"}]).save_to_disk(tmp_path / "mine")
    if text is None:
        (tmp_path / "mine" / name).unlink()
    else:
        (tmp_path / "mine" / name).write_text(text)
    with pytest.raises(UserError, match="mine: not a data set written by save_to_disk, or damaged"):
        list(saved_rows(tmp_path / "mine", "train"))


@pytest.mark.parametrize("splits", ["", "[]", '{"splits": 5}', '{"splits": ["test"]}', "[" * 5000, "{}"])
def test_damaged_lists_of_splits(tmp_path: Path, splits: str) -> None:
    datasets.DatasetDict({"train": datasets.Dataset.from_list([{"a": "b"}])}).save_to_disk(tmp_path / "mine")
    (tmp_path / "mine/dataset_dict.json").write_text(splits)
    with pytest.raises(UserError, match="mine"):
        list(saved_rows(tmp_path / "mine", "train"))
    assert json.loads((tmp_path / "mine/train/state.json").read_text())["_data_files"]  # the data is sound
