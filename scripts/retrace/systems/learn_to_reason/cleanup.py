"""Reading the answer of a rationale: students' samples in the exam and teachers' rationales (arXiv 2310.13332).

`cleanup` is the authors' rule, which reads up to the first blank line. It is used for students' samples in the authors'
own form. All other texts are read as a whole by `stated_answer`.
"""

import re
from typing import NamedTuple

from retrace.schemas import Example
from retrace.tasks import steps
from retrace.tasks.answers import shown, stated_words
from retrace.tasks.base import Task
from retrace.tasks.question_files import LETTERS, with_choices
from retrace.tasks.statements import statements_in
from retrace.text.numbers import exact
from retrace.text.thoughts import without_thoughts

ANSWER_LINE = "\nAnswer"
MARKERS = (ANSWER_LINE, "Therefore, the answer is")
_NUMBER = re.compile(r"-?\d+\.?\d*")
_RAW_NUMBER = re.compile(r"-?\d+\.?\$?,?\d*")
_CHOICE = re.compile(r"\([a-e]\)")


class Cleaned(NamedTuple):
    """A rationale that is cut after its answer, and that answer in lower case; None if there is none."""

    text: str
    prediction: str | None


def cleanup(text: str, kind: str) -> Cleaned:
    """Read a rationale by the authors' rule. kind: `number`, `yes_no` or `choice` (of (a) to (e))."""
    readers = {"number": _number, "yes_no": _yes_no, "choice": _choice}
    return readers[kind](text)


def _number(text: str) -> Cleaned:
    text = text.strip().split("\n\n")[0]
    marker = next((marker for marker in MARKERS if marker in text), None)
    piece = text if marker is None else text.split(marker)[1].strip()
    numbers = [number.strip(".") for number in _NUMBER.findall(piece.replace(",", ""))]
    if marker is None:
        if not numbers:
            return Cleaned(text, None)
        return Cleaned(_cut_after(text, numbers[-1]), numbers[-1])
    prediction = numbers[0] if numbers else None
    start = text.index(marker)
    place = text.find(prediction, start) if prediction else -1
    if prediction and place >= 0:
        return Cleaned(text[: place + len(prediction)], prediction)
    return Cleaned(text[:start] + marker + _first_word(piece), prediction)


def _cut_after(text: str, number: str) -> str:
    """The text up to and including the first occurrence of the number; numbers with commas are found as written."""
    if number not in text:
        number = _RAW_NUMBER.findall(text)[-1]
    place = text.find(number)
    return text[: place + len(number)] if place >= 0 else text


def _first_word(piece: str) -> str:
    """The text to keep after a marker if the number that was read does not occur there literally."""
    words = piece.split()
    if not words:
        return ""
    if words[0] == ":":
        return f": {words[1]}" if len(words) > 1 else " "
    return f" {words[0]}"


def _yes_no(text: str) -> Cleaned:
    text = text.strip().split("\n\n")[0]
    marked = ANSWER_LINE in text
    piece = text.split(ANSWER_LINE)[1] if marked else text
    words = [word.lower().strip(".") for word in piece.split()]
    answers = [word for word in words if word in ("yes", "no")]
    return Cleaned(text, (answers[0] if marked else answers[-1]) if answers else None)


def _choice(text: str) -> Cleaned:
    text = text.strip().split("\n\n")[0].split("\n")[0]
    first = _CHOICE.search(text)
    text = (text[: first.end() + 1] if first else text).strip()
    found = _CHOICE.findall(text)
    if found:
        return Cleaned(text, found[-1][1])
    return Cleaned(text, text if text in ("a", "b", "c", "d", "e") else None)


def answer_in(task: Task, text: str, example: Example | None = None) -> str | None:
    """The answer of a student's solution: by the authors' rule in the authors' form, otherwise by `stated_answer`."""
    return task.extract(text) if task.form.startswith("learn_to_reason") else stated_answer(task, text, example)


def stated_answer(task: Task, text: str, example: Example | None = None) -> str | None:
    """The answer that a text states, anywhere in it: after `####`, in an answer line, in a box, in a sentence.

    In the project's own form, `step | step | #### answer`, it is the text after the first marker. Programs are read by
    their own extractor. example: the question, so that an answer may name a choice by its text.
    """
    family, said = task.family, without_thoughts(text).strip()
    if not family.prose:
        return family.extract(said)
    if family.free_text is None:
        found = task.answer_of(said, example) if example else task.extract(said)
        if found is None and steps.MARKER not in said and (words := stated_words(said, [])):
            return task.extract(f"{steps.MARKER} {words}")
        return found
    if _in_own_form(task, said):
        return _behind_marker(task, family.free_text, said)
    choices = with_choices(example.question)[1] if example and family.free_text == "choice" else []
    return family.answers.read(said, [steps.MARKER], dict(zip(LETTERS, choices, strict=False)))


def _in_own_form(task: Task, text: str) -> bool:
    """Whether a text is one line in the form `step | step | #### answer`, or the beginning of such a line."""
    if "\n" in text:
        return False
    if text.startswith(steps.MARKER):
        return True
    return ("<<" in text or f" {task.delimiter}" in text) and (steps.MARKER in text or not statements_in(text).found)


def _behind_marker(task: Task, kind: str, text: str) -> str | None:
    """The answer after the first marker of a text in the project's own form; by the authors' rule if it was cut off."""
    body, marker, tail = text.partition(steps.MARKER)
    if kind != "number":
        return task.family.extract(f"{steps.MARKER} {tail}") if marker else cleanup(text, kind).prediction
    if (value := exact(tail)) is not None:
        return shown(value)
    return cleanup(f"{body.strip()}{ANSWER_LINE}: {tail.strip()}" if marker else text, kind).prediction
