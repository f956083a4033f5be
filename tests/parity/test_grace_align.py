"""Step alignment against the official code's outputs; ours refuses a similarity that is not a number."""

import numpy as np
import pytest

from parity.official_alignment import align_as_theirs
from retrace.errors import UserError
from unit.two_lists import align


def test_grace_align(vectors):
    cases = vectors("grace_align")["cases"]
    refused = 0
    for number, case in enumerate(cases):
        given, expected = case["in"], case["out"]
        similarity = np.array(given["sim"], dtype=float).reshape(len(given["x"]), len(given["y"]))
        ways = [align_as_theirs]
        if np.isfinite(similarity).all():
            ways.append(align)
        else:
            with pytest.raises(UserError, match="unusable vector"):
                align(given["x"], given["y"], similarity)
            refused += 1
        for way in ways:
            first, second, cost = way(given["x"], given["y"], similarity)
            assert first == expected["x_aligned"], f"case {number}"
            assert second == expected["y_aligned"], f"case {number}"
            assert cost == pytest.approx(expected["cost"], abs=1e-4, nan_ok=True), f"case {number}"
    print(f"grace_align: {len(cases)} cases, {refused} of which ours refuses")
    assert len(cases) > refused
