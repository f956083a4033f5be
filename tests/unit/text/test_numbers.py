"""Numbers as people write them, read exactly."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrace.text.numbers import decimal_text, exact, number_at_start, numbers_in, plain_signs

WHOLE = {
    "18": 18, "-5": -5, "−5": -5, "+3": 3, "1,200": 1200, "1,234,567.89": "1234567.89", "1 200": 1200,
    "12 345 678": 12345678,
    "1\u202f200": 1200, "1\u00a0200": 1200, "1'200": 1200, "1’200": 1200, "$5": 5, "-$5": -5, "$-5": -5, "$ 5": 5, r"\$5": 5,
    "€150": 150, "USD1,200": 1200, "USD 1,200": 1200, "US$7": 7, "$9{,}500": 9500, r"9\,500": 9500, ".5": "0.5",
    "-.5": "-0.5",
    "0.50": "0.5", "5.": 5, "50%": 50, r"50\%": 50, "1/2": "1/2", "-1/2": "-1/2", "12 1/2": "25/2", "12½": "25/2",
    "½": "1/2",
    "1.5e3": 1500, "1e-05": "1/100000", "1E+2": 100, r"\frac{1}{2}": "1/2", r"-\frac{3}{4}": "-3/4", r"2\frac{1}{2}": "5/2",
    r"\dfrac12": "1/2", r"1.2 \times 10^{3}": 1200, "3 × 10^2": 300, "1.2 x 10^3": 1200, "１８": 18, "1,00,000": 100000,
    "3.0/4": "3/4", "007": 7,
}  # fmt: skip
NO_NUMBER = [
    "", "-", "$", "1,5", "1,50", "1.234.567", "3:30", "2^10", "5 6", "1/2/3", "1/0", "five", "6 hours", "1e9999", "10-12",
    "1,2,3",
    "0 200", "12 34", "1.5.2", "2024-01-05", "--5", "1e5x", "nan", "inf", "0x10", "1_000",
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), WHOLE.items())
def test_a_whole_number_is_read_exactly(text: str, value: int | str) -> None:
    assert exact(text) == Fraction(value)


@pytest.mark.parametrize("text", NO_NUMBER)
def test_what_is_not_wholly_a_number_is_none(text: str) -> None:
    assert exact(text) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Tom has 3 pens and 1,200 books.", [3, 1200]),
        ("600-407 = 193.", [600, 407, 193]),
        ("It is −5, or -$7.50.", [-5, "-7.5"]),
        ("(3)-4", [3, 4]),
        ("20 - 5, 20 -5 and what is left - 5", [20, 5, 20, 5, 5]),
        ("It is -5, or = - 5, or (-5), 3 * -5", [-5, -5, -5, 3, -5]),
        ("x1 and 2nd", [2]),
        ("He eats 3/4 of 1/2.", ["3/4", "1/2"]),
        (r"so \boxed{18} pens for 3 bags", [18, 3]),
        (r"$9{,}500 in all", [9500]),
        ("3*6=18", [3, 6, 18]),
        ("2 x 10 is 20", [2, 10, 20]),
    ],
)
def test_numbers_in_prose(text: str, values: list[int | str]) -> None:
    assert [number.value for number in numbers_in(text)] == [Fraction(value) for value in values]


def test_places_are_those_of_the_text_as_it_was_written() -> None:
    text = "it is −5 or １８ pens"
    assert [text[number.start : number.end].strip() for number in numbers_in(text)] == ["−5", "１８"]
    assert len(plain_signs(text)) == len(text)


@given(st.integers(-(10**20), 10**20), st.integers(0, 6))
def test_every_decimal_is_written_and_read_back(digits: int, places: int) -> None:
    value = Fraction(digits, 10**places)
    written = decimal_text(value)
    assert written is not None
    assert exact(written) == value
    assert [number.value for number in numbers_in(f"So it is {written} in all.")] == [value]


@pytest.mark.parametrize(
    "text",
    ["9" * 5000, "1/" + "9" * 5000, "9" * 5000 + " 1/2", "1e" + "9" * 5000, "1e-99999999"],
    ids=["whole", "below", "mixed", "power", "small"],
)
def test_numbers_of_thousands_of_digits_are_none(text: str) -> None:
    assert exact(text) is None
    assert numbers_in(text) == []


def test_digits_that_never_end_have_no_decimal_text() -> None:
    assert decimal_text(Fraction(1, 3)) is None
    assert decimal_text(Fraction(-1, 8)) == "-0.125"


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("1 200 pens", 1200, "1 200"),
        ("1 2000", 1, "1"),
        ("-$5.50!", "-5.5", "-$5.50"),
        ("12 1/2 cups", "25/2", "12 1/2"),
        ("18, 20", 18, "18"),
        ("50% of 8", 50, "50%"),
    ],
)
def test_the_number_at_the_start_is_read_whole(text: str, value: int | str, written: str) -> None:
    number = number_at_start(text)
    assert number is not None
    assert (number.value, text[: number.end]) == (Fraction(value), written)


@pytest.mark.parametrize("text", ["", "about 18", "(18)", "x1", "- "])
def test_what_begins_otherwise_has_no_number_at_its_start(text: str) -> None:
    assert number_at_start(text) is None
