"""Partial results of a decoding job, so that a kill, time-out or requeue costs only the current batch.

The partial results of the target `shards/test_0.jsonl` are in `shards/state/test_0.jsonl`, in a folder that Snakemake does
not know and therefore does not delete. The first line identifies the job (`fingerprint`); the following lines are its
results in order of completion. Each line is written in one call as soon as its batch is done, so no signal handler is
needed, and a line that a kill left incomplete is dropped. A job that succeeds removes the file.
"""

import contextlib
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from retrace.errors import UserError
from retrace.machine.storage import refusal
from retrace.sections import speed_options

FOLDER = "state"
_SYNC_SECONDS = 30.0  # work that a machine failure may lose; a kill loses nothing that was written
_HASHED_WHOLE = 1 << 24  # bytes; larger files (weights) are identified by size and modification time


def what_counts(options: BaseModel) -> dict[str, Any]:
    """Options that change results, as plain data for `fingerprint`."""
    return {"section": type(options).__name__} | options.model_dump(mode="json", exclude=speed_options(options))


def fingerprint(parts: Mapping[str, Any], files: Iterable[str | Path | None]) -> str:
    """A checksum of everything that a job's rows depend on, including this package's code and library versions.

    Args:
        parts: Options, seed, shard, prompts and so on, as plain data.
        files: Data, models (folders), configurations; None for a file that the job does not have.
    """
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for library in ("torch", "transformers", "tokenizers"):
        digest.update(f"{library} {version(library)}\n".encode())
    package = Path(__file__).resolve().parents[1]
    for file in sorted(package.rglob("*.py")):
        digest.update(str(file.relative_to(package)).encode() + file.read_bytes())
    for file in files:
        digest.update(b"\0")
        if file is not None:
            _add(digest, Path(file))
    return digest.hexdigest()


def _add(digest: Any, path: Path) -> None:
    inside = sorted(part for part in path.rglob("*") if part.is_file() and not part.name.startswith(".snakemake"))
    for file in inside if path.is_dir() else [path]:
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        facts = file.stat()
        if facts.st_size <= _HASHED_WHOLE:
            digest.update(file.read_bytes())
        else:
            digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())


class PartialFile:
    """The lines that a job has written so far for `target`. `entries` are from an earlier run of the same job."""

    def __init__(self, target: str | Path, job: str) -> None:
        """job: the job's fingerprint; results with another fingerprint are discarded."""
        target = Path(target)
        self.path = target.parent / FOLDER / target.name
        self.entries = self._read(job)
        self._synced = time.monotonic()
        # Each run has its own file, so a run that continues on a lost node writes to a file that is no longer used.
        fresh = self.path.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
        lines = [{"job": job}, *self.entries]
        try:
            _write(fresh, b"".join(map(_line, lines)))
            os.replace(fresh, self.path)
            self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise UserError(f"{self.path}: cannot be written: {refusal(error, self.path) or error.strerror}") from None
        if self.entries:
            print(f"note: {self.path}: continuing after {len(self.entries)} rows of an earlier run", file=sys.stderr)

    def _read(self, job: str) -> list[dict[str, Any]]:
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]  # an incomplete last line
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        if not found or found[0] != {"job": job}:
            print(f"note: {self.path} is from different options, models, data or code; starting over", file=sys.stderr)
            return []
        return found[1:]

    def append(self, entry: Mapping[str, Any]) -> None:
        """Append a line. Raises UserError if the disk is full or another run has taken over."""
        try:
            mine = os.fstat(self._handle).st_nlink > 0
            if mine:
                line = _line(entry)
                if os.write(self._handle, line) < len(line):
                    raise OSError(28, "No space left on device")
                if time.monotonic() - self._synced > _SYNC_SECONDS:
                    os.fsync(self._handle)
                    self._synced = time.monotonic()
        except OSError as error:
            fault = refusal(error, self.path) or error.strerror
            raise UserError(f"{self.path}: {fault}; results so far are kept") from None
        if not mine:
            raise UserError(
                f"{self.path}: this job was started again elsewhere, so this run stops in favor of the other one"
            )

    def finish(self) -> None:
        """Remove the file once the target is written."""
        os.close(self._handle)
        with contextlib.suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()


def _write(path: Path, content: bytes) -> None:
    for attempt in range(9):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(content)
        except FileNotFoundError:  # another shard has just removed the empty folder
            if attempt == 8:
                raise
        else:
            return


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"
