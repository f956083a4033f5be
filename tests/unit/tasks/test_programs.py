"""The interpreter of MathQA's programs: what it runs, what it refuses, and how cheaply."""

import time

import pytest

from retrace.errors import UserError
from retrace.tasks.families import programs
from retrace.tasks.interpreter import Interpreter, ProgramError


def run(program: str) -> dict:
    interpreter = Interpreter()
    interpreter.run(program)
    return interpreter.variables


@pytest.mark.parametrize(
    ("program", "value"),
    [
        ("answer = 1 + 2 * 3", 7),
        ("n0 = 7 ; n1 = 2 ; answer = n0 // n1 + n0 % n1", 4),
        ("answer = -2 ** 2", -4),
        ("import math\nanswer = math.sqrt(max(0, 16.0))", 4.0),
        ("answer = min(3, 5)**min(2, 5)", 9),
        ("answer = 1 if 2 > 1 >= 1 else 0", 1),
        ("a, b = 2, 3\nanswer = a * b", 6),
        ("answer = 1\nanswer += 4  # a comment\nprint(answer)", 5),
        ("import scipy\nanswer = scipy.special.comb(5, 2)", 10),
        ("answer = math.floor(2.7) + abs(-1) + round(2.4)", 5),
        ("answer = 2 * math.pi", 6.283185307179586),
        ("answer = int(7.9)", 7),
    ],
)
def test_the_language(program, value):
    assert run(program)["answer"] == pytest.approx(value)


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "for i in range(9): answer = i",
        "answer = [x for x in (1, 2)]",
        "def f(): pass",
        "answer = (lambda: 1)()",
        "import os",
        "from math import sqrt",
        "import math as m",
        "answer = __import__('os')",
        "answer = open('x')",
        "answer = (1).__class__",
        "answer = math.__dict__",
        "answer = 'a' * 9",
        "answer = [1]",
        "answer = x",
        "answer = 1 / 0",
        "answer = 1 % 0",
        "answer = 0 ** -1",
        "answer = math.sqrt(-1)",
        "answer = (-8) ** 0.5",
        "answer = 10.0 ** 400",
        "answer = math.factorial(100000)",
        "answer = 1 <<  9999999999",
        "answer = 1 +",
        "x.y = 1",
        "a, b = 1",
        "answer = eval('1')",
        "answer = float('1' , '2')",
        "\x00",
    ],
)
def test_refused_or_failing(program):
    with pytest.raises(ProgramError):
        run(program)


@pytest.mark.parametrize(
    "program",
    [
        "answer = 9**9**9",
        "answer = 9**9**9**9",
        "answer = pow(9, pow(9, 9))",
        "answer = " + "9" * 10_000,
        "answer = " + "9" * 4_000,
        "answer = " + "(" * 5_000 + "1" + ")" * 5_000,
        "answer = " + "-" * 15_000 + "1",
        "answer = " + "1+" * 9_000 + "1",
        "answer = " + "-" * 500 + "1",
        "a0 = 99999\n" + "\n".join(f"a{i + 1} = a{i} * a{i}" for i in range(40)),
        "answer = 1\n" * 20_000,
        "answer = math.comb(10**9, 10**8)",
        "answer = 1" + ".0" * 8_000,
        "answer = round(5, -10000000)",
        "answer = round(5, 10000000)",
    ],
    ids=lambda program: program[:24],
)
def test_bombs_cost_nothing(program):
    started = time.process_time()
    with pytest.raises(ProgramError):
        run(program)
    # Not a speed test: without the limits these take minutes, or all memory.
    assert time.process_time() - started < 5


def test_a_long_honest_program_runs():
    lines = ["n0 = 1.0", *(f"n{i + 1} = n{i} + 1.0" for i in range(150)), "answer = n150"]
    assert run("\n".join(lines))["answer"] == 151


def test_grade_runs_the_program_and_ignores_the_written_number():
    gold = "n0 = 20.0\nanswer = n0 * 2\nprint(answer)\n#### 40"
    assert programs.grade("n0 = 20.0 ; answer = n0 * 2 ; #### 7", gold)
    assert not programs.grade("n0 = 20.0 ; answer = n0 * 3 ; #### 40", gold)
    assert not programs.grade("", gold)
    with pytest.raises(UserError, match="mend the data"):
        programs.grade("answer = 1", "no number")


def test_strict_needs_the_answer_marker_at_the_end_as_well():
    gold = "#### 40"
    assert programs.grade_strict("answer = 40 ; #### 40", gold)
    assert not programs.grade_strict("answer = 40", gold)
    assert not programs.grade_strict("answer = 41 ; #### 40", gold)
    assert not programs.grade_strict("answer = math.inf ; #### 40", gold)


def test_the_answer_is_read_whatever_it_is_called():
    assert programs.extract_answer("answer = 5 ; #### 5") == "5.0"
    assert programs.extract_answer("ans = 5 ; #### 5") == "5.0"
    assert programs.extract_answer("AA = 2 ; ans = AA") == "2.0"
    assert programs.extract_answer("x = 5") is None


def test_step_correct_compares_values_behind_the_prefix():
    prefix = ["n0 = 40.0", "n1 = 70.0"]
    assert programs.step_correct("t0 = n1 - n0", "t0 = n1 - n0", prefix)
    assert programs.step_correct("t1=-n0+n1", "t0 = n1 - n0", prefix)
    assert not programs.step_correct("t0 = n0 - n1", "t0 = n1 - n0", prefix)
    assert not programs.step_correct("t0 = n9", "t0 = n1 - n0", prefix)
    assert not programs.step_correct("t0 = math.nan", "t0 = 2 * math.nan", prefix)


def test_step_correct_looks_at_every_variable_of_a_line():
    step, reference = "a = 1 ; b = 2", "a = 1 ; b = 3"
    assert not programs.step_correct(step, reference, [])
    assert programs.step_correct("import  math ;", "import math", [])
