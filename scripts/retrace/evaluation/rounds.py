"""Accuracy over the rounds of an iterative system, as data and as a figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from retrace.errors import UserError
from retrace.evaluation.intervals import Estimate
from retrace.evaluation.reported import PaperFile, same_name
from retrace.evaluation.result import Result
from retrace.schemas import Row


@dataclass(frozen=True)
class Round:
    """A round of a loop. paper_names: names of the rounds in the papers' figures, with {round} for the number."""

    loop: str
    title: str
    number: int
    paper_names: Sequence[str] = ()


class RoundPoint(Row):
    """One checkpoint."""

    round: int = Field(ge=0)
    accuracy: Estimate
    seeds: dict[int, float]


class RoundCurve(Row):
    """One loop by round, or a control of one round; none includes the common start."""

    loop: str
    title: str
    points: list[RoundPoint]


class ReportedRound(Row):
    """A point of the paper's figure."""

    loop: str
    round: int
    percent: float
    model: str


class RoundFigure(Row):
    """results/figures/dpo_st_rounds.json and results/figures/learn_to_reason_{task}.json."""

    kind: Literal["rounds"] = "rounds"
    task: str
    model: str
    preset: str
    split: str
    n: int
    seeds: list[int]
    start: RoundPoint | None = Field(description="the model before the first round")
    curves: list[RoundCurve]
    reported: list[ReportedRound] = Field(description="the paper's own points, if it has any for this task")


def _point(result: Result, number: int) -> RoundPoint:
    return RoundPoint(round=number, accuracy=result.accuracy, seeds={row.seed: row.accuracy for row in result.per_seed})


def curves_of(
    results: Sequence[tuple[str, Result]], papers: Sequence[PaperFile], round_named: Callable[[str], Round | None]
) -> RoundFigure:
    """Combine results, each with its file's name.

    round_named: the round that a method's name stands for; None if it is not a round. Raises UserError if results have
    different models or data, or if one is not from a round.
    """
    path, first = results[0]
    points: dict[str, list[RoundPoint]] = {}
    rounds: list[Round] = []
    start = None
    for other, result in results:
        if _what(result) != _what(first):
            raise UserError(f"{other}: {_what(result)}; {path}: {_what(first)}; give results of one run")
        named = round_named(result.method)
        if named is None:
            raise UserError(f"{other}: method {result.method!r} is not a round of a loop; give results of NAME_roundN")
        if named.number == 0:
            start = _point(result, 0)
        else:
            points.setdefault(named.loop, []).append(_point(result, named.number))
            rounds.append(named)
    titles = {named.loop: named.title for named in rounds}
    return RoundFigure(
        task=first.task,
        model=first.model,
        preset=first.preset,
        split=first.split,
        n=first.n,
        seeds=first.seeds,
        start=start,
        curves=[
            RoundCurve(loop=loop, title=titles[loop], points=sorted(found, key=lambda point: point.round))
            for loop, found in points.items()
        ],
        reported=reported_rounds(papers, first.task, rounds),
    )


def _what(result: Result) -> str:
    seeds = ", ".join(map(str, result.seeds))
    return (
        f"{result.model} on {result.n} {result.split} questions of {result.task}, preset {result.preset}, seeds {seeds}"
    )


def reported_rounds(papers: Sequence[PaperFile], task: str, rounds: Sequence[Round]) -> list[ReportedRound]:
    """The papers' own curves of these loops on this task (DPO-ST, Figure 5), with all rounds that they report."""
    found = []
    for loop, names in {named.loop: named.paper_names for named in rounds}.items():
        for begin, end in (name.split("{round}") for name in names):
            for row in (row for paper in papers for row in paper.rows if same_name(row.dataset, task)):
                number = row.method.removeprefix(begin).removesuffix(end)
                if row.table == "Figure 5" and row.method == f"{begin}{number}{end}" and number.isdigit():
                    point = ReportedRound(loop=loop, round=int(number), percent=float(row.value), model=row.model)
                    found.append(point)
    return found


# Colors that remain distinct with common kinds of color blindness; markers differ, too.
_STYLES = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v")]


def draw_rounds(figure: RoundFigure, output: str | Path) -> None:
    """Write the figure as SVG; equal data give equal bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context({"svg.hashsalt": "retrace", "svg.fonttype": "none", "font.family": "sans-serif"}):
        drawing = Figure(figsize=(7, 4.4), layout="constrained")
        axes = drawing.add_subplot()
        for number, curve in enumerate(figure.curves):
            color, marker = _STYLES[number % len(_STYLES)]
            shift = 0.04 * (number - (len(figure.curves) - 1) / 2)  # shifted, so that all intervals are visible
            points = ([figure.start] if figure.start else []) + curve.points
            places = [point.round + (shift if point.round else 0) for point in points]
            axes.plot(places, [100 * point.accuracy.value for point in points], color=color, linewidth=1.2)
            _draw_points(axes, curve.points, shift, color=color, marker=marker, label=curve.title, zorder=3)
            _draw_reported(axes, figure, curve, color)
        if figure.start:
            _draw_points(axes, [figure.start], 0, color="#333333", marker="x", label="before the first round", zorder=4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("round")
        axes.set_ylabel("accuracy, % (95 % interval)")
        seeds = f"{len(figure.seeds)} seed" + ("s" if len(figure.seeds) > 1 else "")
        title = f"{figure.model} on {figure.task}: {figure.n} {figure.split} questions, {seeds}, preset {figure.preset}"
        axes.set_title(title, fontsize=10)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(fontsize=8)
        drawing.savefig(output, format="svg", metadata={"Date": None, "Title": title})


def _draw_points(axes: Any, points: Sequence[RoundPoint], shift: float, **style: Any) -> None:
    """Points with their intervals."""
    values = [100 * point.accuracy.value for point in points]
    lows = [value - 100 * point.accuracy.low for value, point in zip(values, points, strict=True)]
    highs = [100 * point.accuracy.high - value for value, point in zip(values, points, strict=True)]
    places = [point.round + shift for point in points]
    axes.errorbar(places, values, yerr=[lows, highs], linestyle="none", elinewidth=0.9, capsize=3, **style)


def _draw_reported(axes: Any, figure: RoundFigure, curve: RoundCurve, color: str) -> None:
    """The paper's curves of a loop, one dashed line per model."""
    own = [point for point in figure.reported if point.loop == curve.loop]
    for model in dict.fromkeys(point.model for point in own):
        points = sorted((point.round, point.percent) for point in own if point.model == model)
        axes.plot(
            [number for number, _ in points],
            [percent for _, percent in points],
            color=color,
            linestyle="--",
            marker="x",
            alpha=0.5,
            label=f"{curve.title}, {model}, reported",
        )
