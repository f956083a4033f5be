"""Accuracy over the rounds of a system that goes round and round, as data and as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from retrace.checkpoints import round_of
from retrace.config_learn_to_reason import VARIANTS
from retrace.errors import UserError
from retrace.evaluation.result import Result
from retrace.schemas import Row


class RoundPoint(Row):
    """One checkpoint; accuracies are shares of 1."""

    round: int = Field(ge=0)
    accuracy: float
    low: float = Field(description="of the 95 % interval")
    high: float
    per_seed: list[float]


class RoundCurve(Row):
    """One variant, round by round; the start, which all share, is in none."""

    variant: str
    title: str
    points: list[RoundPoint]


class RoundFigure(Row):
    """results/figures/learn_to_reason_{task}.json."""

    kind: Literal["rounds"] = "rounds"
    task: str
    model: str
    preset: str
    split: str
    n: int
    seeds: list[int]
    start: RoundPoint | None = Field(description="the student before the first round")
    curves: list[RoundCurve]


def _point(result: Result, number: int) -> RoundPoint:
    return RoundPoint(
        round=number,
        accuracy=result.accuracy.value,
        low=result.accuracy.low,
        high=result.accuracy.high,
        per_seed=[row.accuracy for row in result.per_seed],
    )


def curves_of(results: Sequence[Result]) -> RoundFigure:
    """The points by variant. Raises UserError where results are of different models or data, or of no round."""
    first = results[0]
    points: dict[str, list[RoundPoint]] = {}
    start = None
    for result in results:
        same = (result.task, result.model, result.preset, result.split, result.n, result.seeds)
        if same != (first.task, first.model, first.preset, first.split, first.n, first.seeds):
            raise UserError(
                f"{result.method} of {result.model} on {result.task} (n {result.n}, preset {result.preset}) does not belong "
                f"into one figure with {first.method} of {first.model} on {first.task}; give results of one run"
            )
        number = round_of(result.method)
        if number is None:
            raise UserError(f"method {result.method!r} is no round of a checkpoint; give results of NAME_roundN")
        if number == 0:
            start = _point(result, 0)
        else:
            points.setdefault(result.method.rpartition("_round")[0], []).append(_point(result, number))
    return RoundFigure(
        task=first.task,
        model=first.model,
        preset=first.preset,
        split=first.split,
        n=first.n,
        seeds=first.seeds,
        start=start,
        curves=[
            RoundCurve(
                variant=name, title=VARIANTS.get(name, name), points=sorted(found, key=lambda point: point.round)
            )
            for name, found in points.items()
        ],
    )


# Colours that the common kinds of colour blindness keep apart; markers differ as well.
_STYLES = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v")]


def draw_rounds(figure: RoundFigure, output: str | Path) -> None:
    """Write the figure as SVG; the same figure gives the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context({"svg.hashsalt": "retrace", "svg.fonttype": "none", "font.family": "sans-serif"}):
        drawing = Figure(figsize=(7, 4.4), layout="constrained")
        axes = drawing.add_subplot()
        for number, curve in enumerate(figure.curves):
            colour, marker = _STYLES[number % len(_STYLES)]
            points = ([figure.start] if figure.start else []) + curve.points
            shift = 0.04 * (number - (len(figure.curves) - 1) / 2)  # side by side, so that all intervals can be seen
            xs = [point.round + (shift if point.round else 0) for point in points]
            axes.plot(xs, [100 * point.accuracy for point in points], color=colour, linewidth=1.2)
            axes.errorbar(
                xs[-len(curve.points) :],
                [100 * point.accuracy for point in curve.points],
                yerr=[
                    [100 * (point.accuracy - point.low) for point in curve.points],
                    [100 * (point.high - point.accuracy) for point in curve.points],
                ],
                color=colour,
                marker=marker,
                linestyle="none",
                elinewidth=0.9,
                capsize=3,
                label=curve.title,
                zorder=3,
            )
        if figure.start:
            start = figure.start
            axes.errorbar(
                [0],
                [100 * start.accuracy],
                yerr=[[100 * (start.accuracy - start.low)], [100 * (start.high - start.accuracy)]],
                color="#333333",
                marker="x",
                capsize=3,
                linestyle="none",
                label="before the first round",
                zorder=4,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("round")
        axes.set_ylabel("accuracy, % (95 % interval)")
        seeds = f"{len(figure.seeds)} seed" + ("s" if len(figure.seeds) > 1 else "")
        title = f"{figure.model} on {figure.task}: {figure.n} {figure.split} questions, {seeds}, preset {figure.preset}"
        axes.set_title(title, fontsize=10)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(fontsize=8)
        drawing.savefig(output, format="svg", metadata={"Date": None, "Title": title})
