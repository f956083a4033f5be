"""Accuracy over the rounds of self-training: the document, and its figure. DPO-ST, Figure 5."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from retrace.checkpoints import round_of
from retrace.errors import UserError
from retrace.evaluation.intervals import Estimate
from retrace.evaluation.reported import PaperFile, same_name
from retrace.evaluation.result import Result
from retrace.schemas import Row

SERIES = {
    "dpo_st": "DPO-ST",
    "st": "self-training",
    "sft_continued": "SFT, as many further steps",
    "sft_extra": "SFT, as many further references",
}


class RoundPoint(Row):
    """One method after one round; round 0 is the warm-up, which both self-trainings share."""

    series: Literal["dpo_st", "st", "sft_continued", "sft_extra"]
    round: int
    accuracy: Estimate
    seeds: dict[int, float]


class ReportedRound(Row):
    """A point of the paper's Figure 5."""

    series: Literal["dpo_st", "st"]
    round: int
    percent: float
    model: str


class Rounds(Row):
    """results/figures/dpo_st_rounds.json."""

    kind: Literal["rounds"] = "rounds"
    task: str
    model: str
    split: str
    preset: str
    n: int
    points: list[RoundPoint]
    reported: list[ReportedRound]


def collect(results: Sequence[tuple[str, Result]], papers: Sequence[PaperFile], preset: str) -> Rounds:
    """Put results of one task and model side by side. Raises UserError for results of different ones, or of no round."""
    first = results[0][1]
    points = []
    for path, result in results:
        if (result.task, result.model, result.split, result.n) != (first.task, first.model, first.split, first.n):
            raise UserError(f"{path}: of another task, model or split than {results[0][0]}; give results of one")
        number = round_of(result.checkpoint)
        if number is None:
            raise UserError(f"{path}: checkpoint {result.checkpoint!r} belongs to no round")
        points.append(
            RoundPoint(
                series=result.checkpoint.removesuffix(f"_round{number}"),
                round=number,
                accuracy=result.accuracy,
                seeds={row.seed: row.accuracy for row in result.per_seed},
            )
        )
    return Rounds(
        task=first.task,
        model=first.model,
        split=first.split,
        preset=preset,
        n=first.n,
        points=points,
        reported=reported_rounds(papers, first.task),
    )


def reported_rounds(papers: Sequence[PaperFile], task: str) -> list[ReportedRound]:
    """The paper's own curves, where it has some for this task."""
    names = {"DPO-ST": "dpo_st", "Self-Training": "st"}
    found = []
    for paper in papers:
        for row in paper.rows:
            method, _, number = row.method.partition(", iteration ")
            if row.table == "Figure 5" and method in names and same_name(row.dataset, task) and number.isdigit():
                found.append(
                    ReportedRound(series=names[method], round=int(number), percent=float(row.value), model=row.model)
                )
    return found


# Colours that the common kinds of colour blindness keep apart; markers differ as well.
_STYLES = {
    "dpo_st": ("#0072b2", "o", "-"),
    "st": ("#d55e00", "s", "-"),
    "sft_continued": ("#009e73", "^", "none"),
    "sft_extra": ("#cc79a7", "D", "none"),
}


def draw_rounds(rounds: Rounds, output: str | Path) -> None:
    """Write the figure as SVG; the same document gives the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context({"svg.hashsalt": "retrace", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        start = [point for point in rounds.points if point.round == 0]
        for place, (series, label) in enumerate(SERIES.items()):
            points = [point for point in rounds.points if point.series == series]
            if series == "st" and points:
                points = [*start, *points]  # both begin with one warm-up
            if not points:
                continue
            colour, marker, line = _STYLES[series]
            points.sort(key=lambda point: point.round)
            values = [100 * point.accuracy.value for point in points]
            lows = [value - 100 * point.accuracy.low for value, point in zip(values, points, strict=True)]
            highs = [100 * point.accuracy.high - value for value, point in zip(values, points, strict=True)]
            axes.errorbar(
                [point.round + 0.03 * place for point in points],  # side by side, so that all intervals can be seen
                values,
                yerr=[lows, highs],
                color=colour,
                marker=marker,
                linestyle=line,
                elinewidth=0.9,
                capsize=3,
                label=f"{label}, reproduced",
                zorder=3,
            )
        for model in dict.fromkeys(point.model for point in rounds.reported):
            for series in ("dpo_st", "st"):
                own = sorted(
                    (point for point in rounds.reported if (point.model, point.series) == (model, series)),
                    key=lambda point: point.round,
                )
                xs, ys = [point.round for point in own], [point.percent for point in own]
                axes.plot(
                    xs,
                    ys,
                    color=_STYLES[series][0],
                    linestyle="--",
                    marker="x",
                    alpha=0.5,
                    label=f"{SERIES[series]}, {model}, reported",
                )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("round (0: warm-up)")
        axes.set_ylabel("accuracy, %")
        count = len(rounds.points[0].seeds)
        title = f"{rounds.model} on {rounds.task}, {rounds.n} {rounds.split} questions, {count} seed" + (
            "s" if count > 1 else ""
        )
        axes.set_title(f"{title}, preset {rounds.preset}", fontsize=10)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(fontsize=8)
        figure.savefig(output, format="svg", metadata={"Date": None, "Title": title})
