"""Graders that systems bring: what decides a paper's accuracy where it is not the answer behind the phrase, read whole.

A grader is registered by the module `graders` of its system (`retrace.systems.latro.graders`), which is found by its name
when a grader is first asked for: nothing here knows which systems there are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from retrace.discovery import import_each
from retrace.tasks.answers import Kind

PHRASE = "phrase"  # no system's: the answer behind the phrase
_SYSTEMS = "retrace.systems"
_GRADERS: dict[str, "Grader"] = {}


@dataclass(frozen=True)
class Grader:
    """A paper's grader. kind: of the answers that it reads. right: whether a text gives the right answer (text, right
    answer). extract: the answer that it reads in a text; None: it reads none, and says right or wrong only."""

    name: str
    kind: Kind
    right: Callable[[str, str], bool]
    extract: Callable[[str], str | None] | None = None


def register(grader: Grader) -> None:
    """Make a system's grader known. Its module does so when it is imported."""
    _GRADERS[grader.name] = grader


@cache
def _known() -> dict[str, Grader]:
    import_each(_SYSTEMS, "graders")
    return _GRADERS


def grader_names() -> list[str]:
    """All values of `chat.grader`."""
    return [PHRASE, *sorted(_known())]


def grader_named(name: str) -> Grader | None:
    """A system's grader; None for the phrase."""
    return _known().get(name)
