"""All responses received so far, in one append-only file, so that no response is paid for twice.

A line is written and flushed to disk as soon as its response arrives; an incomplete last line after a kill is dropped when
the file is opened again. Requests are stored as they were sent; they do not contain keys.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.locks import FileLock
from retrace.machine.storage import refusal
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import ROOM, Request, Response, body_of, key_of

FILE = "responses.jsonl"


@dataclass
class Totals:
    """Totals over the whole recording."""

    responses: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def cost(self, input_price: float, output_price: float) -> float:
        """The cost at these prices per million tokens."""
        return (self.input_tokens * input_price + self.output_tokens * output_price) / 1e6


class Recording:
    """Responses by the key of their request. Made by `open_recording`."""

    def __init__(self, path: Path, writable: bool) -> None:
        self.path = path
        self.totals = Totals()
        self._found: dict[str, Response] = {}
        self._handle: Any = None
        if path.exists():
            self._read(writable)
        if writable:
            self._handle = open(path, "ab")

    def _read(self, writable: bool) -> None:
        whole = 0
        with open(self.path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                if not line.endswith(b"\n"):
                    break  # cut short by a kill
                self._add(line, number)
                whole += len(line)
        if whole < self.path.stat().st_size:
            print(f"note: {self.path}: the last line is incomplete and is dropped", file=sys.stderr)
            if writable:
                os.truncate(self.path, whole)

    def _add(self, line: bytes, number: int) -> None:
        try:
            row = json.loads(line)
            response = Response(**row["response"])
            key = row["key"]
            if not (isinstance(key, str) and isinstance(response.text, str) and isinstance(response.thinking, str)):
                raise TypeError
            self.totals.input_tokens += response.input_tokens
            self.totals.output_tokens += response.output_tokens
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f"{self.path}:{number}: not a recorded response; remove the line (its request will be sent again)"
            ) from None
        self.totals.responses += 1
        self._found[key] = response

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: str) -> Response | None:
        """The recorded response of a key."""
        return self._found.get(key)

    def look_up(self, address: str, options: TeacherOptions, request: Request) -> tuple[Response | None, int | None]:
        """The recorded answer to a request without the model's thinking, and the factor of max_tokens to try next.

        The answer is None if there is none yet. The factor is None if nothing is left to try: the answer exists, or was
        still empty with the largest factor.
        """
        answer = None
        for room in ROOM:
            found = self.get(key_of(address, body_of(options, request, room), request.attempt))
            if found is None:
                return answer, room
            answer = found.without_thinking()
            if not found.ran_out_of_room:
                break
        return answer, None

    def add(self, key: str, address: str, request: dict[str, Any], attempt: int, response: Response) -> None:
        """Store a response durably: it is on disk when this returns. request: as it was sent."""
        row = {"key": key, "address": address, "request": request, "attempt": attempt, "response": vars(response)}
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        try:
            self._handle.write(line)
            self._handle.flush()
            os.fsync(self._handle.fileno())
        except OSError as error:
            if not (fault := refusal(error)):
                raise
            raise UserError(f"{self.path}: {fault}. The last response could not be recorded") from None
        self._add(line, len(self) + 1)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()


@contextmanager
def open_recording(folder: str | Path, writable: bool = True) -> Iterator[Recording]:
    """The recording in a folder. A writer has exclusive access; a second job waits, to avoid paying twice.

    Raises UserError if the folder cannot be used, or, for reading only, if it has no recording.
    """
    path = Path(folder) / FILE
    if not writable:
        if not path.is_file():
            raise UserError(f"{path}: no such file; name the folder of recorded responses as teacher.recording")
        yield Recording(path, writable=False)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        guard = FileLock(path.parent / ".lock")
    except OSError as error:
        raise UserError(f"{folder}: cannot be used: {refusal(error) or error.strerror}") from None
    with guard:
        _lock(guard, path)
        recording = Recording(path, writable=True)
        try:
            yield recording
        finally:
            recording.close()


def _lock(guard: FileLock, path: Path) -> None:
    try:
        if not guard.try_acquire():
            print(f"{path.parent}: another job is asking the teacher; waiting for it", file=sys.stderr, flush=True)
            guard.acquire()
    except OSError as error:  # on a file system without locks, go on without one
        print(
            f"note: {path.parent} cannot be locked ({error.strerror}); ask this teacher from one job at a time, or two jobs "
            "may pay for the same response",
            file=sys.stderr,
            flush=True,
        )
