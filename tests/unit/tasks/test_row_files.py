"""Files and folders into raw rows: every kind reads the same rows, and every damaged file is a named error."""

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from retrace.errors import UserError
from retrace.tasks.row_files import files_of, row_count, rows_of

ROWS = [
    {"question": f"What is {n} + 1, é?", "answer": f"{n}+1 = {n + 1}\n#### {n + 1}", "day": "2024-01-05"}
    for n in range(3)
]


def table(sign: str, rows: list[dict[str, Any]] = ROWS) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=sign)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
TEXTS = {
    "a.jsonl": JSONL,
    "lines.json": JSONL,
    "a.txt": JSONL,
    "list.json": json.dumps(ROWS).encode(),
    "document.json": json.dumps({"version": 1, "examples": ROWS}).encode(),
    "pretty.json": json.dumps({"about": "rows", "data": ROWS}, indent=2).encode(),
    "splits.json": json.dumps({"train": ROWS, "test": ROWS[:1]}, indent=2).encode(),
    "a.csv": table(","),
    "semicolon.csv": table(";"),
    "a.tsv": table("\t"),
}


def write_parquet(path: Path) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)


def write_saved(path: Path) -> None:
    datasets.disable_progress_bars()
    datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(path)


def write_folder(path: Path) -> None:
    path.mkdir()
    (path / "train-00000-of-00002.jsonl").write_bytes(JSONL[: JSONL.index(b"\n") + 1])
    (path / "train-00001-of-00002.jsonl").write_bytes(JSONL[JSONL.index(b"\n") + 1 :])


OTHERS: dict[str, Callable[[Path], None]] = {"a.parquet": write_parquet, "saved": write_saved, "folder": write_folder}
KINDS = [*TEXTS, *(f"{name}.gz" for name in TEXTS), *OTHERS]


def write(path: Path) -> Path:
    name = path.name.removesuffix(".gz")
    if name in OTHERS:
        OTHERS[name](path)
    else:
        path.write_bytes(gzip.compress(TEXTS[name], mtime=0) if path.suffix == ".gz" else TEXTS[name])
    return path


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    rows = list(rows_of(path, split="train"))
    assert [dict(row.values) for row in rows] == ROWS  # a text that looks like a date stays a text
    assert [row.number for row in rows] == [1, 2, 3]
    assert all(row.where.startswith(str(path)) for row in rows)
    assert row_count(path, "train") == (None if name == "saved" else 3)


