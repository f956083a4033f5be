"""The calculator of GRACE's two helper files, and ours where theirs is right."""

import pytest

from parity.forcing import forced_behind
from parity.official_calculators import grace_calculator
from retrace.text.arithmetic import format_number
from retrace.text.calculator import Calculator
from unit.byte_tokenizer import byte_tokenizer


def test_grace_calculator(vectors):
    cases = vectors("grace_calculator")["cases"]
    for case in cases:
        for version in ("data_utils", "sampling_utils"):
            value = grace_calculator(case["in"]["sample"], version)
            expected = case["out"][version]
            kind = "none" if value is None else type(value).__name__
            assert kind == expected["type"], case
            if kind == "tuple":
                assert str(value) == expected["value"]
            else:
                assert value == (None if value is None else pytest.approx(expected["value"], abs=1e-4)), case
    print(f"grace_calculator: {len(cases)} cases, 2 versions each")
    assert cases


def test_ours_writes_the_same_values(vectors):
    """Behind '=', when it is written; a computation that is closed, or whose value is not a number, gives nothing."""
    tokenizer = byte_tokenizer()
    calculator = Calculator(tokenizer)
    cases, written = vectors("grace_calculator")["cases"], 0
    for case in cases:
        before, opening, tail = case["in"]["sample"].rpartition("<<")
        if ">>" not in tail and "=" in tail:
            tail = tail.partition("=")[0] + "="
        expected = case["out"]["sampling_utils"]
        number = expected["type"] in ("int", "float")
        ids = tokenizer(before + opening + tail, add_special_tokens=False)["input_ids"]
        assert forced_behind(calculator, ids) == (f"{format_number(expected['value'])}>>" if number else ""), case
        written += number
    print(f"grace_calculator: ours forces {written} results in {len(cases)} cases")
    assert written
