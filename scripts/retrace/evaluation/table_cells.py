"""A paper's table with this project's results in its cells: read from the files that are there, judged together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from retrace.errors import UserError
from retrace.evaluation.paper_tables import ACCURACY, Cell, Ours
from retrace.evaluation.result import Result, load_document
from retrace.evaluation.verdict import (
    CANNOT_TELL,
    LEAST_SEEDS,
    Judgment,
    Number,
    Prediction,
    Verdict,
    decide,
    holm,
    predict,
)
from retrace.machine.storage import read_json
from retrace.schemas import Row
from retrace.tasks.graders import PAPER

Status = Literal["measured", "missing", "reported only", "cannot be made"]


class Plan(Row):
    """What making a target takes, what other targets share with it included."""

    jobs: int
    gpu_hours: float
    cpu_hours: float


class TableCell(Row):
    """One cell. Numbers are in the unit of the paper's own: percent, points, or as the metric says."""

    status: Status
    reported: float | str | None = Field(description="the paper's number, as printed; null: none")
    source: str | None = Field(default=None, description="key of the table's `sources`")
    notes: list[int] = Field(default=[], description="numbers of the table's `notes`, from 1")
    value: float | None = Field(default=None, description="ours")
    low: float | None = Field(default=None, description="lower end of its 95 % interval")
    high: float | None = None
    n: int | None = Field(default=None, description="questions")
    seeds: int | None = None
    verdict: Verdict | None = None
    because: str | None = Field(default=None, description="why it is this verdict, or cannot be made")
    p_value: float | None = Field(default=None, description="of the verdict, for this number alone")
    p_holm: float | None = Field(default=None, description="the same among all comparable cells of the table")
    model: str | None = Field(default=None, description="the model that was run")
    preset: str | None = None
    targets: list[str] = Field(default=[], description="files that the cell is read from")
    plan: Plan | None = Field(default=None, description="of a missing cell, where it was asked for")


class Heading(Row):
    text: str
    group: str | None = None


class PanelRow(Row):
    head: Heading
    cells: list[TableCell]


class Panel(Row):
    """A grid. The first one is the paper's own, another one of the preset's small model."""

    title: str
    columns: list[Heading]
    rows: list[PanelRow]


class TableDocument(Row):
    """results/tables/NAME.json."""

    kind: Literal["table"] = "table"
    name: str
    paper: str
    title: str
    caption: str
    paper_title: str
    citation: str
    preset: str
    margin: float = Field(description="points: the widest prediction interval that confirms a number")
    panels: list[Panel]
    notes: list[str]
    sources: dict[str, str] = Field(description="of the paper's numbers, by their keys; `kind: text`")
    missing: Plan | None = Field(default=None, description="all missing cells together, what they share counted once")


class Measured(Row):
    """What a cell's files say. Shares, or the file's own unit."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    per_seed: list[float] = Field(default=[], description="of independent runs")
    seeds: int = 1
    comparable: bool = False
    because: str = ""
    model: str | None = None
    preset: str | None = None


def files_of(ours: Ours) -> list[str]:
    """The files that a cell is read from; none where `ours` says too little for one."""
    models = ours.models or ([ours.model] if ours.model else [])
    if not ours.task or not (ours.file or ours.method):
        return []
    between = f"transfer/{ours.trained_on}/" if ours.trained_on else ""
    names = [ours.file] if ours.file else [f"{method}_acc.json" for method in (ours.method, ours.over) if method]
    if ours.file and not ours.at:
        return []
    return [f"results/{ours.task}/{model}/{between}{name}" for model in models for name in names]


def in_percent(metric: str) -> bool:
    """Whether a metric's numbers are shares that are printed times a hundred."""
    return metric == ACCURACY or "%" in metric or metric.endswith("points")


# ---------------------------------------------------------------- reading


def read_cell(ours: Ours, files: Sequence[str], folder: Path) -> Measured:
    """What the files of a cell say. Raises UserError for a file that holds something else."""
    if ours.file:
        return _of_document(folder / files[0], ours.at or [])
    results = [load_document(folder / file, Result) for file in files]
    if ours.over:
        return _gain(results[::2], results[1::2])
    return _of_result(results[0], ours) if len(results) == 1 else _mean_of([_of_result(one, ours) for one in results])


def _of_result(result: Result, ours: Ours) -> Measured:
    about = {
        "n": result.n,
        "seeds": len(result.seeds),
        "model": result.model,
        "preset": result.preset,
        "comparable": bool(result.reported and result.reported.comparable),
        "because": _incomparable(result),
    }
    if ours.take in ("maj_at_k", "pass_at_k"):
        curve = {point.k: point.value for point in getattr(result, ours.take)}
        if (k := int(ours.k or 0)) not in curve:
            raise UserError(f"{result.method} of {result.model} on {result.task}: no {ours.take} for k = {k}")
        return Measured(value=curve[k], **about)
    return Measured(
        value=result.paper_accuracy.value,
        low=result.paper_accuracy.low,
        high=result.paper_accuracy.high,
        per_seed=list(_by_seed(result).values()),
        **about,
    )


