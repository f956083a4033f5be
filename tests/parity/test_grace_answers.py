"""Vectors grace_answers: answer extraction and grading of all task families."""

import math
from collections.abc import Callable

import pytest

from parity import official_grace
from retrace.errors import UserError
from retrace.tasks.families import programs, symbolic, word_problems

PROGRAMS = ("mathqa", "asdiv")
WORD_PROBLEMS = ("gsm8k", "svamp", "multiarith")

# What ours make of the texts that they read otherwise: (function, text) -> our answer.
MENDED = {
    ("extract_answer", "#### ,"): "[invalid]",  # a comma alone is not a number
    ("extract_answer", "#### 1e3"): "1000",  # read whole
    ("extract_answer", "#### 1 000"): "1000",
    ("is_correct", "AA = 2 ; ans = AA"): True,  # the name AA loses no letter
    ("extract_answer_program", "answer = 5 ; print(answer);"): 5.0,  # the answer of every program of the data
}


def text_of(given: dict) -> str:
    return next(given[key] for key in ("completion", "program", "model_completion") if key in given)


def ours(given: dict) -> object:
    text, task = text_of(given), given.get("task", "mathqa")
    match given["fn"]:
        case "extract_answer":
            return word_problems.extract_answer(text)
        case "extract_answer_llc":
            return symbolic.extract_answer(text)
        case "extract_answer_program":
            return programs.program_value(text)
        case "is_correct" | "is_correct_program":
            family = programs if task in PROGRAMS else word_problems if task in WORD_PROBLEMS else symbolic
            return family.grade(text, given["gt_answer"])
    return pytest.fail(f"no implementation of {given['fn']}")


def theirs(given: dict) -> object:
    text = text_of(given)
    match given["fn"]:
        case "extract_answer":
            return official_grace.first_answer(text)
        case "extract_answer_program":
            return official_grace.program_value(text)
        case "is_correct" | "is_correct_program" if given.get("task", "mathqa") in PROGRAMS:
            return official_grace.grade_program(text, given["gt_answer"], rename=given["fn"] == "is_correct")
    return ours(given)


def same(call: Callable[[dict], object], given: dict, out: object) -> bool:
    expected = out if isinstance(out, dict) else {"value": out}
    try:
        answer = call(given)
    except (UserError, ValueError):
        # Where a reference has no answer theirs raise, or give None of a program's; ours always raise.
        return "raises" in expected or (call is ours and expected.get("value", "") is None)
    if "raises" in expected:
        return False
    answer = "[invalid]" if answer is None and expected.get("value", "") is not None else answer
    if "value_repr" in expected:
        return repr(answer) == expected["value_repr"]
    value = expected["value"]
    if isinstance(value, float) and isinstance(answer, float):
        return math.isclose(answer, value, rel_tol=1e-9, abs_tol=1e-9)
    return type(answer) is type(value) and answer == value


@pytest.mark.parametrize("name", ["grace_answers"])
def test_every_case(vectors, name):
    cases = vectors(name)["cases"]
    wrong = [case for case in cases if not same(theirs, case["in"], case["out"])]
    print(f"{name}: {len(cases) - len(wrong)}/{len(cases)}")
    assert cases
    assert not wrong


def test_ours_differ_only_where_they_mend_theirs(vectors):
    different = [case["in"] for case in vectors("grace_answers")["cases"] if not same(ours, case["in"], case["out"])]
    found = {(given["fn"], text_of(given)): ours(given) for given in different}
    assert {key: "[invalid]" if answer is None else answer for key, answer in found.items()} == MENDED
