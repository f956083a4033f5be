"""Data files: kinds by file name, decompression, encoding, and clear errors for everything else."""

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

# rows: one JSON object per line. json: one document, or rows. table: CSV or TSV.
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
_PICKLED = "loading it can run code; write its rows as JSONL"
_MENDS = {
    ".zst": "decompress it (zstd -d FILE), or use gzip instead",
    ".bz2": "decompress it (bunzip2 FILE), or use gzip instead",
    ".xz": "decompress it (unxz FILE), or use gzip instead",
    ".zip": "extract it (unzip FILE) and name the file or folder inside",
    ".tar": "extract it (tar -xf FILE) and name the file or folder inside",
    ".tgz": "extract it (tar -xf FILE) and name the file or folder inside",
    ".7z": "extract it and name the file or folder inside",
    ".xlsx": _TABLES,
    ".xls": _TABLES,
    ".ods": _TABLES,
    ".pkl": _PICKLED,
    ".pickle": _PICKLED,
    ".pt": _PICKLED,
    ".npy": _PICKLED,
    ".npz": _PICKLED,
    ".arrow": "name the folder that save_to_disk wrote, or save as Parquet",
    ".feather": "save it as Parquet",
    ".orc": "save it as Parquet",
    ".avro": "save it as Parquet",
}
# The first bytes of files that are not UTF-8 text, whatever their names say.
_SIGNS = {
    b"\xff\xfe\x00\x00": "UTF-32 text; save it as UTF-8 (iconv -f UTF-32 -t UTF-8 FILE > NEW)",
    b"\x00\x00\xfe\xff": "UTF-32 text; save it as UTF-8 (iconv -f UTF-32 -t UTF-8 FILE > NEW)",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)",
    b"PAR1": "a Parquet file; rename it to NAME.parquet",
    b"\x1f\x8b": "compressed by gzip; add .gz to its name",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; decompress it (zstd -d FILE), or use gzip instead",
    b"BZh": "compressed by bzip2; decompress it (bunzip2 FILE), or use gzip instead",
    b"\xfd7zXZ": "compressed by xz; decompress it (unxz FILE), or use gzip instead",
    b"PK\x03\x04": "a zip file or an Excel workbook; extract it, or save it as CSV",
    b"ARROW1": "an Arrow file; save it as Parquet",
    b"version https://git-lfs.github.com/": "a Git LFS pointer, not the data; run git lfs pull",
}
# A decompression bomb exceeds both: a multiple of the file's size, and this many bytes.
_GROWTH, _FREE = 200, 64 * 2**20


def kind_of(path: Path) -> Kind:
    """The kind of a data file, by its name. Raises UserError for a kind that is not supported."""
    name = path.name.lower()
    ending = Path(name.removesuffix(PACKED)).suffix
    if name.endswith(".parquet" + PACKED):
        raise UserError(f"{path}: Parquet files are compressed already; decompress it (gunzip {path.name})")
    if (mend := _MENDS.get(ending)) is not None:
        raise UserError(
            f"{path}: {ending} files are not supported; {mend}. Supported: {', '.join(_KINDS)}, text files also as .gz"
        )
    return _KINDS.get(ending, "text")


def stem_of(name: str) -> str | None:
    """The name of a data file without its folder and ending; None for other files."""
    base = name.rpartition("/")[2]
    ending = max((end for end in READABLE if base.lower().endswith(end)), key=len, default=None)
    return base[: -len(ending)] if ending and len(base) > len(ending) else None


def allowed_size(path: Path) -> int:
    """How many bytes a file may decompress to."""
    return max(_FREE, _GROWTH * path.stat().st_size)


def bomb_error(path: Path) -> UserError:
    """The error for a file that decompresses to more than `allowed_size`."""
    return UserError(
        f"{path}: decompresses to more than {allowed_size(path) // 2**20} MiB, as a decompression bomb does (the limit is "
        f"{_GROWTH} times its size, at least {_FREE // 2**20} MiB); if it is sound, decompress it and name the new file"
    )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file opened for reading. Raises UserError when it cannot be opened or read."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {refusal(error, path) or error.strerror or error}") from None


class _Bounded(io.RawIOBase):
    """The decompressed bytes of a file, up to the allowed size."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file, self._left = path, file, allowed_size(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(len(buffer))
        self._left -= len(block)
        if self._left < 0:
            raise bomb_error(self._path)
        buffer[: len(block)] = block
        return len(block)


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a text file, decompressed if its name ends in .gz."""
    with opened(path) as file:
        if not path.name.lower().endswith(PACKED):
            yield file  # type: ignore[misc]
            return
        try:
            with gzip.open(file, "rb") as packed:
                yield io.BufferedReader(_Bounded(path, packed), 1 << 16)
        except gzip.BadGzipFile as error:
            raise UserError(
                f"{path}: not a gzip file, or damaged ({error}); compress it again, or remove .gz from its name"
            ) from None
        except EOFError:
            raise UserError(f"{path}: truncated gzip data; copy or download the file again") from None
        except zlib.error as error:
            raise UserError(f"{path}: damaged ({error}); copy or download the file again") from None


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a text file, with `\\n` as line end. Raises UserError naming the line that is not UTF-8 text.

    Lines end at \\n, \\r\\n or \\r only: U+2028 and similar characters may occur inside a JSON text.
    """
    with _unpacked(path) as file:
        head = file.peek(64)[:64]
        for sign, fault in _SIGNS.items():
            if head.startswith(sign):
                raise UserError(f"{path}: is {fault}")
        # utf-8-sig: some editors write a byte order mark. surrogateescape: keeps invalid bytes, so that their line is known.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=None)
        for number, line in enumerate(text, start=1):
            if not line.isascii():
                _check_encoding(path, number, line)
            if "\0" in line:
                raise UserError(
                    f"{path}:{number}: contains a NUL byte, so it is not plain text; save it as UTF-8 (from UTF-16: "
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
