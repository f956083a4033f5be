"""The graders: what decides whether a text's answer is right. All have one interface, and are found here by their names.

`paper` is a task's own, `strict` wants the answer at the end of the text, `phrase` reads it behind the task's phrase,
`math_verify` compares mathematics (retrace.tasks.math_answers). Systems bring theirs in a module `graders`
(retrace.systems.latro.graders): nothing here knows which systems there are.

A task's YAML says which one a paper used (`chat.grader`), and a method's which one a result's `accuracy` is by
(`accuracy`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from retrace.discovery import import_each
from retrace.errors import UserError
from retrace.tasks.answers import Kind

if TYPE_CHECKING:
    from retrace.tasks.base import Task
    from retrace.tasks.family import Family

PAPER = "paper"
STRICT = "strict"
PHRASE = "phrase"
_MATH = "retrace.tasks.math_answers"
_SYSTEMS = "retrace.systems"
_GRADERS: dict[str, "Grader"] = {}

Judgment = Callable[["Task", str, str], bool]
Reading = Callable[["Task", str], str | None]
Key = Callable[["Task", str], str]


def extracted(task: "Task", text: str) -> str | None:
    """The answer as the task reads it."""
    return task.extract(text)


def phrase_answer(task: "Task", text: str) -> str | None:
    """The answer behind the task's phrase, read whole."""
    return task.family.answers.read(text, task.phrases, {})


def paper_key(task: "Task", answer: str) -> str:
    """The text that equal answers share, by the task itself."""
    return task.canonical(answer)


@dataclass(frozen=True)
class Grader:
    """A grader. right: whether a text gives the right answer, of the task, the text and the reference, which ends in
    `#### answer`. extract: the answer that it reads in a text. kinds: of the answers that it can judge; None: of any.
    of_papers: whether a task's YAML may name it as the one behind a paper's accuracy (`chat.grader`). key: the text that
    equal answers share in a vote. libraries: those whose versions matter to it."""

    name: str
    right: Judgment
    extract: Reading = phrase_answer
    kinds: frozenset[Kind] | None = None
    of_papers: bool = False
    key: Key = paper_key
    libraries: tuple[str, ...] = ()

    def fits(self, family: type["Family"]) -> bool:
        """Whether it can judge the answers of a family's tasks."""
        return self.kinds is None or family.answers.name in self.kinds


def register(grader: Grader) -> None:
    """Make a grader known. Its module does so when it is imported."""
    _GRADERS[grader.name] = grader


def final_answer(task: "Task", gold: str) -> str:
    """The correct answer in a reference. Raises UserError if none of the family's kind follows `####`."""
    _, marker, tail = gold.rpartition("####")
    right, kind = tail.strip() if marker else "", task.family.answers
    if not kind.stated(right):
        raise UserError(f"the reference has no '#### {kind.wanted}': {gold[-80:]!r}; mend the data")
    return right


def _right_behind_phrase(task: "Task", text: str, gold: str) -> bool:
    kind, options = task.family.answers, task.family.answers.options(gold)
    return kind.same(kind.read(text, task.phrases, options), final_answer(task, gold), options)


register(Grader(PAPER, lambda task, text, gold: task.grade(text, gold), extracted))
register(Grader(STRICT, lambda task, text, gold: task.grade_strict(text, gold), extracted))
register(Grader(PHRASE, _right_behind_phrase, of_papers=True))


@cache
def _known() -> dict[str, Grader]:
    import_module(_MATH)
    import_each(_SYSTEMS, "graders")
    return _GRADERS


def grader_names() -> list[str]:
    """The names of all graders."""
    return sorted(_known())


def paper_grader_names() -> list[str]:
    """All values of `chat.grader`."""
    return [PHRASE, *(name for name in grader_names() if _known()[name].of_papers and name != PHRASE)]


def grader_named(name: str) -> Grader:
    """A grader by its name, which the types of a YAML or the program's arguments have checked."""
    return _known()[name]


def grader_fault(name: str, family: type["Family"]) -> str | None:
    """Why a grader cannot judge the answers of a family; None where it can."""
    grader = grader_named(name)
    if grader.fits(family):
        return None
    return (
        f"{name} reads {' and '.join(sorted(grader.kinds or ()))} answers, and those of family {family.name} are "
        + (f"{family.answers.name}")
    )
