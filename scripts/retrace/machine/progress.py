"""Progress of a job: lines in its log, and their parser.

A line states what is counted and, if known, the remaining seconds: `step 120/400  loss 0.5321  95 s left`,
`40/250 questions  130 s left`. They become less frequent over time, so that a long job does not flood its log.
"""

import re
import time
from typing import TextIO

LONGEST = 60.0  # seconds between two lines
SHARE = 0.05  # share of the elapsed time until the next line
AT_LEAST = 1.0

_LINE = re.compile(r"(?:step \d+/\d+|pass \d+: .|[\d,]+(?:/| of )[\d,]+ [a-z]).*")
_LEFT = re.compile(r"  (\d+) s left$")


class Pace:
    """Decides when a progress line is due, and estimates the remaining time."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.said = float("-inf")
        self.first = 0  # amount done when the clock started

    def start(self, done: int) -> None:
        """Start the clock, with this much already done."""
        self.started, self.first = time.monotonic(), done

    def due(self) -> bool:
        """Whether to print a line now; if so, the next one is delayed."""
        now = time.monotonic()
        if now - self.said < min(LONGEST, max(AT_LEAST, SHARE * (now - self.started))):
            return False
        self.said = now
        return True

    def left(self, done: int, total: int) -> str:
        """The remaining seconds as the end of a line; empty if not known yet."""
        if done <= self.first:
            return ""
        return f"  {(total - done) * (time.monotonic() - self.started) / (done - self.first):.0f} s left"


_paces: dict[str, Pace] = {}


def say(done: int, total: int, what: str, stream: TextIO) -> None:
    """Print a line if one is due: how many of all questions (or other units) are done."""
    pace = _paces.get(what)
    if pace is None or done <= pace.first:
        pace = _paces[what] = Pace()
        pace.start(done)
    if pace.due() or done == total:
        print(f"{done}/{total} {what}{pace.left(done, total)}", file=stream, flush=True)


def last_progress(text: str, age: float = 0.0) -> str | None:
    """The last progress line in a log; None if there is none.

    age: seconds since the line was written, subtracted from the remaining seconds.
    """
    found = None
    for line in text.splitlines():
        if _LINE.fullmatch(line.strip()):
            found = line.strip()
    if found is None:
        return None
    return _LEFT.sub(lambda left: f"  {max(0, int(left[1]) - round(age))} s left", found)
