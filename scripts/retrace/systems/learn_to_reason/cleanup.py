"""The answer in free text: Learn-to-Reason's rule, for rationales that end in no agreed form (arXiv 2310.13332).

A rationale may end in `#### 5`, in a line `Answer: 5`, in `Therefore, the answer is 5`, or in no such words at all; then
its last number counts. Students' samples in the exam and teachers' rationales are read this way.
"""

import re
from typing import NamedTuple

from retrace.tasks import steps
from retrace.tasks.base import Task

ANSWER_LINE = "\nAnswer"
_MARKERS = (ANSWER_LINE, "Therefore, the answer is")
_NUMBER = re.compile(r"-?\d+\.?\d*")
_RAW_NUMBER = re.compile(r"-?\d+\.?\$?,?\d*")
_CHOICE = re.compile(r"\([a-e]\)")
_NEVER_RIGHT = "will_never_be_the_right_answer"  # what the authors' code answers where it finds nothing


class Cleaned(NamedTuple):
    """A rationale cut off behind its answer, and that answer in lower case; None where there is none."""

    text: str
    prediction: str | None


def cleanup(text: str, kind: str, official: bool = False) -> Cleaned:
    """Read a rationale of a kind of task: `number`, `yes_no` or `choice` (of (a) to (e)).

    official: as the authors' code: a rationale that ends right behind the word Answer raises IndexError, and a missing
    answer is the text `will_never_be_the_right_answer`.
    """
    readers = {"number": _number, "yes_no": _yes_no, "choice": _choice}
    found = readers[kind](text, official)
    if official and found.prediction is None:
        return Cleaned(found.text, _NEVER_RIGHT)
    return found


def _number(text: str, official: bool) -> Cleaned:
    text = text.strip().split("\n\n")[0]
    marker = next((marker for marker in _MARKERS if marker in text), None)
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
    return Cleaned(text[:start] + marker + _first_word(piece, official), prediction)


def _cut_after(text: str, number: str) -> str:
    """The text up to the first place where the number stands; numbers with commas are looked for as they are written."""
    if number not in text:
        number = _RAW_NUMBER.findall(text)[-1]
    place = text.find(number)
    return text[: place + len(number)] if place >= 0 else text


def _first_word(piece: str, official: bool) -> str:
    """What is kept behind a marker where the number as read does not stand there."""
    words = piece.split()
    if not words:
        if official:
            raise IndexError("nothing behind the word Answer")
        return ""
    if words[0] == ":":
        return f": {words[1]}" if len(words) > 1 else " "
    return f" {words[0]}"


def _yes_no(text: str, official: bool) -> Cleaned:
    text = text.strip().split("\n\n")[0]
    marked = ANSWER_LINE in text
    piece = text.split(ANSWER_LINE)[1] if marked else text
    words = [word.lower().strip(".") for word in piece.split()]
    answers = [word for word in words if word in ("yes", "no")]
    return Cleaned(text, (answers[0] if marked else answers[-1]) if answers else None)


def _choice(text: str, official: bool) -> Cleaned:
    text = text.strip().split("\n\n")[0].split("\n")[0]
    first = _CHOICE.search(text)
    text = (text[: first.end() + 1] if first else text).strip()
    found = _CHOICE.findall(text)
    if found:
        return Cleaned(text, found[-1][1])
    return Cleaned(text, text if text in ("a", "b", "c", "d", "e") else None)


def answer_in(task: Task, text: str) -> str | None:
    """The answer of a rationale of this task, whether or not it ends in the project's own form `#### answer`.

    Programs and symbolic tasks have no free form: their own extractor reads them, as the authors' form does.
    """
    kind = task.family.free_text
    if kind is None or task.form.startswith("learn_to_reason"):
        return task.extract(text)
    body, marker, tail = text.partition(steps.MARKER)
    if kind == "number":
        return cleanup(f"{body.strip()}{ANSWER_LINE}: {tail.strip()}" if marker else text, kind).prediction
    if not marker and ANSWER_LINE in text:
        # The authors' rule reads one line of a choice only; ours were asked for an answer on a line of its own.
        marker, tail = steps.MARKER, text.split(ANSWER_LINE)[1].lstrip(" :")
    if marker:
        return task.family.extract(f"{steps.MARKER} {tail}")
    return cleanup(text, kind).prediction
