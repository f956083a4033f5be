"""Data files: compressed, damaged, in another encoding or of another kind, each with an error that says what to do."""

import errno
import gzip
import os
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.tasks import data_files
from retrace.tasks.data_files import kind_of, lines_of, stem_of

LINES = 'first\n"ä\u2028b\x85"\nlast'


def lines(path: Path) -> list[str]:
    return [line for _, line in lines_of(path)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv.gz", "A.TXT.GZ"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_the_same_however_they_are_written(tmp_path: Path, name: str, mark: bytes, end: str) -> None:
    data = mark + LINES.replace("\n", end).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
    assert list(lines_of(tmp_path / name)) == [(1, "first\n"), (2, '"ä\u2028b\x85"\n'), (3, "last")]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b""))
    assert lines(tmp_path / "a.jsonl") == lines(tmp_path / "b.jsonl.gz") == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (LINES.encode("utf-16"), "is UTF-16 text; save it as UTF-8 .iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff" + LINES.encode("utf-16-be"), "is UTF-16 text"),
        (LINES.encode("utf-32"), "is UTF-32 text; save it as UTF-8"),
        (LINES.encode("utf-16-le"), "a.jsonl:1: contains a NUL byte.*from UTF-16"),
        (b"one\ntwo\xe9\n", "a.jsonl:2: not UTF-8 text .byte 0xe9 at character 4.; save it as UTF-8 .from Latin-1"),
        (b"one\ntwo\xed\xa0\x80\n", "a.jsonl:2: not UTF-8 text .byte 0xed"),  # half of a character, as bytes
        (b"a\0b\n", "a.jsonl:1: contains a NUL byte"),
        (gzip.compress(b"text"), "is compressed by gzip; add .gz to its name"),
        (b"PAR1....PAR1", "is a Parquet file; rename it to NAME.parquet"),
        (b"PK\x03\x04....", "is a zip file or an Excel workbook"),
        (b"\x28\xb5\x2f\xfd....", "is compressed by zstd; decompress it"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "is a Git LFS pointer, not the data; run git lfs pull",
        ),
    ],
)
def test_files_that_are_not_text(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        lines(tmp_path / "a.jsonl")
    assert str(tmp_path / "a.jsonl") in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"plain\n", "not a gzip file, or damaged"),
        (gzip.compress(os.urandom(4000))[:-900], "truncated gzip data"),
        (gzip.compress(b"text")[:4], "truncated gzip data"),
        (gzip.compress(b"text" * 99)[:10] + b"\xff" * 40, "damaged .Error -3"),
        (gzip.compress(b"text")[:-8] + b"\0" * 8, "damaged .CRC check failed"),
        (gzip.compress(gzip.compress(b"text")), "is compressed by gzip"),
    ],
)
def test_damaged_gzip_files(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.csv.gz").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        lines(tmp_path / "a.csv.gz")
    assert str(tmp_path / "a.csv.gz") in str(caught.value)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"0" * 2_000_000 + b"\n"))
    assert len(lines(tmp_path / "a.jsonl.gz")) == 1  # small enough, whatever its ratio
    monkeypatch.setattr(data_files, "_FREE", 1_000_000)
    with pytest.raises(
        UserError,
        match=r"decompresses to more than 0 MiB, .*bomb does \(the limit is 200 times its size, at least 0 MiB\)",
    ):
        lines(tmp_path / "a.jsonl.gz")
    monkeypatch.setattr(data_files, "_GROWTH", 2000)
    assert len(lines(tmp_path / "a.jsonl.gz")) == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_files_that_the_system_does_not_let_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, *words: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    (tmp_path / "a.jsonl").write_text("{}\n")
    monkeypatch.setattr(Path, "open", refuse)  # the tests run as root, who may read everything
    with pytest.raises(UserError, match=r"a\.jsonl: cannot be read: (no permission|the disk cannot be read)"):
        lines(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jsonl", "rows"),
        ("a.b.JSONL.gz", "rows"),
        ("a.json", "json"),
        ("a.csv", "table"),
        ("a.tsv.gz", "table"),
        ("a.parquet", "parquet"),
        ("a.txt", "text"),
        ("demos.jsonl.sampling", "text"),
        ("a", "text"),
    ],
)
def test_kinds_by_names(name: str, kind: str) -> None:
    assert kind_of(Path(name)) == kind


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("a.jsonl.zst", "zstd -d FILE"),
        ("a.csv.bz2", "bunzip2"),
        ("a.zip", "unzip"),
        ("a.tar.gz", "tar -xf"),
        ("a.xlsx", "save it as CSV"),
        ("a.pkl", "loading it can run code"),
        ("a.arrow", "name the folder that save_to_disk wrote"),
        ("a.parquet.gz", "Parquet files are compressed already; decompress it"),
    ],
)
def test_kinds_that_are_not_supported(name: str, mend: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: .*{mend}"):
        kind_of(Path(name))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("x/train.jsonl", "train"),
        ("test-0.csv.gz", "test-0"),
        ("README.md", None),
        (".jsonl", None),
        ("a.tar.gz", None),
    ],
)
def test_stems_of_data_files(name: str, stem: str | None) -> None:
    assert stem_of(name) == stem
