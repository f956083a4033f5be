"""Questions with a small fixed set of answers: a letter (commonsense_qa) or yes and no (strategy_qa)."""

import re

from retrace.errors import UserError
from retrace.tasks import steps

FAMILIES = ("lettered_choice", "yes_no")
LETTERS = "abcde"

_MARKED = {
    "lettered_choice": re.compile(r"\s*\(?([A-Ea-e])\)?(?![A-Za-z])"),
    "yes_no": re.compile(r"\s*(yes|no)\b", re.IGNORECASE),
}
_UNMARKED = {
    "lettered_choice": re.compile(r"\(([A-Ea-e])\)"),
    "yes_no": re.compile(r"\b(yes|no)\b", re.IGNORECASE),
}


def lettered(choices: list[str]) -> str:
    """Choices in one line: (a) bank (b) library."""
    return " ".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False))


def extract_answer(text: str, family: str) -> str | None:
    """The answer behind the first `####`, or, where there is none, the last one in the text; in lower case."""
    _, marker, tail = text.partition(steps.MARKER)
    if marker:
        match = _MARKED[family].match(tail)
        return match.group(1).lower() if match else None
    found = _UNMARKED[family].findall(text)
    return found[-1].lower() if found else None


def _reference(gold: str, family: str) -> str:
    answer = extract_answer(gold, family) if steps.MARKER in gold else None
    if answer is None:
        kind = "letter" if family == "lettered_choice" else "yes or no"
        raise UserError(f"the reference solution has no '#### {kind}': {gold[-80:]!r}; mend the data")
    return answer


def grade(text: str, gold: str, family: str) -> bool:
    """Whether both texts have the same answer. Raises UserError where `gold` has none."""
    return extract_answer(text, family) == _reference(gold, family)


def grade_strict(text: str, gold: str, family: str) -> bool:
    """Right only where the text ends in `#### answer`, once, with nothing behind it."""
    reference = _reference(gold, family)
    _, _, tail = text.partition(steps.MARKER)
    return text.count(steps.MARKER) == 1 and tail.strip().lower() in (reference, f"({reference})")


def step_correct(step: str, reference_step: str) -> bool:
    """Whether two steps of prose say the same: word by word, since these tasks have no rule for the worth of a step."""
    return " ".join(step.casefold().split()) == " ".join(reference_step.casefold().split())
