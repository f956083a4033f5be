"""How the results were made: the jobs that Snakemake has recorded, one box for jobs that differ only in shard and seed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrace.planning.drawing import layout_named, size_of
from retrace.planning.graph import Box, Graph
from retrace.planning.records import Record
from retrace.planning.spent import metadata

MOST_BOXES = 120  # in a readable drawing; the list below it has all steps
_SEED = re.compile(r"\bseed\d+\b")
_SHARD = re.compile(r"((?:shards/|/)(?:\w+_)?)\d+(?=\.)")


@dataclass
class Step:
    """Jobs of one rule that differ only in shard and seed."""

    rule: str
    name: str  # the path that they have in common, without the folders of results
    jobs: set[str] = field(default_factory=set)  # by their logs
    outputs: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    command: str = ""
    log: str = ""
    state: str = "done"
    seconds: float = 0.0
    recorded: float | None = None  # wall seconds of the benchmark records

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.name


def collapsed(path: str) -> str:
    """A path without the numbers of seed and shard."""
    return _SHARD.sub(r"\1*", _SEED.sub("seed*", path))


def steps_of(records: Iterable[tuple[str, Mapping[str, Any]]], measured: Sequence[Record] = ()) -> list[Step]:
    """The steps behind recorded outputs, in the order in which they were made.

    A step is missing if an output is gone, stale if one is older than what it was made from. Shards are deleted once they
    are joined, and so are never missing.
    """
    found: dict[tuple[str, str], Step] = {}
    first: dict[tuple[str, str], float] = {}
    spent: dict[str, float] = {}
    for record in measured:
        name = collapsed(str(record.job.benchmark or "")).removeprefix("benchmarks/").removesuffix(".tsv")
        spent[name] = spent.get(name, 0.0) + record.seconds
    for path, record in records:
        logs = [str(log) for log in record.get("log") or []]
        name = _name(logs[0] if logs else path)
        step = found.setdefault((record["rule"], name), Step(record["rule"], name))
        began, ended = (_number(record.get(word)) for word in ("starttime", "endtime"))
        job = logs[0] if logs else path
        if job not in step.jobs:
            step.seconds += max(0.0, ended - began)
        step.jobs.add(job)
        step.outputs.add(path)
        step.inputs |= {str(name) for name in record.get("input") or []}
        step.command, step.log = str(record.get("shellcmd") or ""), logs[0] if logs else ""
        step.recorded = spent.get(name)
        first[step.key] = min(first.get(step.key, began), began)
        if record.get("incomplete"):
            step.state = "missing"
    for step in found.values():
        step.state = _state(step)
    return sorted(found.values(), key=lambda step: (first[step.key], step.key))


def _name(path: str) -> str:
    name = collapsed(path)
    for start in ("logs/", "results/"):
        name = name.removeprefix(start)
    return re.sub(r"\.log$", "", name)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _time(path: Path) -> float | None:
    """When a file was made, of a folder when its rule had written it; None where it is gone."""
    try:
        stamp = path / ".snakemake_timestamp"
        return (stamp if stamp.exists() else path).stat().st_mtime
    except OSError:
        return None


def _state(step: Step) -> str:
    if step.state == "missing":
        return step.state
    times = {path: _time(Path(path)) for path in step.outputs}
    kept = [time for time in times.values() if time is not None]
    if any(time is None and "/shards/" not in path for path, time in times.items()):
        return "missing"
    made = [time for path in step.inputs if (time := _time(Path(path))) is not None]
    return "stale" if kept and made and min(kept) < max(made) - 1e-6 else "done"


def graph_of(steps: Sequence[Step]) -> Graph:
    """Boxes of the steps and arrows from what is needed to what is made."""
    maker = {path: number for number, step in enumerate(steps) for path in step.outputs}
    edges = {
        (maker[path], number)
        for number, step in enumerate(steps)
        for path in step.inputs
        if path in maker and maker[path] != number
    }
    boxes = [Box(step.rule, (_short(step.name),), len(step.jobs), 0) for step in steps]
    return Graph(boxes, sorted(edges))


def _short(name: str, most: int = 34) -> str:
    """The end of a path, cut between two folders."""
    if len(name) <= most:
        return name
    parts = name.split("/")
    while len(parts) > 1 and len("…/" + "/".join(parts)) > most:
        parts.pop(0)
    short = "…/" + "/".join(parts)
    return short if len(short) <= most else "…" + name[-most + 1 :]


def history(folder: Path, measured: Sequence[Record]) -> dict[str, Any]:
    """What the page shows: steps with state, command, log and cost, and the drawing where it can be read."""
    steps = steps_of(metadata(folder), measured)
    documents = [
        {
            "rule": step.rule,
            "name": step.name,
            "jobs": len(step.jobs),
            "state": step.state,
            "command": step.command,
            "log": step.log,
            "seconds": round(step.seconds if step.recorded is None else step.recorded, 1),
        }
        for step in steps
    ]
    return {"steps": documents, "drawing": _drawing(steps) if 0 < len(steps) <= MOST_BOXES else None}


def _drawing(steps: Sequence[Step]) -> dict[str, Any]:
    graph = graph_of(steps)
    layout = layout_named("auto")(graph)
    boxes = []
    for box, step, (x, y) in zip(graph.boxes, steps, layout.boxes, strict=True):
        width, height = size_of(box)
        boxes.append(
            {
                "x": round(x - width / 2, 1),
                "y": round(y - height / 2, 1),
                "width": round(width, 1),
                "height": round(height, 1),
                "heading": box.heading,
                "lines": list(box.lines),
                "state": step.state,
            }
        )
    return {"width": round(layout.width, 1), "height": round(layout.height, 1), "boxes": boxes, "paths": layout.paths}
