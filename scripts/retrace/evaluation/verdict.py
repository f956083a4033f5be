"""Whether a paper's number is reproduced: its place in the 95 % prediction interval of a further run.

A paper's number is one run, or the mean of a few. Our seeds say how far apart runs lie, s. A further run of the same thing
falls into mean +- t s sqrt(1 + 1/n) in 95 % of the cases; where the number is a mean of m runs, into the one with 1/m. Both
answer the same questions, so the noise of drawing the questions is shared and has no part in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from retrace.schemas import Row

Verdict = Literal["reproduced", "not reproduced", "cannot tell"]
REPRODUCED: Verdict = "reproduced"
NOT_REPRODUCED: Verdict = "not reproduced"
CANNOT_TELL: Verdict = "cannot tell"
LEVEL = 0.95
LEAST_SEEDS = 3  # of two runs the spread is known within a factor of thirty


class Prediction(Row):
    """Where a further run is expected, and how surprising the paper's number is. Shares of 1."""

    low: float = Field(description="lower end of the 95 % prediction interval")
    high: float
    mean: float = Field(description="of our seeds")
    spread: float = Field(description="standard deviation between our seeds")
    seeds: int = Field(description="independent runs; seeds with the same predictions count once")
    p_value: float = Field(ge=0, le=1, description="chance of a number at least as far off as the paper's")


@dataclass(frozen=True)
class Number:
    """A reported number, as a share. runs: how many it is the mean of. spread: between them, if the paper says it.
    rounding: half a unit of the last printed digit."""

    value: float
    runs: int = 1
    spread: float | None = None
    rounding: float = 0.0005


@dataclass(frozen=True)
class Judgment:
    """A verdict and the reason for it."""

    verdict: Verdict
    because: str


def predict(values: Sequence[float], number: Number) -> Prediction | None:
    """The prediction interval for a number of this kind from the values of our independent runs; None below two."""
    count = len(values)
    if count < 2:
        return None
    from scipy.special import stdtr, stdtrit

    mean = sum(values) / count
    ours = 0.0 if len(set(values)) == 1 else math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    if number.spread is None or number.runs < 2:
        error, freedom = ours * math.sqrt(1 / number.runs + 1 / count), float(count - 1)
    else:  # both spreads are known: Welch's test
        parts = (ours**2 / count, number.spread**2 / number.runs)
        error = math.sqrt(sum(parts))
        below = parts[0] ** 2 / (count - 1) + parts[1] ** 2 / (number.runs - 1)
        freedom = sum(parts) ** 2 / below if below else float(count + number.runs - 2)
    half = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * error
    # A printed number stands for all that are rounded to it: the nearest one counts.
    gap = max(0.0, abs(number.value - mean) - number.rounding)
    surprise = gap / error if error else math.inf if gap > 1e-12 else 0.0
    p_value = min(1.0, 2 * float(stdtr(freedom, -surprise)))
    return Prediction(low=mean - half, high=mean + half, mean=mean, spread=ours, seeds=count, p_value=p_value)


def decide(
    found: Prediction | None,
    seeds: int,
    margin: float,
    level: float = 1 - LEVEL,
    adjusted: float | None = None,
) -> Judgment:
    """The verdict on a comparable result.

    found: the prediction from the independent runs among `seeds` seeds. margin: the widest interval that may confirm a
    number, a share. adjusted: the p value after Holm's correction, where several numbers are judged together.
    """
    if found is None or found.seeds < LEAST_SEEDS:
        runs = found.seeds if found else 1
        alike = f" (of {seeds} seeds; the others gave the same predictions)" if runs < seeds else ""
        return Judgment(CANNOT_TELL, f"{runs} independent run{'s' * (runs > 1)}{alike}; it takes {LEAST_SEEDS}")
    where = f"{percent(found.low)} to {percent(found.high)}"
    if not found.spread:
        if found.p_value == 1:
            return Judgment(REPRODUCED, "all runs gave the paper's number")
        return Judgment(CANNOT_TELL, "all runs gave the same accuracy, so that the spread between runs is not known")
    inside = found.p_value >= level
    if not inside and (adjusted is None or adjusted < level):
        return Judgment(NOT_REPRODUCED, f"outside the 95 % prediction interval, {where}")
    if not inside:
        return Judgment(
            CANNOT_TELL,
            f"outside the 95 % prediction interval, {where}, but not surprising among so many numbers (Holm: p = "
            f"{adjusted:.2g})",
        )
    if (width := found.high - found.low) > margin:
        return Judgment(
            CANNOT_TELL,
            f"the 95 % prediction interval, {where}, is {100 * width:.1f} points wide; {100 * margin:g} are the most that "
            "confirm a number",
        )
    return Judgment(REPRODUCED, f"inside the 95 % prediction interval, {where}")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values: the chance of any false alarm among all stays below the level (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, running = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = running
    return adjusted


def percent(share: float) -> str:
    """A share as a percentage, as the papers print it."""
    return f"{100 * share:.1f}"
