"""Vectors grace_answers: answer extraction and grading of all task families."""

import math

import pytest

from retrace.errors import UserError
from retrace.tasks.families import programs, symbolic, word_problems

# The official code raises where a reference has no valid answer; ours says so with its own classes.
OUR_ERRORS = (UserError, ValueError)


def is_correct(given: dict, rename: bool = True) -> object:
    text, gold, task = given["model_completion"], given["gt_answer"], given.get("task", "mathqa")
    if task in ("mathqa", "asdiv"):
        return programs.grade(text, gold, official=True, rename=rename)
    if task in ("gsm8k", "svamp", "multiarith"):
        return word_problems.grade(text, gold)
    return symbolic.grade(text, gold)


def ours(given: dict) -> object:
    match given["fn"]:
        case "extract_answer":
            answer: object = word_problems.extract_answer(given["completion"], official=True)
        case "extract_answer_llc":
            answer = symbolic.extract_answer(given["completion"])
        case "extract_answer_program":
            answer = programs.program_value(given["program"], official=True, rename=False)
        case "is_correct":
            return is_correct(given)
        case "is_correct_program":
            return is_correct(given, rename=False)
        case other:
            pytest.fail(f"no implementation of {other}")
    return "[invalid]" if answer is None else answer


def same(given: dict, out: object) -> bool:
    expected = out if isinstance(out, dict) else {"value": out}
    try:
        answer = ours(given)
    except OUR_ERRORS:
        return "raises" in expected
    if "raises" in expected:
        return False
    if "value_repr" in expected:
        return repr(answer) == expected["value_repr"]
    value = expected["value"]
    if isinstance(value, float) and isinstance(answer, float):
        return math.isclose(answer, value, rel_tol=1e-9, abs_tol=1e-9)
    return type(answer) is type(value) and answer == value


@pytest.mark.parametrize("name", ["grace_answers"])
def test_every_case(vectors, name):
    cases = vectors(name)["cases"]
    wrong = [case for case in cases if not same(case["in"], case["out"])]
    print(f"{name}: {len(cases) - len(wrong)}/{len(cases)}")
    assert cases
    assert not wrong
