"""The calculator against fractions: what is computed and what is written, on any expression."""

import operator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrace.text.arithmetic import evaluate, format_number, walk

_SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv}


def _number(parts: tuple[int, int]) -> tuple[str, Fraction]:
    digits, places = parts
    whole, rest = divmod(digits, 10**places)
    return (f"{whole}.{rest:0{places}d}" if places else str(whole)), Fraction(digits, 10**places)


def _combined(parts: tuple[tuple[str, Fraction], str, tuple[str, Fraction], bool]) -> tuple[str, Fraction] | None:
    (left, one), sign, (right, other), minus = parts
    if sign in ("/", "//") and other == 0:
        sign = "+"
    value = Fraction(_SIGNS[sign](one, other))
    return (f"-({left} {sign} {right})", -value) if minus else (f"({left}{sign}{right})", value)


numbers = st.tuples(st.integers(0, 10**9), st.integers(0, 4)).map(_number)
expressions = st.recursive(
    numbers,
    lambda inner: st.tuples(inner, st.sampled_from(list(_SIGNS)), inner, st.booleans()).map(_combined),
    max_leaves=6,
)


@given(expressions)
def test_values_are_exact(expression: tuple[str, Fraction]) -> None:
    text, value = expression
    if len(text) <= 200 and abs(value) <= 10**18:
        assert evaluate(text) == value


@given(st.fractions(-(10**12), 10**12))
def test_written_values_are_the_nearest(value: Fraction) -> None:
    text = format_number(value)
    decimals = len(text.partition(".")[2])
    assert text == text.strip() != "-0"
    assert "e" not in text
    if value.denominator == 1 or 10**4 % value.denominator == 0:
        assert Fraction(text) == value
    else:
        shown = max(2, decimals)
        assert abs(Fraction(text) - value) <= Fraction(1, 2 * 10**shown)
        assert decimals <= 2 or abs(value) < Fraction(1, 10)


@given(st.integers(-(10**14), 10**14))
def test_no_cent_is_lost(cents: int) -> None:
    assert Fraction(format_number(Fraction(cents, 100))) == Fraction(cents, 100)
    if abs(cents) < 10**13:  # a float holds fifteen digits
        assert Fraction(format_number(cents / 100)) == Fraction(cents, 100)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("25315080.979", "25315080.979"),
        ("1500000001/2", "750000000.5"),
        ("9007199254740993*1", "9007199254740993"),
        ("100000000000000000/3", "33333333333333333.33"),
        ("0.1+0.2", "0.3"),
        ("1.1*1.1", "1.21"),
        ("4.35*100", "435"),
        ("0.3//0.1", "3"),
        ("1.005*1.1", "1.1055"),
        ("1/3*3", "1"),
        ("2/3", "0.67"),
        ("1/800", "0.0013"),  # half away from zero
        ("-1/800", "-0.0013"),
        ("1/3000", "0.00033"),
        ("2**-2", "0.25"),
        ("1.5**2", "2.25"),
        ("2**0.5", "1.41"),
        ("4**.5", "2"),
        ("1000*1.0025**360", "2456.84"),  # beyond a thousand bits: by floats
        ("12345678901234567.25*2", "24691357802469134.5"),
        ("1/3000000000000000", "0"),
    ],
)
def test_what_is_written(expression: str, text: str) -> None:
    value = evaluate(expression)
    assert value is not None
    assert format_number(value) == text


@pytest.mark.parametrize(
    "expression", ["(-8)**0.5", "0**-1", "0.0**-1", "(-1)**.5", "2.5**99999", "1.5**(9**9**9)", "10**18+1"]
)
def test_what_is_no_real_number_has_no_value(expression: str) -> None:
    assert evaluate(expression) is None


def test_whole_values_are_whole_numbers() -> None:
    for expression in ("48/2", "7//2", "0.5*4", "2**10", "1.50+1.50"):
        assert type(walk(expression)) is int
