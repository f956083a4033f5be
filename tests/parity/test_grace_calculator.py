"""The calculator of GRACE's two helper files."""

import pytest

from retrace.text.calculator import use_calculator


def test_grace_calculator(vectors):
    cases = vectors("grace_calculator")["cases"]
    for case in cases:
        for version in ("data_utils", "sampling_utils"):
            value = use_calculator(case["in"]["sample"], official=version)
            expected = case["out"][version]
            kind = "none" if value is None else type(value).__name__
            assert kind == expected["type"], case
            if kind == "tuple":
                assert str(value) == expected["value"]
            else:
                assert value == (None if value is None else pytest.approx(expected["value"], abs=1e-4)), case
    print(f"grace_calculator: {len(cases)} cases, 2 versions each")
    assert cases
