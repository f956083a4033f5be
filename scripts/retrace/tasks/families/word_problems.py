"""Word problems (gsm8k, svamp, multiarith, arithmetic): answers are numbers, a step's worth is its last value."""

import re
from collections.abc import Iterator, Sequence

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import question_files
from retrace.tasks.answer_kinds import NUMBER
from retrace.tasks.family import Family, Generator, Wanted
from retrace.tasks.row_formats import worked

_OFFICIAL_ANSWER = re.compile(r"#### (-?[0-9.,]+)")
_OFFICIAL_EQUATION = re.compile(r"=(-?[0-9.]+)")
_OFFICIAL_NUMBER = re.compile(r"\d+[.,]?\d*")

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_EQUATION = re.compile(rf"=\s*(-?)\s?\$?\s?(-?)({_DIGITS})")
# A minus sign belongs to a bare number unless something to subtract from stands before it (600-407).
_NUMBER = re.compile(rf"(?<![\w)\]])(-?)\$?(-?)({_DIGITS})|({_DIGITS})")
_STRICT_ANSWER = re.compile(rf"####\s*(-?)\s?\$?\s?(-?)({_DIGITS})\s?%?\.?\s*\Z")


def extract_answer(text: str, official: bool = False) -> str | None:
    """The number after the first `#### `, commas removed; None where there is none.

    official: as GRACE: whatever digits, points and commas follow counts, even none but a point.
    """
    match = _OFFICIAL_ANSWER.search(text)
    if match is None:
        return None
    answer = match.group(1).strip().replace(",", "")
    return answer if official or any(character.isdigit() for character in answer) else None


def _float(text: str | None) -> float | None:
    try:
        return float(text.rstrip(".")) if text is not None else None
    except ValueError:
        return None


def grade(text: str, gold: str) -> bool:
    """GRACE's grader: the first answers of both texts differ by less than 1e-4. UserError where gold has no answer."""
    reference = extract_answer(gold, official=True)
    if reference is None:
        raise UserError(f"the reference solution has no '#### number': {gold[-80:]!r}; mend the data")
    right, found = _float(reference), _float(extract_answer(text, official=True))
    return right is not None and found is not None and abs(found - right) < 1e-4


def _signed(*parts: str | None) -> float:
    first, second, digits = (part or "" for part in parts)
    value = float(digits.replace(",", ""))
    return -value if "-" in (first, second) else value


def strict_value(text: str) -> float | None:
    """The number after `####` at the very end of a text, read whole (1,200 is 1200; $ and % allowed)."""
    match = _STRICT_ANSWER.search(text)
    return _signed(*match.groups()) if match else None


def grade_strict(text: str, gold: str) -> bool:
    """Right only where the text ends in `#### value` and the whole value equals the reference's."""
    if text.count("####") != 1:
        return False
    reference, found = strict_value(gold), strict_value(text)
    if reference is None:
        raise UserError(f"the reference solution does not end in '#### number': {gold[-80:]!r}; mend the data")
    return found is not None and abs(found - reference) <= 1e-6 * max(1.0, abs(reference))


def step_value(step: str) -> float | None:
    """What a step comes to: the number after its last `=`, else its last number; None where it has none.

    Numbers are read whole: `=1,200` is 1200, `= 5` and `=$5` are 5.
    """
    equations = _EQUATION.findall(step)
    if equations:
        return _signed(*equations[-1])
    numbers = _NUMBER.findall(step)
    if not numbers:
        return None
    first, second, digits, bare = numbers[-1]
    return _signed(first, second, digits or bare)


def _official_step_value(step: str) -> float | None:
    values = _OFFICIAL_EQUATION.findall(step) or _OFFICIAL_NUMBER.findall(step)
    try:
        return float(values[-1]) if values else None
    except ValueError:
        return None


def step_correct(step: str, reference_step: str, official: bool = False) -> bool:
    """Whether a sampled step comes to the reference step's value, within 1e-3; False where either has no value.

    official: numbers as GRACE reads them (`=1,200` is 1; `= 5` is no equation; a bare `1,000` is no number).
    """
    value = _official_step_value if official else step_value
    found, right = value(step), value(reference_step)
    return found is not None and right is not None and abs(found - right) < 1e-3


def _arithmetic(wanted: Wanted) -> Iterator[Example]:
    from retrace.tasks import arithmetic  # the grammar of a whole language; not needed to judge answers

    return arithmetic.generate(wanted.split, wanted.count, wanted.seed, **wanted.settings)


class WordProblems(Family):
    """Solutions in prose with their calculations, which end in a number."""

    name = "word_problems"
    answers = NUMBER
    free_text = "number"
    cuts_references = True
    formats = (
        worked("multiarith", question_files.multiarith, layout="document"),
        worked("svamp", question_files.svamp, layout="document"),
        worked("one_unknown", question_files.one_unknown, layout="document"),
    )
    generators = (Generator("arithmetic", _arithmetic),)

    def extract(self, text: str) -> str | None:
        """The number after the first `#### `."""
        return extract_answer(text)

    def grade(self, text: str, gold: str) -> bool:
        """GRACE's grader."""
        return grade(text, gold)

    def grade_strict(self, text: str, gold: str) -> bool:
        """Whether the text ends in `#### value` with the right value."""
        return grade_strict(text, gold)

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str]) -> bool:
        """Whether both steps come to the same value."""
        return step_correct(step, reference_step)
