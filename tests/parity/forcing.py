"""What the calculator that production runs writes behind a text."""

import numpy as np

from retrace.text.calculator import Calculator


def forced_behind(calculator: Calculator, ids: list[int]) -> str:
    """The text that `calculator` forces behind the tokens `ids`, which are written one after the other."""
    state, forced = calculator.start(1), np.array([-1])
    for token in ids:
        forced = calculator.forced(state, np.array([token]))
    written = ""
    while forced[0] >= 0:
        written += calculator.text.surfaces[forced[0]]
        forced = calculator.forced(state, forced)
    return written
