"""Programs as worked solutions (mathqa): a step is an assignment, the answer is what `answer` holds after the run."""

import math
import re
from collections.abc import Sequence
from fractions import Fraction

from retrace.errors import UserError
from retrace.tasks.answer_kinds import NUMBER
from retrace.tasks.families.word_problems import extract_answer as stated_answer
from retrace.tasks.families.word_problems import strict_value
from retrace.tasks.family import Family
from retrace.tasks.interpreter import Interpreter, ProgramError
from retrace.tasks.steps import body_of

_COMMENT = re.compile(r"\s*#[^#\n]*$", re.MULTILINE)


def program_value(text: str) -> float | None:
    """Run the program in a solution's text and give what `answer` (or else `ans`) holds; None where that fails."""
    interpreter = Interpreter()
    try:
        interpreter.run(body_of(text).strip().removeprefix("A:").strip())
        for name in ("answer", "ans"):
            if name in interpreter.variables:
                return float(interpreter.variables[name])  # type: ignore[arg-type]
    except (ProgramError, TypeError, ValueError, OverflowError):
        pass
    return None


def extract_answer(text: str) -> str | None:
    """The program's value as text, or None."""
    value = program_value(text)
    return None if value is None else repr(value)


def _close(found: float, right: float) -> bool:
    """Equal as numpy.isclose with its defaults has it: |difference| <= 1e-8 + 1e-5 * |right|."""
    if math.isinf(found) or math.isinf(right):
        return found == right
    return abs(found - right) <= 1e-8 + 1e-5 * abs(right)


def grade(text: str, gold: str) -> bool:
    """GRACE's grader: the program's value is close to the reference's number. UserError where the reference has none."""
    try:
        right = float(Fraction(stated_answer(gold) or ""))
    except (ValueError, OverflowError):
        raise UserError(f"the reference program has no '#### number': {gold[-80:]!r}; mend the data") from None
    found = program_value(text)
    return found is not None and _close(found, right)


def grade_strict(text: str, gold: str) -> bool:
    """As `grade`, and the text must end in `#### number` after a program that runs to a finite value."""
    if text.count("####") != 1 or strict_value(text) is None:
        return False
    found = program_value(text)
    return found is not None and math.isfinite(found) and grade(text, gold)


def _line_values(prefix: Sequence[str], step: str) -> list[object] | None:
    """The values of the variables that `step` assigns, after running it after the prefix; None if that fails."""
    interpreter = Interpreter()
    try:
        interpreter.run("\n".join(_bare(line) for line in prefix))
        before = len(interpreter.assigned)
        interpreter.run(_bare(step))
    except ProgramError:
        return None
    return [interpreter.variables[name] for name in interpreter.assigned[before:]]


def _bare(line: str) -> str:
    return line.strip().rstrip(";").strip()


def _near(first: object, second: object) -> bool:
    return isinstance(first, int | float) and isinstance(second, int | float) and abs(first - second) < 1e-4


def step_correct(step: str, reference_step: str, prefix: Sequence[str]) -> bool:
    """Whether a program line computes what the reference line computes, both run behind the same prefix.

    The same line (but for white space) is right; otherwise every variable that it assigns must hold the reference's
    value within 1e-4, whatever its name.
    """
    if _bare(step).split() == _bare(reference_step).split():
        return True
    found, right = _line_values(prefix, step), _line_values(prefix, reference_step)
    return bool(found and right and len(found) == len(right) and all(map(_near, found, right)))


class Programs(Family):
    """Solutions are programs, which are interpreted; the answer is what they compute."""

    name = "programs"
    answers = NUMBER
    computes = True
    prose = False

    def plain_body(self, body: str) -> str:
        """The program without comments, which would swallow the rest of one that is written on one line."""
        return _COMMENT.sub("", body)

    def extract(self, text: str) -> str | None:
        """The program's value."""
        return extract_answer(text)

    def grade(self, text: str, gold: str) -> bool:
        """GRACE's grader."""
        return grade(text, gold)

    def grade_strict(self, text: str, gold: str) -> bool:
        """As `grade`, and the text must end in `#### number`."""
        return grade_strict(text, gold)

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str]) -> bool:
        """Whether both lines compute the same behind the prefix."""
        return step_correct(step, reference_step, prefix)
