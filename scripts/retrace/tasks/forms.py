"""Text forms that systems bring: how a paper puts a task's questions, writes its solutions and reads its answers.

A form is registered by the module `form` of its system (`retrace.systems.dpo_st.form`), which is found by its name when a
form is first asked for: nothing here knows which systems there are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from retrace.discovery import import_each
from retrace.errors import UserError
from retrace.tasks.families import family_named, family_names

if TYPE_CHECKING:
    from retrace.tasks.base import Task
    from retrace.tasks.family import Family

PLAIN = "steps"  # the tasks' own form
_SYSTEMS = "retrace.systems"
_FORMS: dict[str, "Form"] = {}


@dataclass(frozen=True)
class Form:
    """A text form.

    make: a task in this form, of the plain task, the family of the model, and the file with the worked examples (None
    where none is named). fits: whether tasks of a family can be written so. shows_examples: whether it must be told a file
    with worked examples. adds_words: families of models for which its texts hold words that the task's own do not, so
    that a tokenizer made of the task's texts needs these, too.
    """

    name: str
    make: Callable[["Task", str, str | None], "Task"]
    fits: Callable[[type["Family"]], bool]
    shows_examples: bool = False
    adds_words: frozenset[str] = frozenset()

    def families(self) -> list[str]:
        """The names of the families whose tasks can be written so."""
        return [name for name in family_names() if self.fits(family_named(name))]


def register(form: Form) -> None:
    """Make a system's form known. Its module does so when it is imported."""
    _FORMS[form.name] = form


@cache
def _known() -> dict[str, Form]:
    import_each(_SYSTEMS, "form")
    return _FORMS


def form_names() -> list[str]:
    """All names of forms, the plain one first."""
    return [PLAIN, *sorted(_known())]


def form_named(name: str) -> Form:
    """A system's form. Raises UserError for an unknown one; the plain form is none of them."""
    if name not in _known():
        raise UserError(f"text form {name!r} is unknown; use {', '.join(form_names())}")
    return _known()[name]


def formed(task: "Task", form: str, family: str) -> "Task":
    """A plain task in a system's form (`NAME`, or `NAME:FILE` with the file of worked examples), for models of `family`."""
    name, _, examples = form.partition(":")
    found = form_named(name)
    if found.shows_examples and not examples:
        raise UserError(f"text form {form!r}: needs the file with the worked examples, as {form}:FILE")
    return found.make(task, family, examples or None)


def vocabulary_forms(task: "Task", family: str) -> list["Task"]:
    """The task in every form whose texts hold words of their own for a model of `family`."""
    return [
        form.make(task, family, None)
        for _, form in sorted(_known().items())
        if family in form.adds_words and form.fits(type(task.family))
    ]
