"""Data files as text: which kinds there are, by their names, and what is no text, is packed or is damaged."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

from retrace.errors import UserError
from retrace.machine.storage import refusal

Kind = Literal["rows", "json", "table", "parquet", "text"]

# rows: a JSON object a line. json: one document, or rows. table: CSV or TSV.
_KINDS: dict[str, Kind] = {
    ".jsonl": "rows",
    ".ndjson": "rows",
    ".json": "json",
    ".csv": "table",
    ".tsv": "table",
    ".parquet": "parquet",
    ".txt": "text",
}
PACKED = ".gz"
READABLE = tuple(
    name + packed for name, kind in _KINDS.items() for packed in ("", PACKED) if name + packed != ".parquet.gz"
)
_TABLES = "save it as CSV"
_PICKLED = "it can run code when it is read; write its rows as JSONL"
_MENDS = {
    ".zst": "unpack it (zstd -d FILE), or pack it with gzip",
    ".bz2": "unpack it (bunzip2 FILE), or pack it with gzip",
    ".xz": "unpack it (unxz FILE), or pack it with gzip",
    ".zip": "unpack it (unzip FILE), and name the file or the folder in it",
    ".tar": "unpack it (tar -xf FILE), and name the file or the folder in it",
    ".tgz": "unpack it (tar -xf FILE), and name the file or the folder in it",
    ".7z": "unpack it, and name the file or the folder in it",
    ".xlsx": _TABLES,
    ".xls": _TABLES,
    ".ods": _TABLES,
    ".pkl": _PICKLED,
    ".pickle": _PICKLED,
    ".pt": _PICKLED,
    ".npy": _PICKLED,
    ".npz": _PICKLED,
    ".arrow": "name the folder that save_to_disk wrote, or write Parquet",
    ".feather": "write Parquet",
    ".orc": "write Parquet",
    ".avro": "write Parquet",
}
# How files begin that are no text, whatever their names say.
_SIGNS = {
    b"\xff\xfe\x00\x00": "UTF-32 text; save it as UTF-8 (iconv -f UTF-32 -t UTF-8 FILE > NEW)",
    b"\x00\x00\xfe\xff": "UTF-32 text; save it as UTF-8 (iconv -f UTF-32 -t UTF-8 FILE > NEW)",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)",
    b"PAR1": "a Parquet file; name it NAME.parquet",
    b"\x1f\x8b": "packed by gzip; add .gz to its name",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it (zstd -d FILE), or pack it with gzip",
    b"BZh": "packed by bzip2; unpack it (bunzip2 FILE), or pack it with gzip",
    b"\xfd7zXZ": "packed by xz; unpack it (unxz FILE), or pack it with gzip",
    b"PK\x03\x04": "a zip file or an Excel workbook; unpack it, or save it as CSV",
    b"ARROW1": "an Arrow file; write Parquet",
    b"version https://git-lfs.github.com/": "a pointer of Git LFS, not the data; fetch them (git lfs pull)",
}
# No text packs so well by itself: what grows beyond both bounds is made to fill the memory.
_GROWTH, _FREE = 200, 64 * 2**20


def kind_of(path: Path) -> Kind:
    """The kind of a data file, by its name. Raises UserError for one that is not read."""
    name = path.name.lower()
    ending = Path(name.removesuffix(PACKED)).suffix
    if name.endswith(".parquet" + PACKED):
        raise UserError(f"{path}: Parquet packs by itself; unpack the file (gunzip {path.name})")
    if (mend := _MENDS.get(ending)) is not None:
        raise UserError(f"{path}: files {ending} are not read; {mend}. Read are {', '.join(_KINDS)}, texts also .gz")
    return _KINDS.get(ending, "text")


def stem_of(name: str) -> str | None:
    """The name of a data file without folder and ending; None for a file of another kind."""
    base = name.rpartition("/")[2]
    ending = max((end for end in READABLE if base.lower().endswith(end)), key=len, default=None)
    return base[: -len(ending)] if ending and len(base) > len(ending) else None


def allowed_size(path: Path) -> int:
    """Bytes that a file may have when it is unpacked."""
    return max(_FREE, _GROWTH * path.stat().st_size)


def refuse_bomb(path: Path) -> UserError:
    """The error for a file that grows beyond that."""
    return UserError(
        f"{path}: grows beyond {allowed_size(path) // 2**20} MiB when it is unpacked ({_GROWTH} times its size, at least "
        f"{_FREE // 2**20} MiB), as a file made to fill the memory does; if it is sound, unpack it and name the new file"
    )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes. Raises UserError for one that cannot be opened or read, also while it is read."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {refusal(error, path) or error.strerror or error}") from None


class _Bounded(io.RawIOBase):
    """The unpacked bytes of a file, up to the allowed size."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file, self._left = path, file, allowed_size(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        self._left -= len(block)
        if self._left < 0:
            raise refuse_bomb(self._path)
        buffer[: len(block)] = block
        return len(block)


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """A text file's bytes, unpacked where its name ends in .gz."""
    with opened(path) as file:
        if not path.name.lower().endswith(PACKED):
            yield file  # type: ignore[misc]
            return
        try:
            with gzip.open(file, "rb") as packed:
                yield io.BufferedReader(_Bounded(path, packed), 1 << 16)
        except gzip.BadGzipFile as error:
            raise UserError(f"{path}: not packed by gzip, or damaged ({error}); pack it anew, or drop .gz") from None
        except EOFError:
            raise UserError(f"{path}: cut off inside the packed data; copy or download the file again") from None
        except zlib.error as error:
            raise UserError(f"{path}: damaged ({error}); copy or download the file again") from None


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a text file, each with its end as `\\n`. Raises UserError naming the line that is no text.

    A line ends where an editor ends it; U+2028 and the like, which a JSON text may hold, end none.
    """
    with _unpacked(path) as file:
        head = file.peek(64)[:64]
        for sign, fault in _SIGNS.items():
            if head.startswith(sign):
                raise UserError(f"{path}: is {fault}")
        # Some editors put a mark in front (utf-8-sig). What is no UTF-8 comes as surrogates, so that its line can be named.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=None)
        for number, line in enumerate(text, start=1):
            if not line.isascii():
                _check_encoding(path, number, line)
            if "\0" in line:
                raise UserError(
                    f"{path}:{number}: holds a NUL byte, which no text has; save the file as UTF-8 text (from UTF-16: "
                    "iconv -f UTF-16LE -t UTF-8 FILE > NEW)"
                )
            yield number, line


def _check_encoding(path: Path, number: int, line: str) -> None:
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path}:{number}: not UTF-8 text (byte 0x{ord(line[error.start]) & 0xFF:02x} at character {error.start + 1}); "
            "save it as UTF-8 (from Latin-1 or Windows: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW)"
        ) from None