@pytest.mark.parametrize("name", KINDS)
def test_the_files_behind_the_rows_of_a_split(tmp_path: Path, name: str) -> None:
    """All that are read, and no other: what is removed is missed, and of another split nothing is."""
    path = write(tmp_path / name)
    if path.is_dir():
        (path / "test.jsonl").write_bytes(JSONL)
        (path / "README.md").write_text("# Mine\n")
    files = files_of(path, "train")
    assert path / "test.jsonl" not in files
    others = [file for file in path.rglob("*") if file.is_file() and file not in files]
    for file in others:
        file.unlink()
    assert len(list(rows_of(path, split="train"))) == 3
    for file in [file for file in files if file.suffix in (".jsonl", ".arrow", ".json")] or [path]:
        data = file.read_bytes()
        file.unlink()
        with pytest.raises(UserError):
            list(rows_of(path, split="train"))
        file.write_bytes(data)


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", None),
        ('{"a": 1}\n\n{"a": 2}\n', r"a\.jsonl:2: empty line"),
        ('{"a": 1}\n[1]\n', r"a\.jsonl:2: a row is a JSON object, this is a list"),
        (
            '[{"a": 1}]\n',
            r"a\.jsonl:1: a row is a JSON object, this is a list; name a file with one JSON document \.json",
        ),
        ('{\n"a": 1}\n', r"a\.jsonl:1: not JSON .* name a file with one JSON document \.json"),
        ('{"a": 1}\n{"a": \n', r"a\.jsonl:2: not JSON \(Expecting value, column"),
        ('{"a": 1, "a": 2}\n', r"a\.jsonl:1: duplicate key 'a' in one object"),
        ('{"a": {"b": 1, "b": 1}}\n', r"a\.jsonl:1: duplicate key 'b'"),
        ('{"a": ' + "9" * 10_000 + "}\n", r"a\.jsonl:1: a number of 10000 digits; write it as text"),
        ("[" * 100_000 + "\n", r"a\.jsonl:1: not JSON \(nested too deeply\)"),
        ('{"a":' * 100_000 + "\n", r"a\.jsonl:1: not JSON \(nested too deeply\)"),
    ],
)
def test_faulty_lines_of_json(tmp_path: Path, text: str, message: str | None) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    if message is None:
        assert list(rows_of(tmp_path / "a.jsonl")) == []
        return
    with pytest.raises(UserError, match=message):
        list(rows_of(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", r"a\.json: \[1\]: a row is a JSON object, this is a int"),
        (
            '{\n"a": {"0": "x"},\n"b": {"0": "y"}}\n',
            r"expected a list of objects.*to_json\(FILE, orient='records', lines=True\)",
        ),
        ('{\n"train": [{"a": 1}],\n"other": [{"a": 1}]}\n', "expected a list of objects, or a JSON object with a list"),
        ("{\n", r"a\.json:1: not JSON"),
        ('[{"a": 1},\n{"a": 1, "a": 2}]', "duplicate key 'a'"),
        ("[" * 100_000, r"a\.json: not JSON \(nested too deeply\)"),
        ('{"a": 1}\n{"a": \n', r"a\.json:2: not JSON"),
        ('{"a": 1\n', r"a\.json:1: not JSON"),
        ("question,answer\n", r"a\.json:1: not JSON"),
    ],
)
def test_faulty_documents(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message):
        list(rows_of(tmp_path / "a.json", split="test"))


