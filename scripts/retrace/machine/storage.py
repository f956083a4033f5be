"""File I/O: atomic writes, and error messages that name every malformed line."""

import contextlib
import errno
import glob
import gzip
import hashlib
import json
import os
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from retrace.errors import UserError
from retrace.machine import checksums
from retrace.machine.locks import FileLock

BY_COMMAND = "scripts/check_files.py --rebuild does both"
REBUILD = f"delete the file and rebuild it ({BY_COMMAND})"
RowType = TypeVar("RowType", bound=BaseModel)

# Failures of the machine or its setup; anything else is a bug and keeps its traceback.
_REFUSALS = {
    errno.EFBIG: "the file is larger than the system allows (ulimit -f, or the file system); raise the limit",
    errno.EACCES: "no permission; choose another folder, or ask for the right to use this one",
    errno.EPERM: "no permission; choose another folder, or ask for the right to use this one",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another path, or remove the file",
    errno.EISDIR: "is a folder, a file is expected; choose another path, or remove the folder",
    errno.ENAMETOOLONG: "the name is too long for the file system; choose a shorter one",
    errno.EIO: "the disk cannot be read or written (input/output error); check it",
}


def refusal(error: BaseException, path: str | Path | None = None) -> str | None:
    """User message for an I/O failure of the machine; None if `error` is something else.

    path: what was to be written, which says which disk is meant; default: the path that the error names.
    """
    number = error.errno if isinstance(error, OSError) else None
    # Native libraries (safetensors, torch, tokenizers) pass on only the text of a system error.
    quota = number == errno.EDQUOT or "Disk quota exceeded" in str(error)
    if quota or number == errno.ENOSPC or "No space left on device" in str(error):
        disk = disk_of(path or getattr(error, "filename", None) or ".")
        return f"the disk is full ({'your quota is used up; ' if quota else ''}{disk}); free some space and run again"
    return _REFUSALS.get(number)


def disk_of(path: str | Path) -> str:
    """The mount point and free space of a path's disk, as text."""
    place = Path(path).absolute()
    while not place.exists() or not os.path.ismount(place):
        place = place.parent
    usage = shutil.disk_usage(place)
    return f"{place}: {usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB free"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Provide a temporary path next to `path`, renamed into place if the block ends without an error.

    The block may create a file or a folder there. An existing target is replaced. On an error nothing new is left and
    the old target stays. Raises UserError naming `path` for a full disk, a missing right and the like.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder, lock = _holder(path)
    except OSError as error:
        fault = refusal(error, path) or f"{error.strerror}; choose another place"
        if isinstance(error, FileExistsError):
            fault = _REFUSALS[errno.ENOTDIR]
        raise UserError(f"{path}: cannot be written: {fault}") from None
    temporary = holder / path.name
    try:
        yield temporary
        if not temporary.exists():
            raise FileNotFoundError(f"nothing was written for {path}")
        sync_to_disk(temporary)
        checksums.forget(path)
        _swap(temporary, path, holder / "old")
        checksums.record(path)
    except UserError:
        raise
    except Exception as error:
        touched = str(getattr(error, "filename", None) or path)
        place = path if touched.startswith(str(holder)) else touched
        if not (fault := refusal(error, place)):
            raise
        raise UserError(f"{place}: {fault}. Nothing was written to {path}") from None
    finally:
        shutil.rmtree(holder, ignore_errors=True)
        lock.close()


def _holder(path: Path) -> tuple[Path, FileLock]:
    """A new temporary folder next to `path`, and the lock that shows that its writer is alive.

    Leftovers of killed writers of the same path on this machine are removed.
    """
    prefix = f".{path.name}.{socket.gethostname()}."
    for left in path.parent.glob(glob.escape(prefix) + "*"):
        with contextlib.suppress(OSError), FileLock(left / ".lock") as lock:
            if lock.try_acquire():
                shutil.rmtree(left, ignore_errors=True)
    while True:
        holder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
        try:
            lock = FileLock(holder / ".lock")
        except FileNotFoundError:  # taken for a leftover by another writer of this path, between these two lines
            continue
        except OSError:
            holder.rmdir()
            raise
        try:
            if lock.try_acquire() and lock.is_in_place():
                return holder, lock
        except OSError:  # a file system without locks: what a kill leaves there stays
            return holder, lock
        lock.close()


def sync_to_disk(path: Path) -> None:
    """Fsync a file, or all files of a folder, so that the new name never refers to missing content."""
    for file in [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]:
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())


