"""Checksums of finished files: recorded when a file is written, verified on request.

Records are in the folder RETRACE_CHECKSUMS, mirroring the file's path, in the format of `sha256sum`:
checksums/data/gsm8k/test.jsonl.sha256 is for results/data/gsm8k/test.jsonl. A folder's record has one line per file.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from retrace.errors import UserError

VARIABLE = "RETRACE_CHECKSUMS"
RESULTS = "results"
_MUCH = 2_000_000_000  # bytes
_SETTLED_NS = 2_000_000_000  # more than the steps of any file system's clock
_PASSING = {"shards", "state"}  # folders of temporary files


class Fault(NamedTuple):
    """A recorded file that has changed."""

    artifact: str  # file or folder that a rule produces
    file: str
    fault: str


def digest_of(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Remembered:
    """Checksums of files that may change, kept in a JSON file beside what tells a change: size, times and inode.

    So large files are read once, and again only where one of these differs.
    """

    def __init__(self, kept: str | Path) -> None:
        self.kept = Path(kept)

    def of(self, files: Iterable[Path]) -> dict[Path, str]:
        """Checksums of files that exist. Says so on standard error where much is to be read."""
        known = self._read()
        marks = {file: _mark(file) for file in files}
        unread = [file for file, mark in marks.items() if known.get(_place(file), {}).get("mark") != mark]
        size = sum(marks[file][0] for file in unread)
        if size > _MUCH:
            print(f"note: reading {size / 1e9:.1f} GB of your files for their checksums, this once", file=sys.stderr)
        with ThreadPoolExecutor(min(4, len(unread) or 1)) as threads:
            sums = dict(zip(unread, threads.map(digest_of, unread), strict=True))
        found = {file: sums.get(file) or known[_place(file)]["sha256"] for file in marks}
        # A file that changed just now may change again without another time.
        now = time.time_ns()
        fresh = {file for file in unread if now - max(marks[file][1:3]) < _SETTLED_NS or _mark(file) != marks[file]}
        if kept := set(unread) - fresh:
            self._write({_place(file): {"mark": marks[file], "sha256": found[file]} for file in kept})
        return found

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self.kept.read_text(encoding="utf-8"))
            return {place: one for place, one in known.items() if {"mark", "sha256"} == set(one)}
        except (OSError, ValueError, AttributeError, TypeError):  # nothing is lost but the time to read the files again
            return {}

    def _write(self, new: Mapping[str, Any]) -> None:
        beside = self.kept.with_name(f".{self.kept.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # a folder that cannot be written: read again next time
            beside.write_text(json.dumps({**self._read(), **new}), encoding="utf-8")
            os.replace(beside, self.kept)


def _place(file: Path) -> str:
    return os.path.realpath(file)


def _mark(file: Path) -> list[int]:
    """What differs where a file's contents do: size, times of contents and inode, and the inode."""
    found = os.stat(file)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def record_path(artifact: str | Path, records: str | Path) -> Path | None:
    """Path of an artifact's record; None for artifacts outside the results or temporary ones."""
    parts = Path(os.path.relpath(artifact)).parts
    hidden = any(part.startswith(".") for part in parts)  # a folder in the process of being written
    if parts[0] != RESULTS or len(parts) < 2 or hidden or _PASSING & set(parts):
        return None
    return Path(records, *parts[1:-1], parts[-1] + ".sha256")


def forget(artifact: str | Path) -> None:
    """Remove an artifact's record before replacing it, so that a kill in between leaves no stale record."""
    records = os.environ.get(VARIABLE)
    path = record_path(artifact, records) if records else None
    if path is not None and path.exists():
        path.unlink()


def record(artifact: str | Path) -> None:
    """Write an artifact's record, if the environment names a folder for records."""
    records = os.environ.get(VARIABLE)
    path = record_path(artifact, records) if records else None
    if path is None:
        return
    name = os.path.relpath(artifact)
    files = [name] if os.path.isfile(artifact) else files_in(name)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text("".join(f"{digest_of(file)}  {file}\n" for file in files), encoding="utf-8")
        os.replace(beside, path)
    except OSError:  # the artifact is complete; a full disk here only loses its record
        if beside.exists():
            beside.unlink()


def files_in(folder: str) -> list[str]:
    """Sorted files of a folder, without Snakemake's marker files."""
    found = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return sorted(file for file in found if not os.path.basename(file).startswith(".snakemake"))


def recorded_artifacts(records: str | Path) -> list[str]:
    """All artifacts with a record, sorted."""
    found = Path(records).rglob("*.sha256")
    return sorted(str(Path(RESULTS, path.relative_to(records).with_suffix(""))) for path in found)


def faults_of(artifact: str, records: str | Path) -> Iterator[Fault]:
    """Differences between an artifact and its record; none for a missing artifact, which Snakemake will rebuild.

    Raises UserError for a malformed record.
    """
    path = record_path(artifact, records)
    if path is None or not os.path.exists(artifact):
        return
    known: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        digest, _, file = line.partition("  ")
        if len(digest) != 64 or not file:
            raise UserError(f"{path}:{number}: no line of a checksum record; delete the file")
        known[file] = digest
    for file, digest in known.items():
        try:
            if digest_of(file) != digest:
                yield Fault(artifact, file, "is not what its rule wrote")
        except FileNotFoundError:
            yield Fault(artifact, file, "is missing")
        except OSError as error:
            yield Fault(artifact, file, f"cannot be read ({error.strerror})")
    if os.path.isdir(artifact):
        for file in files_in(artifact):
            if file not in known:
                yield Fault(artifact, file, "was put there by something else than its rule")
