"""Exact values of numbers in files, rounded and compared."""

import copy
import json
import pickle
from decimal import Decimal
from fractions import Fraction

import pytest

from retrace.text.numbers import WrittenFloat, exact_value, same_value, significant, whole_number


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (5, 5),
        (0.1, Fraction(1, 10)),
        (-0.0, 0),
        (1e20, 10**20),
        (5e-324, Fraction(5, 10**324)),
        (2**80 + 1, 2**80 + 1),
        (WrittenFloat("9007199254740993.5"), Fraction(18014398509481987, 2)),
        (Decimal("12.50"), Fraction(25, 2)),
        (Decimal("1E+3"), 1000),
    ],
)
def test_numbers_of_files_are_exact(value: object, exact: Fraction) -> None:
    assert exact_value(value) == exact


@pytest.mark.parametrize(
    "value",
    [
        True, None, "5", [5], float("nan"), float("inf"), 10**400, WrittenFloat("1e-99999999"), WrittenFloat("1e999"),
        Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999"),
    ],
)  # fmt: skip
def test_what_is_no_number_has_no_value(value: object) -> None:
    assert exact_value(value) is None


def test_floats_of_json_keep_what_is_written_and_stay_floats() -> None:
    short, long = json.loads("[2.50, 12345678901234567890.125]", parse_float=WrittenFloat)
    assert (short, str(short), short + 1) == (2.5, "2.5", 3.5)
    assert str(long) == "12345678901234567890.125"
    for again in (copy.deepcopy(long), pickle.loads(pickle.dumps(long))):
        assert exact_value(again) == exact_value(long) == Fraction(98765431209876543121, 8)
    assert json.dumps(short) == "2.5"


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (Fraction(1, 3), "3333333333/10000000000"),
        (Fraction(10**12 + 1), "1000000000001"),
        (Fraction(25315080979, 1000), "25315080979/1000"),
        (Fraction(10**15) + Fraction(1, 8), "8000000000000001/8"),
        (Fraction(1, 300), "3333333333/1000000000000"),
        (Fraction(-2, 3), "-6666666667/10000000000"),
    ],
)
def test_significant_digits(value: Fraction, rounded: str) -> None:
    assert significant(value) == Fraction(rounded)


@pytest.mark.parametrize(
    ("line", "end", "value"),
    [
        ("1/2", 1, Fraction(1, 2)), ("1e3", 1, 1000), ("12 1/2 cups", 2, Fraction(25, 2)), ("1 000", 1, 1000),
        ("5", 1, None), ("5 apples", 1, None), ("5%", 1, None), ("1-2", 1, None),
        ("5.", 2, None), ("10/0", 2, None), ("7 #### 8", 1, None),
    ],
)  # fmt: skip
def test_numbers_that_go_on(line: str, end: int, value: Fraction | None) -> None:
    assert whole_number(line, end) == value


@pytest.mark.parametrize(
    ("found", "right", "same"),
    [
        ("0.3333333", "1/3", True), ("1200.001", "1200", True), ("1200.01", "1200", False),
        ("5000001", "5000000", False),
        ("1e9", "1000000000.004", True), ("1e9", "1000000000.01", False), ("0", "1e-7", False),
        ("1e-7", "1e-7", True),
        ("1e-7", "0", True),
    ],
)  # fmt: skip
def test_the_same_but_for_rounding(found: str, right: str, same: bool) -> None:
    assert same_value(Fraction(found), Fraction(right)) is same