def _swap(new: Path, path: Path, aside: Path) -> None:
    """Move `new` to `path`; an existing folder is moved aside first, and restored on failure."""
    if not path.is_dir():  # files are replaced atomically
        os.replace(new, path)
        return
    os.replace(path, aside)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(aside, path)
        raise


def timing_path(rows: str | Path) -> Path:
    """The file beside rows that says how long they took: test.jsonl -> test.timing.jsonl."""
    return Path(rows).with_suffix(".timing.jsonl")


def counts_path(rows: str | Path) -> Path:
    """The file beside rows that says what was looked for and found: trajectories.jsonl -> trajectories.counts.jsonl."""
    return Path(rows).with_suffix(".counts.jsonl")


def candidates_path(rows: str | Path) -> Path:
    """The file next to predictions with all candidates of guided decoding."""
    return Path(rows).with_suffix(".candidates.jsonl.gz")


def made_with(path: str) -> str:
    """The declared output that a file is made with: the predictions for their candidates, for other files themselves."""
    return path.removesuffix(".candidates.jsonl.gz") + ".jsonl" if path.endswith(".candidates.jsonl.gz") else path


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON document (a pydantic model or plain data), keeping the order of keys."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON document. Raises UserError with the location of an error."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON ({error.msg}); {REBUILD}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        fault = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "nested too deeply"
        raise UserError(f"{path}: not JSON ({fault}); {REBUILD}") from None


def _unreadable(path: str | Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be read: {refusal(error) or error.strerror or error}")


def write_jsonl(path: str | Path, rows: Iterable[BaseModel]) -> int:
    """Write one row per line atomically, and return the number of rows.

    A file *.gz is compressed; equal rows give equal bytes.
    """
    count = 0
    with atomic_path(path) as temporary, open(temporary, "wb") as raw, _compressing(raw, path) as handle:
        for row in rows:
            handle.write(row.model_dump_json().encode() + b"\n")
            count += 1
    return count


def _compressing(raw: BinaryIO, path: str | Path) -> AbstractContextManager[Any]:
    """The file to write to; it has neither name nor time in it, which would differ from run to run."""
    return gzip.GzipFile("", "wb", 6, raw, mtime=0) if Path(path).suffix == ".gz" else contextlib.nullcontext(raw)


def iter_jsonl(path: str | Path, row_type: type[RowType]) -> Iterator[RowType]:
    """Yield the rows of a JSONL file, one at a time.

    Raises UserError naming file, line and fault for a missing file, a malformed line or a truncated last line.
    """
    try:
        handle = gzip.open(path, "rb") if Path(path).suffix == ".gz" else open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    with handle:
        for number, raw in enumerate(_lines(handle, path), start=1):
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}:{number}: not UTF-8 text (byte {error.start + 1} of the line); "
                    f"save it as UTF-8, or {REBUILD}"
                ) from None
            if not line.endswith("\n"):
                raise UserError(f"{path}:{number}: the last line is cut off; {REBUILD}")
            if not line.strip():
                raise UserError(f"{path}:{number}: empty line; remove it")
            try:
                yield row_type.model_validate_json(line.rstrip())
            except ValidationError as error:
                fault = error.errors()[0]
                where = ".".join(str(part) for part in fault["loc"]) or "line"
                value = repr(fault.get("input"))[:80]
                raise UserError(
                    f"{path}:{number}: {where}: {fault['msg']} (got {value}); "
                    f"expected {row_type.__name__} rows; mend the line or rebuild the file"
                ) from None


def _lines(handle: Iterable[bytes], path: str | Path) -> Iterator[bytes]:
    """The lines of an open file. Raises UserError where a compressed one is damaged."""
    try:
        yield from handle
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: cannot be unpacked ({error}); {REBUILD}") from None


def read_jsonl(path: str | Path, row_type: type[RowType], allow_empty: bool = False) -> list[RowType]:
    """Read a whole JSONL file. An empty file is an error unless `allow_empty`."""
    rows = list(iter_jsonl(path, row_type))
    if not rows and not allow_empty:
        raise UserError(
            f"{path}: holds no {row_type.__name__} rows; check the split and the limits in the configuration"
        )
    return rows


def sha256_of(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, or of a folder's relative paths and contents in sorted order."""
    path = Path(path)
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
    if not files:
        raise UserError(f"{path}: nothing there to take a checksum of")
    for file in files:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with open(file, "rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
