"""Mathematical comparison in a separate process with a time limit, because comparing model output may never end.

The process (`tasks/math_worker.py`) starts with the first question, and again after one that it did not survive. A
question whose answer is not there in time counts as not the same, and has no key.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from retrace.errors import UserError

SECONDS = 5.0  # of processor time a question, math-verify's own default; the clock would depend on other processes
PATIENCE = 60.0  # by the clock, for a process that is stuck without computing
START = 300.0  # seconds until a started process is ready, on a machine that does much else
LONGEST = 1_000  # characters of an answer; longer ones are no answers
DEEPEST = 40  # brackets within brackets; a model that repeats itself writes hundreds, which take long to parse
_WORKER = Path(__file__).with_name("math_worker.py")


class MathProcess:
    """The process that compares. Threads take turns; a forked child starts its own. seconds: SECONDS, if not given."""

    def __init__(self, seconds: float | None = None, patience: float = PATIENCE) -> None:
        self.seconds = seconds
        self.patience = patience
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._read = b""

    def ask(self, *request: str) -> Any:
        """The answer to a request; None where the process gives none in time, or says that there is none."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps([*request, self.seconds or SECONDS]).encode() + b"\n")
                process.stdin.flush()
                line = self._line(process, self.patience)
            except BrokenPipeError:
                line = None
            if line is None:
                self._stop()
            return None if line is None else json.loads(line)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        if self._owner == os.getpid():
            self._stop()
        # -P: the folder of the program is not searched for modules.
        process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._process, self._owner, self._read = process, os.getpid(), b""
        if self._line(process, START) is None:
            process.kill()
            said = process.communicate()[1].decode(errors="replace").strip().splitlines()
            self._process = None
            raise UserError(
                f"math-verify cannot be started ({said[-1] if said else 'no message'}); install the pinned packages: "
                "pip install -r envs/requirements.txt"
            )
        return process

    def _line(self, process: "subprocess.Popen[bytes]", seconds: float) -> bytes | None:
        """The next line of the process's output; None at its end or after the time limit."""
        assert process.stdout is not None
        until = time.monotonic() + seconds
        while b"\n" not in self._read:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
            part = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
            if not part:
                return None
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        if self._owner != os.getpid():
            return  # the parent's
        process.kill()
        process.communicate()


_SHARED = MathProcess()
atexit.register(_SHARED.close)


def _sensible(answer: str) -> bool:
    """Whether an answer is short and flat enough to be one."""
    depth = 0
    for sign in answer:
        depth += (sign in "({[") - (sign in ")}]")
        if abs(depth) > DEEPEST:
            return False
    return len(answer) <= LONGEST


@lru_cache(maxsize=100_000)
def same_math(gold: str, found: str) -> bool:
    """Whether two answers in LaTeX are the same by math-verify; False where that is not settled in time."""
    return _sensible(gold) and _sensible(found) and _SHARED.ask("same", gold, found) is True


@lru_cache(maxsize=100_000)
def math_key(answer: str) -> str | None:
    """The text that answers of the same value share; None if the answer is not an expression or takes too long."""
    return _SHARED.ask("key", answer) if _sensible(answer) else None
