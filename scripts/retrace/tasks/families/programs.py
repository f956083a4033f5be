"""Programs as worked solutions (mathqa): a step is an assignment, the answer is what `answer` holds after the run."""

import math
import re
from collections.abc import Sequence

from retrace.errors import UserError
from retrace.tasks.answer_kinds import NUMBER
from retrace.tasks.families.word_problems import extract_answer as extract_number
from retrace.tasks.families.word_problems import strict_value
from retrace.tasks.family import Family
from retrace.tasks.interpreter import Interpreter, ProgramError
from retrace.tasks.steps import body_of

_NAME = re.compile(r"[a-zA-Z0-9]+")
_COMMENT = re.compile(r"\s*#[^#\n]*$", re.MULTILINE)


def _body(text: str, official: bool) -> str:
    body = body_of(text)
    # The official code strips the characters A and : from the left, which also eats the start of a name like AA.
    return (body.lstrip("A:") if official else body.strip().removeprefix("A:")).strip()


def _run(program: str, wanted: Sequence[str]) -> float | None:
    """The number in the first of the `wanted` variables that exists after the run; None where the run fails."""
    interpreter = Interpreter()
    try:
        interpreter.run(program)
        for name in wanted:
            if name in interpreter.variables:
                return float(interpreter.variables[name])  # type: ignore[arg-type]
    except (ProgramError, TypeError, ValueError, OverflowError):
        pass
    return None


def program_value(text: str, official: bool = False, rename: bool = True) -> float | None:
    """Run the program in a solution's text and give its answer; None where it fails or assigns none.

    The answer is the variable `answer`, or `ans`. official: `answer` is renamed to `ans` throughout (rename=True, as in
    GRACE's grader), or only `ans` counts (rename=False, as in its extractor).
    """
    program = _body(text, official)
    if not official:
        return _run(program, ("answer", "ans"))
    if rename:
        program = program.replace("answer", "ans")
    program = program.replace("print(ans);", "")
    if not rename:
        program = program.replace("print(answer);", "")
    return _run(program, ("ans",))


def extract_answer(text: str, official: bool = False) -> str | None:
    """The program's value as text, or None. official: by GRACE's extractor, which knows only `ans`."""
    value = program_value(text, official=official, rename=False)
    return None if value is None else repr(value)


def _close(found: float, right: float) -> bool:
    """Equal as numpy.isclose with its defaults has it: |difference| <= 1e-8 + 1e-5 * |right|."""
    if math.isinf(found) or math.isinf(right):
        return found == right
    return abs(found - right) <= 1e-8 + 1e-5 * abs(right)


def grade(text: str, gold: str, official: bool = False, rename: bool = True) -> bool | None:
    """GRACE's grader: the program's value is close to the reference's number.

    UserError where the reference has no number. official: then None, or ValueError, as theirs.
    """
    if official and "#### " not in gold:
        return None
    reference = extract_number(gold, official=True)
    if reference is None and official:
        raise ValueError(f"could not convert {gold[-40:]!r} to a number")
    try:
        right = float(reference or "")
    except ValueError:
        if official:
            raise
        raise UserError(f"the reference program has no '#### number': {gold[-80:]!r}; mend the data") from None
    found = program_value(text, official=official, rename=rename)
    return found is not None and _close(found, right)


def grade_strict(text: str, gold: str) -> bool:
    """As `grade`, and the text must end in `#### number` after a program that runs to a finite value."""
    if text.count("####") != 1 or strict_value(text) is None:
        return False
    found = program_value(text)
    return found is not None and math.isfinite(found) and bool(grade(text, gold))


def _line_values(prefix: Sequence[str], step: str) -> list[object] | None:
    """What the variables that `step` assigns hold after running it behind the prefix; None where that fails."""
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


def step_correct(step: str, reference_step: str, prefix: Sequence[str], official: bool = False) -> bool:
    """Whether a program line computes what the reference line computes, both run behind the same prefix.

    The same line (but for white space) is right; otherwise every variable that it assigns must hold the reference's
    value within 1e-4, whatever its name. official: only the first word of each line is looked up as its variable, and
    only a literally equal line counts as the same.
    """
    if step.strip() == reference_step.strip():
        return True
    if official:
        return _official_step_correct(step, reference_step, prefix)
    if _bare(step).split() == _bare(reference_step).split():
        return True
    found, right = _line_values(prefix, step), _line_values(prefix, reference_step)
    return bool(found and right and len(found) == len(right) and all(map(_near, found, right)))


def _official_step_correct(step: str, reference_step: str, prefix: Sequence[str]) -> bool:
    values: list[object] = []
    for line in (step, reference_step):
        name = _NAME.search(line)
        interpreter = Interpreter()
        try:
            interpreter.run(" ".join([*prefix, line]))
        except ProgramError:
            return False
        values.append(interpreter.variables.get(name.group()) if name else None)
    return _near(*values)


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
        return bool(grade(text, gold))

    def grade_strict(self, text: str, gold: str) -> bool:
        """As `grade`, and the text must end in `#### number`."""
        return grade_strict(text, gold)

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str]) -> bool:
        """Whether both lines compute the same behind the prefix."""
        return step_correct(step, reference_step, prefix)
