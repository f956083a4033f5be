"""Live progress of a run: one line per running job, and the error of each failed job.

Jobs write progress to their logs (`retrace.machine.progress`), which are polled here. On a terminal, the lines are redrawn
below everything else; in a file or pipe, each job's line is printed at intervals.
"""

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from retrace.machine.progress import last_progress

REFERS_TO_OUTPUT = "its last output is above"  # end of the launcher's line on a failed process
TAIL = 16_384  # bytes read from the end of a log
MOST_LINES = 4  # on a terminal
REDRAWN = 1.0  # seconds
PRINTED = 60.0  # seconds between two lines of a job without a terminal
AFTER_TEXT = 0.2  # seconds without drawing after other output

Mark = tuple[int, int] | None


def mark_of(path: Path) -> Mark:
    """A value that changes when a file is written; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def tail_of(path: Path) -> str:
    """The end of a file; empty if it cannot be read."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - TAIL))
            return handle.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def name_of(log: Path) -> str:
    """Display name of a job: its log's path without logs/ and .log."""
    parts = log.with_suffix("").parts
    return "/".join(parts[1:] if parts[:1] == ("logs",) else parts)


def last_words(text: str) -> str:
    """The line of a log that explains a failure: the last error, otherwise the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    # The launcher's own line only refers to a process's error.
    own = [line for line in errors if not line.endswith(REFERS_TO_OUTPUT)]
    return (own or errors or lines or ["nothing was said"])[-1][:600]


class RunningJob:
    """A started job, with its log's state at that time, so that the log of an earlier attempt is ignored."""

    def __init__(self, log: str) -> None:
        self.log = Path(log)
        self.name = name_of(self.log)
        self.before = mark_of(self.log)
        self.printed = time.monotonic()
        self.said: str | None = None

    def is_written(self) -> bool:
        return mark_of(self.log) not in (None, self.before)

    def line(self) -> str | None:
        """Progress of the job; None if it has not reported any."""
        mark = mark_of(self.log)
        if mark is None or mark == self.before:
            return None
        said = last_progress(tail_of(self.log), max(0.0, time.time() - mark[0] / 1e9))
        return said and f"{self.name}  {said}"


class LiveLines:
    """Progress lines of running jobs, at the end of a stream."""

    def __init__(self, stream: TextIO, redrawn: float = REDRAWN, printed: float = PRINTED) -> None:
        self.stream, self.redrawn, self.printed = stream, redrawn, printed
        self.is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.jobs: dict[int, RunningJob] = {}
        self.drawn = 0  # number of lines drawn on the terminal
        self.quiet_until = 0.0
        self.lock = threading.RLock()
        self.over = threading.Event()

    def run(self) -> None:
        """Draw until `close`; runs in a thread."""
        while not self.over.wait(self.redrawn):
            try:
                self.turn()
            except (OSError, ValueError):  # the terminal is closed
                return

    def turn(self) -> None:
        """Draw, or print what is due."""
        with self.lock:
            jobs = list(self.jobs.values())
        lines = [(job, line) for job in jobs if (line := job.line())]  # logs may lie on a slow disk
        with self.lock:
            lines = [(job, line) for job, line in lines if job in self.jobs.values()]
            if self.is_terminal:
                self._draw([line for _, line in lines])
            else:
                self._print(lines)

    def clear(self) -> None:
        """Erase the lines from the terminal before other output."""
        with self.lock:
            self.quiet_until = time.monotonic() + AFTER_TEXT
            if self.drawn:
                self.stream.write(f"\r\x1b[{self.drawn - 1}A\x1b[J" if self.drawn > 1 else "\r\x1b[J")
                self.stream.flush()
                self.drawn = 0

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError, ValueError):
            self.clear()

    def _draw(self, lines: list[str]) -> None:
        if self.over.is_set() or time.monotonic() < self.quiet_until:
            return
        if len(lines) > MOST_LINES:
            lines = [*lines[: MOST_LINES - 1], f"... and {len(lines) - MOST_LINES + 1} more jobs"]
        width = shutil.get_terminal_size().columns - 1
        self.clear()
        self.quiet_until = 0.0
        if lines:
            self.stream.write("\n".join(_cut(line, width) for line in lines))
            self.stream.flush()
        self.drawn = len(lines)

    def _print(self, lines: Iterable[tuple[RunningJob, str]]) -> None:
        now = time.monotonic()
        for job, line in lines:
            if now - job.printed >= self.printed and line != job.said:
                job.printed, job.said = now, line
                self.stream.write(line + "\n")
                self.stream.flush()


def _cut(line: str, width: int) -> str:
    """Shorten a line to fit, keeping its end; the start is the name, which tolerates it better."""
    return line if len(line) <= width else "..." + line[len(line) - max(0, width - 3) :]


class JobEvents(logging.Handler):
    """Tracks running jobs through Snakemake's log records, and prints the error of each failed job.

    shows: whether running jobs have their lines; errors are printed in any case, also where Snakemake itself is told to
    be quiet about them.
    """

    def __init__(self, stream: TextIO, shows: bool = True, **times: float) -> None:
        super().__init__()
        self.name = "RetraceJobEvents"
        self.stream = stream
        self.lines = LiveLines(stream, **times)
        self.logs: dict[int, RunningJob] = {}  # of all started jobs
        if shows:
            threading.Thread(target=self.lines.run, daemon=True).start()

    def attach(self, logger: logging.Logger) -> None:
        """Hear of each record before the other handlers (to clear the terminal) and behind them (to print an error)."""
        logger.handlers.insert(0, _Before(self.lines))
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = getattr(record, "event", None)
            self._learn(str(getattr(event, "value", event)), record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self.lines.close()
        super().close()

    def _learn(self, event: str, record: Any) -> None:
        if event == "job_info" and record.log:
            job = self.logs[record.jobid] = RunningJob(record.log[0])
            with self.lines.lock:
                self.lines.jobs[record.jobid] = job
        elif event == "job_finished":
            self._ended(record.job_id)
        elif event == "job_error":
            self._ended(record.jobid)
            self._say_why(record)

    def _ended(self, number: int) -> None:
        with self.lines.lock:
            self.lines.jobs.pop(number, None)

    def _say_why(self, record: Any) -> None:
        job = self.logs.get(record.jobid)
        name = job.name if job else record.rule_name
        # The job's own log comes first, then the cluster's.
        own = [Path(log) for log in record.log[:1] if job and job.is_written()]
        logs = [*own, *(Path(log) for log in record.log[1:])]
        found = [(log, words) for log in logs if (words := tail_of(log)).strip()]
        log, words = found[0] if found else (None, "")
        where = f" (its log: {log})" if log else ""
        with self.lines.lock:
            self.lines.clear()
            self.stream.write(f"{name} failed: {last_words(words)}{where}\n")
            self.stream.flush()


class _Before(logging.Handler):
    """Clears the terminal before the next handlers print."""

    def __init__(self, lines: LiveLines) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.lines.clear()
