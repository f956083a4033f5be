"""GRACE's rules for solutions, where ours mend them: the vectors say what theirs do, and the tests where ours differ."""

import re
from collections.abc import Sequence

import numpy as np

from retrace.tasks.interpreter import Interpreter, ProgramError

_ANSWER = re.compile(r"#### (-?[0-9.,]+)")
_EQUATION = re.compile(r"=(-?[0-9.]+)")
_NUMBER = re.compile(r"\d+[.,]?\d*")
_NAME = re.compile(r"[a-zA-Z0-9]+")


def first_answer(text: str) -> str | None:
    """What follows the first `#### `, commas removed: digits and points, or points alone; `1/2` is 1."""
    match = _ANSWER.search(text)
    return match.group(1).replace(",", "") if match else None


def _ran(program: str, name: str) -> object:
    """What a variable holds after the run; None where the program fails or has no such variable."""
    interpreter = Interpreter()
    try:
        interpreter.run(program)
    except ProgramError:
        return None
    return interpreter.variables.get(name)


def program_value(text: str, rename: bool = False) -> float | None:
    """What `ans` holds. rename: `answer` is called `ans` before the run, as in the grader, not in the extractor.

    The characters A and : are stripped from the left, which eats the start of a name like AA as well.
    """
    program = text.split("####")[0].lstrip("A:").strip()
    program = program.replace("answer", "ans") if rename else program.replace("print(answer);", "")
    try:
        return float(_ran(program.replace("print(ans);", ""), "ans"))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def grade_program(text: str, gold: str, rename: bool = True) -> bool | None:
    """Whether the program's value is close to the reference's number; None where the reference has no `#### `.

    Raises:
        ValueError: what follows `#### ` is not a number.
    """
    if "#### " not in gold:
        return None
    right, found = float(first_answer(gold) or ""), program_value(text, rename)
    return found is not None and bool(np.isclose(found, right))


def number_step_correct(step: str, reference_step: str) -> bool:
    """Numbers are cut short: `=1,200` is 1, `= 5` is no equation, and a bare `1,000` is not a number."""
    found, right = _step_value(step), _step_value(reference_step)
    return found is not None and right is not None and abs(found - right) < 1e-3


def _step_value(step: str) -> float | None:
    values = _EQUATION.findall(step) or _NUMBER.findall(step)
    try:
        return float(values[-1]) if values else None
    except ValueError:
        return None


def program_step_correct(step: str, reference_step: str, prefix: Sequence[str]) -> bool:
    """Only the first word of a line is looked up as its variable, and only a literally equal line is the same line."""
    if step.strip() == reference_step.strip():
        return True
    names = [_NAME.search(line) for line in (step, reference_step)]
    lines = [" ".join([*prefix, line]) for line in (step, reference_step)]
    found, right = (_ran(line, name.group()) if name else None for line, name in zip(lines, names, strict=True))
    return isinstance(found, int | float) and isinstance(right, int | float) and abs(found - right) < 1e-4


def split_steps(text: str, delimiter: str) -> list[str]:
    """Every `A:` is removed, also inside a step ("District A: 5"), and only a marker followed by a space counts."""
    text = " ".join(text.replace("A:", "").strip().replace(".\n", "\n").replace("\n", delimiter).split())
    parts = (" ".join(part.split()) for part in text.split("#### ", 1)[0].split(delimiter))
    return [part for part in parts if part and not (delimiter == ";" and "print" in part)]
