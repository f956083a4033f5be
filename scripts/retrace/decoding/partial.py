"""Partial results of a decoding job, so that a kill, time-out or requeue costs only the current batch.

Beside the target `shards/test_0.jsonl` lies `shards/state/test_0.jsonl`, in a folder that Snakemake does not know of and
so does not delete. Its first line says what the job is (`fingerprint`); each further line holds what was done, in the
order in which it was. A line is written in one call as soon as its batch is done: a signal needs no handler, and a line
that a kill tore is dropped. A job that ends well removes the file.
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
_SYNC_SECONDS = 30.0  # what a machine that goes down may lose; a kill loses nothing that was written
_HASHED_WHOLE = 1 << 24  # bytes; of larger files (weights) size and time of change stand for the content


def what_counts(options: BaseModel) -> dict[str, Any]:
    """Options that change results, as plain data for `fingerprint`."""
    return {"section": type(options).__name__} | options.model_dump(mode="json", exclude=speed_options(options))


def fingerprint(parts: Mapping[str, Any], files: Iterable[str | Path | None]) -> str:
    """A checksum of all that a job's rows depend on.

    parts: options, seed, shard, prompts and the like, as plain data. files: data, models (folders), configurations; None
    for what the job does not have. The code of this package and the libraries that compute are part of it.
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
    """The lines that a job has written so far for `target`; `entries` are those of an earlier run of the same job."""

    def __init__(self, target: str | Path, job: str) -> None:
        """job: its fingerprint; results of another job are discarded."""
        target = Path(target)
        self.path = target.parent / FOLDER / target.name
        self.entries = self._read(job)
        self._synced = time.monotonic()
        # A file of this run's own: one that goes on elsewhere, on a node that was given up, writes into a lost one.
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
            print(f"note: {self.path}: going on behind {len(self.entries)} rows of an earlier run", file=sys.stderr)

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
            print(f"note: {self.path} belongs to other options, models, data or code; starting anew", file=sys.stderr)
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
            raise UserError(f"{self.path}: {fault}; what was done so far is kept") from None
        if not mine:
            raise UserError(
                f"{self.path}: this job was started again elsewhere, so this run stops and leaves it to the other one"
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
        except FileNotFoundError:  # another shard, done at this moment, has removed the empty folder
            if attempt == 8:
                raise
        else:
            return


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"
