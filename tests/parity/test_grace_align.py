"""Step alignment against the official code's outputs."""

import numpy as np
import pytest

from retrace.systems.grace.alignment import align


def test_grace_align(vectors):
    cases = vectors("grace_align")["cases"]
    for number, case in enumerate(cases):
        given, expected = case["in"], case["out"]
        similarity = np.array(given["sim"], dtype=float).reshape(len(given["x"]), len(given["y"]))
        # The official mode differs by default only in that it lets a NaN pass.
        modes = (True, False) if np.isfinite(similarity).all() else (True,)
        for official in modes:
            first, second, cost = align(given["x"], given["y"], similarity, official=official)
            assert first == expected["x_aligned"], f"case {number}"
            assert second == expected["y_aligned"], f"case {number}"
            assert cost == pytest.approx(expected["cost"], abs=1e-4, nan_ok=True), f"case {number}"
    print(f"grace_align: {len(cases)} cases")
    assert cases
