"""Word problems (gsm8k, svamp, multiarith, arithmetic): answers are numbers, a step's worth is its last value."""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import golds, question_files
from retrace.tasks.answer_kinds import NUMBER
from retrace.tasks.family import Family, Generator, Wanted
from retrace.tasks.row_formats import worked
from retrace.text.numbers import decimal_text, exact, number_at_start, plain_signs, same_value, whole_number

_FIRST_ANSWER = re.compile(r"#### (-?[0-9.,]+)")

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_EQUALS = re.compile(r"=\s*")
# A minus sign belongs to a bare number unless something to subtract from comes before it (600-407).
_NUMBER = re.compile(rf"(?<![\w)\]])(-?)\$?(-?)({_DIGITS})|({_DIGITS})")


def extract_answer(text: str) -> str | None:
    """The number after the first `#### `, commas removed; None where there is none.

    As GRACE reads it, but for a number that goes on behind the digits: `1/2` is 0.5 and not 1, `1e3` 1000, `−5` -5.
    """
    text = plain_signs(text)
    match = _FIRST_ANSWER.search(text)
    if match is None:
        return None
    value = whole_number(text[match.start(1) :].partition("\n")[0], len(match.group(1)))
    if value is not None:
        return decimal_text(value) or str(value)
    answer = match.group(1).replace(",", "")
    return answer if any(character.isdigit() for character in answer) else None


def differ(found: str | None, right: str | None, least: float) -> bool:
    """Whether two answers are no numbers, or differ by this much. Floats decide, as in the papers' graders; numbers so large
    that floats cannot tell them apart are compared exactly."""
    found, right = (found or "").rstrip("."), (right or "").rstrip(".")
    try:
        one, other = float(found), float(right)
        if max(abs(one), abs(other)) < 2**53:
            return abs(one - other) >= least
    except ValueError:
        pass
    try:
        return abs(Fraction(found) - Fraction(right)) >= least
    except ValueError:
        return True


def grade(text: str, gold: str) -> bool:
    """GRACE's grader: the first answers of both texts differ by less than 1e-4. UserError where gold has no answer."""
    if (digits := golds.one_by_one(gold)) is not None:
        return golds.one_by_one(text) == digits
    if _FIRST_ANSWER.search(plain_signs(gold)) is None:
        raise UserError(f"the reference solution has no '#### number': {gold[-80:]!r}; mend the data")
    return not differ(extract_answer(text), extract_answer(gold), 1e-4)


def _signed(*parts: str | None) -> float:
    first, second, digits = (part or "" for part in parts)
    value = float(digits.replace(",", ""))
    return -value if "-" in (first, second) else value


def strict_value(text: str) -> Fraction | None:
    """The number after `####` at the very end of a text, read whole (1,200 is 1200, 1/2 a half; $ and % allowed)."""
    _, marker, tail = text.rpartition("####")
    return exact(tail) if marker else None


def grade_strict(text: str, gold: str) -> bool:
    """Right only where the text ends in `#### value` and the whole value equals the reference's."""
    if text.count("####") != 1:
        return False
    if (digits := golds.one_by_one(gold)) is not None:
        return golds.one_by_one(text) == digits
    reference, found = strict_value(gold), strict_value(text)
    if reference is None:
        raise UserError(f"the reference solution does not end in '#### number': {gold[-80:]!r}; mend the data")
    return found is not None and same_value(found, reference)


def step_value(step: str) -> float | None:
    """The result of a step: the number after its last `=`, or its last number; None if it has none.

    Numbers are read whole: `=1,200` is 1200, `= 5` and `=$5` are 5, `= 1/2` is a half.
    """
    step = plain_signs(step)
    for equals in reversed(list(_EQUALS.finditer(step))):
        if (found := number_at_start(step[equals.end() :])) is not None and abs(found.value) < golds.LARGEST:
            return float(found.value)
    numbers = _NUMBER.findall(step)
    if not numbers:
        return None
    first, second, digits, bare = numbers[-1]
    return _signed(first, second, digits or bare)


def step_correct(step: str, reference_step: str) -> bool:
    """Whether a sampled step comes to the reference step's value, within 1e-3; False where either has no value."""
    found, right = step_value(step), step_value(reference_step)
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