def _incomparable(result: Result) -> str:
    if result.reported is None:
        return "not comparable: the papers have no number for this result"
    return "" if result.reported.comparable else result.reported.because


def _by_seed(result: Result) -> dict[int, float]:
    """The accuracy of each independent seed, by the paper's grader."""
    own = result.seeds if result.independent_seeds is None else result.independent_seeds
    return {row.seed: row.accuracy_by.get(PAPER, row.accuracy) for row in result.per_seed if row.seed in own}


def _mean_of(parts: Sequence[Measured]) -> Measured:
    several = min(len(part.per_seed) for part in parts)
    return Measured(
        value=sum(part.value for part in parts) / len(parts),
        n=min((part.n for part in parts if part.n), default=None),
        per_seed=[sum(part.per_seed[at] for part in parts) / len(parts) for at in range(several)],
        seeds=min(part.seeds for part in parts),
        comparable=all(part.comparable for part in parts),
        because=next((part.because for part in parts if not part.comparable), ""),
        preset=parts[0].preset,
    )


def _gain(better: Sequence[Result], over: Sequence[Result]) -> Measured:
    parts = []
    for one, other in zip(better, over, strict=True):
        first, second = _by_seed(one), _by_seed(other)
        part, base = _of_result(one, Ours()), _of_result(other, Ours())
        parts.append(
            part.model_copy(
                update={
                    "value": part.value - base.value,
                    "per_seed": [first[seed] - second[seed] for seed in first if seed in second],
                    "comparable": part.comparable and base.comparable,
                    "because": part.because or base.because,
                }
            )
        )
    return _mean_of(parts)


def _of_document(path: Path, at: Sequence[Any]) -> Measured:
    document = read_json(path)
    found = document
    for step in at:
        found = _entry(found, step)
    where = ".".join(str(step) for step in at)
    if isinstance(found, Mapping):
        number = found.get("value", found.get("accuracy"))
        more = {name: found[name] for name in ("low", "high", "n") if isinstance(found.get(name), int | float)}
        more["per_seed"] = list(found.get("per_seed", []))
    else:
        number, more = found, {}
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise UserError(f"{path}: there is no number at {where}; delete the file and make it again")
    preset = document.get("preset")
    reason = "" if preset == "paper" else f"not comparable: the preset is {preset}, not paper"
    questions = document.get("n", document.get("questions"))
    return Measured(
        value=float(number),
        seeds=len(document.get("seeds", [0])),
        comparable=not reason,
        because=reason,
        model=document.get("model"),
        preset=preset,
        **({"n": questions} if isinstance(questions, int) else {}) | more,
    )


def _entry(value: Any, step: Any) -> Any:
    """One step into a document: a key, a place in a list, or the entry of a list with these values."""
    if isinstance(step, Mapping) and isinstance(value, list):
        return next((one for one in value if all(_same(one.get(key), wanted) for key, wanted in step.items())), None)
    if isinstance(value, Mapping):
        return value.get(str(step))
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _same(found: Any, wanted: Any) -> bool:
    if found == wanted or str(found) == str(wanted):
        return True
    try:
        return abs(float(found) - float(wanted)) < 1e-9
    except (TypeError, ValueError):
        return False


# ---------------------------------------------------------------- judging


class Judged:
    """The cells of one table: filled one by one, then judged together."""

    def __init__(self, margin: float) -> None:
        self.margin = margin
        self.pending: list[tuple[TableCell, Prediction, int]] = []

    def fill(self, cell: TableCell, said: Cell, measured: Measured) -> None:
        """Put what was measured into a cell, and a verdict where the paper has a number and it needs no others."""
        scale = 100.0 if in_percent(said.said.get("metric", ACCURACY)) else 1.0
        cell.status = "measured"
        cell.value = scale * measured.value
        cell.low, cell.high = (None if end is None else scale * end for end in (measured.low, measured.high))
        cell.n, cell.seeds, cell.model, cell.preset = measured.n, measured.seeds, measured.model, measured.preset
        if not isinstance(said.value, float | int):
            return None
        if not measured.comparable:
            return _say(cell, Judgment(CANNOT_TELL, measured.because))
        if not measured.per_seed:
            return _say(cell, Judgment(CANNOT_TELL, "no number for each seed"))
        number = Number(
            float(said.value) / scale,
            said.said.get("runs", 1),
            None if said.spread is None else said.spread / scale,
            said.said.get("unit", 0.1) / 2 / scale,
        )
        found = predict(measured.per_seed, number)
        if found is None or found.seeds < LEAST_SEEDS or not found.spread:
            return _say(cell, decide(found, measured.seeds, self.margin / scale))
        self.pending.append((cell, found, measured.seeds))
        cell.p_value = found.p_value
        return None

    def finish(self) -> None:
        """Judge the comparable cells together, by Holm's correction."""
        for (cell, found, seeds), adjusted in zip(
            self.pending, holm([found.p_value for _, found, _ in self.pending]), strict=True
        ):
            cell.p_holm = adjusted
            _say(cell, decide(found, seeds, self.margin / 100, adjusted=adjusted))


def _say(cell: TableCell, judged: Judgment) -> None:
    cell.verdict, cell.because = judged.verdict, judged.because
