"""How far a job is: lines in its log, and how one who follows the job reads them.

A line names what is counted and, where it can be told, the seconds left: `step 120/400  loss 0.5321  95 s left`,
`40/250 questions  130 s left`. They come often at first and then ever more rarely, so that a job of a day fills no log.
"""

import re
import time
from typing import TextIO

LONGEST = 60.0  # seconds between two lines
SHARE = 0.05  # of the time so far that passes until the next line
AT_LEAST = 1.0

_LINE = re.compile(r"(?:step \d+/\d+|pass \d+: .|[\d,]+(?:/| of )[\d,]+ [a-z]).*")
_LEFT = re.compile(r"  (\d+) s left$")


class Pace:
    """Says when a line of progress is due, and estimates the time that is left."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.said = float("-inf")
        self.first = 0  # what was done when the clock started

    def start(self, done: int) -> None:
        """Begin to count, with so much done already."""
        self.started, self.first = time.monotonic(), done

    def due(self) -> bool:
        """Whether a line should be printed now; one that is printed makes the next one wait."""
        now = time.monotonic()
        if now - self.said < min(LONGEST, max(AT_LEAST, SHARE * (now - self.started))):
            return False
        self.said = now
        return True

    def left(self, done: int, total: int) -> str:
        """The seconds left as the end of a line; nothing where they cannot be told yet."""
        if done <= self.first:
            return ""
        return f"  {(total - done) * (time.monotonic() - self.started) / (done - self.first):.0f} s left"


_paces: dict[str, Pace] = {}


def say(done: int, total: int, what: str, stream: TextIO) -> None:
    """A line where one is due: so many of all questions (or what else is counted) are done."""
    pace = _paces.get(what)
    if pace is None or done <= pace.first:
        pace = _paces[what] = Pace()
        pace.start(done)
    if pace.due() or done == total:
        print(f"{done}/{total} {what}{pace.left(done, total)}", file=stream, flush=True)


def last_progress(text: str, age: float = 0.0) -> str | None:
    """The last line of progress in the text of a log; None where there is none.

    age: seconds since the line was written, which are taken off the seconds left.
    """
    found = None
    for line in text.splitlines():
        if _LINE.fullmatch(line.strip()):
            found = line.strip()
    if found is None:
        return None
    return _LEFT.sub(lambda left: f"  {max(0, int(left[1]) - round(age))} s left", found)
