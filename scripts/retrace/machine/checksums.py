"""Checksums of finished files: recorded when a file is written, verified on request.

Records are in the folder RETRACE_CHECKSUMS, mirroring the file's path, in the format of `sha256sum`:
checksums/data/gsm8k/test.jsonl.sha256 is for results/data/gsm8k/test.jsonl. A folder's record has one line per file.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from retrace.errors import UserError

VARIABLE = "RETRACE_CHECKSUMS"
RESULTS = "results"
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