def test_one_row_with_a_list_of_objects_is_no_document(tmp_path: Path) -> None:
    row = {"question": "Which?", "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}]}
    (tmp_path / "a.json").write_text(json.dumps(row) + "\n")
    assert [found.values for found in rows_of(tmp_path / "a.json")] == [row]


def test_a_file_of_an_unknown_kind_is_asked_for_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.data").write_text("\nquestion,answer\n")
    with pytest.raises(
        UserError, match=r"a\.data:2: not JSON; give the file a name that says what it contains \(.*\.csv"
    ):
        list(rows_of(tmp_path / "a.data"))


@pytest.mark.parametrize(
    "text",
    [
        '{"question":{"0":"a","1":"b"},"answer":{"0":"1","1":"2"}}',
        '{"0":{"question":"a","answer":"1"}}',
        '{"columns":["question","answer"],"index":[0],"data":[["a","1"]]}',
        '{"schema":{"fields":[]},"data":[{"question":"a","answer":"1"}]}',
    ],
)
def test_tables_that_pandas_wrote_by_columns_are_refused_with_the_mend(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: holds a table by columns .*orient='records', lines=True"):
        list(rows_of(tmp_path / "a.json"))
    (tmp_path / "a.json").write_text('{"data":{"question":"a"},"answer":{"text":"1"}}')
    assert len(list(rows_of(tmp_path / "a.json"))) == 1


# ---------------------------------------------------------------- tables


def read_csv(folder: Path, text: str, name: str = "a.csv") -> list[dict[str, Any]]:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return [dict(row.values) for row in rows_of(folder / name)]


def test_cells_stay_the_texts_they_are(tmp_path: Path) -> None:
    cells = ["2024-01-05", "007", "1e5", "true", "NA", "", " x ", "1,5"]
    rows = read_csv(tmp_path, "text,n\n" + "".join(f'"{cell}",{n}\n' for n, cell in enumerate(cells)))
    assert [row["text"] for row in rows] == cells


def test_long_cells_line_ends_in_cells_and_names_with_blanks(tmp_path: Path) -> None:
    long = "x" * 300_000
    assert read_csv(tmp_path, f'question, answer\r\n"a\r\nb",{long}\r\n') == [{"question": "a\nb", "answer": long}]


@pytest.mark.parametrize(
    "text",
    [",a,b\n0,x,1\n", "a,b,,\nx,1,,\n", "a,b\nx,1\n\n\n", "a,b\r\nx,1\r\n\r\n", ",a,b,\r\n7,x,1,\r\n"],
)
def test_an_index_empty_columns_and_empty_lines_at_the_end_are_left_out(tmp_path: Path, text: str) -> None:
    assert read_csv(tmp_path, text) == [{"a": "x", "b": "1"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", '"a;b";c\n"1;2";3\n'), ("a.tsv", "a;b\tc\n1;2\t3\n"), ("a.csv", "a;b\tc\n1;2\t3\n".replace(";", "."))],
)
def test_other_separators(tmp_path: Path, name: str, text: str) -> None:
    (row,) = read_csv(tmp_path, text, name)
    assert list(row) in (["a;b", "c"], ["a.b", "c"])
    assert list(row.values()) in (["1;2", "3"], ["1.2", "3"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1\n", r"a\.csv:2: 1 fields, the first line names 2"),
        ('a,b\n"x\ny",1\n2\n', r"a\.csv:4: 1 fields"),
        ('a,b\n1,2\n"x,3\n4,5\n', r"a\.csv:3: not CSV \(a quote opened here is never closed\)"),
        ('a,b\n1,2\n"x"y,3\n', r"a\.csv:3: not CSV .*write a quote inside quotes as"),
        ("sep=;\na;b\n1;2\n", r"a\.csv:1: 'sep=;' is a note for spreadsheet programs; remove this line"),
        ("a, a\n1,2\n", r"a\.csv:1: the first line must name the fields, each once"),
        ("a,,b\n1,2,3\n", r"a\.csv:1: the first line must name the fields, each once"),
        (",a,b,\n0,1,2,c\n", r"a\.csv:2: 'c' stands in a column without a name"),
        ("a,b\n1,2\n\n3,4\n", r"a\.csv:3: empty line; remove it"),
    ],
)
def test_faulty_tables_are_named_with_the_line_where_the_row_begins(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_csv(tmp_path, text)


# ---------------------------------------------------------------- damaged files

INSERTS = [b'"', b"\\ud800", b"\0", b"[", b"{", b",", b"\n", b"\r", b"NaN", b"1e999", b"\xff\xfe", b"||", b"9" * 5000]


def mutated(stream: random.Random, data: bytes) -> bytes:
    """The file with one to three small changes."""
    changed = bytearray(data)
    for _ in range(stream.randint(1, 3)):
        place = stream.randrange(len(changed) + 1)
        way = stream.randrange(5)
        if way == 0:
            changed[place : place + 1] = bytes([stream.randrange(256)])
        elif way == 1:
            del changed[place : place + stream.randint(1, 30)]
        elif way == 2:
            changed[place:place] = stream.choice(INSERTS)
        elif way == 3:
            del changed[place:]
        elif place < len(changed):
            changed[place] ^= 1 << stream.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_read_or_named(tmp_path: Path, name: str) -> None:
    """Whatever happened to a file, reading it ends with rows or with an error for the user that says which file."""
    path = write(tmp_path / name)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    sound = {file: file.read_bytes() for file in files}
    stream = random.Random(name)
    for _ in range(15):
        file = stream.choice(files)
        file.write_bytes(mutated(stream, sound[file]))
        try:
            for row in rows_of(path, split="train"):
                assert row.where.startswith(str(tmp_path))
        except UserError as error:
            assert str(path) in str(error)  # noqa: PT017 (both ways are right)
        assert row_count(path, "train") is None or row_count(path, "train") >= 0
        file.write_bytes(sound[file])
    assert len(list(rows_of(path, split="train"))) == 3
