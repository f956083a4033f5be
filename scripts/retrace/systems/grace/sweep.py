"""Accuracy over the discriminator's weight: sweeps of several seeds as one curve, together with the paper's."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retrace.errors import UserError
from retrace.evaluation.intervals import wilson
from retrace.evaluation.reported import PaperFile, same_name
from retrace.machine.storage import read_json
from retrace.schemas import Row


class SweepPoint(BaseModel):
    """One point of one seed's sweep; other keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    beta: float = Field(ge=0, le=1)
    temperature: float | None = None
    accuracy: float = Field(ge=0, le=1, allow_inf_nan=False)
    n: int = Field(ge=1)


class Sweep(BaseModel):
    """sweep.json of one seed."""

    model_config = ConfigDict(extra="ignore")

    points: list[SweepPoint] = Field(min_length=1)
    chosen: dict[str, Any] = {}


class CurvePoint(Row):
    """One point over all seeds; accuracies are between 0 and 1."""

    beta: float
    temperature: float | None
    accuracy: float = Field(description="mean over seeds")
    per_seed: list[float]
    n: int = Field(description="questions, the same for every seed")
    # A Wilson interval with n questions for any number of seeds: all seeds answer the same questions.
    low: float = Field(description="lower end of the 95 % interval of the mean")
    high: float


class ReportedPoint(Row):
    beta: float
    accuracy: float
    percent: float
    model: str
    split: str
    source: str
    source_kind: str


class Curve(Row):
    """results/{task}/{model}/grace_beta_sweep.json."""

    kind: Literal["sweep"] = "sweep"
    task: str
    model: str
    split: str
    preset: str | None = None
    seeds: list[int]
    points: list[CurvePoint]
    chosen: list[dict[str, Any]] = Field(description="what each seed chose on the development split")
    reported: list[ReportedPoint] = Field(description="the paper's curve for this task, with the paper's model")


def load_sweep(path: str | Path) -> Sweep:
    """Read one seed's sweep. Raises UserError naming the file and what is wrong."""
    try:
        return Sweep.model_validate(read_json(path))
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{path}: {place}: {fault['msg']}; delete the file and sweep again") from None


def aggregate(paths: Sequence[str | Path], seeds: Sequence[int]) -> tuple[list[CurvePoint], list[dict[str, Any]]]:
    """Combine one sweep per seed into one curve. Raises UserError if points or question counts differ."""
    if len(paths) != len(seeds) or len(set(seeds)) != len(seeds):
        raise UserError(f"--sweeps names {len(paths)} files and --seeds {list(seeds)}; give one file for each seed")
    sweeps = [load_sweep(path) for path in paths]
    grids = []
    for path, sweep in zip(paths, sweeps, strict=True):
        grid = {(point.beta, point.temperature): point for point in sweep.points}
        if len(grid) != len(sweep.points):
            raise UserError(f"{path}: a point appears twice; delete the file and sweep again")
        grids.append(grid)
    curve = []
    for key in sorted(grids[0], key=lambda key: (key[1] or 0.0, key[0])):
        for path, grid in zip(paths, grids, strict=True):
            if grid.keys() != grids[0].keys() or grid[key].n != grids[0][key].n:
                raise UserError(
                    f"{path}: its points or questions differ from those of {paths[0]}; delete both and sweep again"
                )
        n = grids[0][key].n
        values = [grid[key].accuracy for grid in grids]
        mean = sum(values) / len(values)
        low, high = wilson(min(mean * n, n), n)
        curve.append(
            CurvePoint(beta=key[0], temperature=key[1], accuracy=mean, per_seed=values, n=n, low=low, high=high)
        )
    return curve, [sweep.chosen for sweep in sweeps]


_BETA = re.compile(r"GRACE, beta=([\d.]+)")


def reported_curve(papers: Sequence[PaperFile], datasets: Sequence[str]) -> list[ReportedPoint]:
    """The papers' points for a data set, ordered by weight; empty if there are none."""
    points = []
    for paper in papers:
        for row in paper.rows:
            match = _BETA.fullmatch(row.method)
            if match and isinstance(row.value, float) and any(same_name(row.dataset, name) for name in datasets):
                points.append(
                    ReportedPoint(
                        beta=float(match[1]),
                        accuracy=round(row.value / 100, 6),
                        percent=row.value,
                        model=row.model,
                        split=row.split,
                        source=f"{row.table}, {paper.sources[row.source]}",
                        source_kind=row.source_kind,
                    )
                )
    return sorted(points, key=lambda point: point.beta)


# Colors that remain distinct with common kinds of color blindness; markers differ, too.
_STYLES = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v")]


def draw_curve(curve: Curve, output: str | Path) -> None:
    """Write the figure as SVG; equal curves give equal bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "retrace", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for number, temperature in enumerate(dict.fromkeys(point.temperature for point in curve.points)):
            points = [point for point in curve.points if point.temperature == temperature]
            color, marker = _STYLES[number % len(_STYLES)]
            middle = [100 * point.accuracy for point in points]
            label = f"{curve.model}, reproduced" + (f", temperature {temperature:g}" if temperature is not None else "")
            axes.errorbar(
                [point.beta + 0.008 * number for point in points],  # shifted, so that all intervals are visible
                middle,
                yerr=[
                    [value - 100 * point.low for value, point in zip(middle, points, strict=True)],
                    [100 * point.high - value for value, point in zip(middle, points, strict=True)],
                ],
                color=color,
                marker=marker,
                elinewidth=0.9,
                capsize=3,
                label=label,
                zorder=3,
            )
        for model in dict.fromkeys(point.model for point in curve.reported):
            points_of = [point for point in curve.reported if point.model == model]
            label = f"{model}, reported ({points_of[0].split}, {points_of[0].source_kind})"
            xs, ys = [point.beta for point in points_of], [point.percent for point in points_of]
            axes.plot(xs, ys, color="#555555", linestyle="--", marker="x", label=label)
        for choice in curve.chosen:
            if isinstance(choice.get("beta"), int | float):
                axes.axvline(choice["beta"], color="#999999", linewidth=0.8, linestyle=":", zorder=1)
        axes.set_xlabel("beta, the discriminator's weight (dotted: chosen)")
        axes.set_ylabel("accuracy, %")
        seeds = f"{len(curve.seeds)} seed" + ("s" if len(curve.seeds) > 1 else "")
        title = f"GRACE on {curve.task}, {curve.split} split: {curve.points[0].n} questions, {seeds}"
        axes.set_title(title + (f", preset {curve.preset}" if curve.preset else ""), fontsize=10)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(fontsize=8)
        figure.savefig(output, format="svg", metadata={"Date": None, "Title": title})
