"""What is in results/: documents, tables and training curves.

Nothing is computed. A faulty file is named and left out.
"""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.evaluation.paired import Comparison
from retrace.evaluation.result import Result, load_document
from retrace.machine.storage import read_json

FIGURE_KINDS = ("sweep", "rounds", "pass_at_k", "icot_speed")
_MOST_BYTES = 20_000_000  # of a JSON document: rows and caches are larger, and are no documents
_NO_DOCUMENTS = {"data", "models", "shards", "state", "dag"}  # folders


@dataclass(frozen=True)
class Table:
    """A paper's table in results/tables, or one panel of it."""

    name: str
    title: str
    header: list[str]
    rows: list[list[str]]
    files: list[str]  # the same table in other formats
    about: str = ""  # how to read it
    grid: bool = False  # whether it has the paper's shape: methods by data sets
    missing: str | None = None  # the first empty cell, with its target and its cost


@dataclass
class Found:
    """Everything the page is made from; paths are relative to the folder that the workflow runs in."""

    results: list[tuple[str, Result]] = field(default_factory=list)
    comparisons: list[tuple[str, Comparison]] = field(default_factory=list)
    figures: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)  # documents by kind
    tables: list[Table] = field(default_factory=list)
    curves: dict[str, list[dict[str, float]]] = field(default_factory=dict)  # training curves by file
    claims: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # faulty files, and why


def collect(results: Path) -> Found:
    """Read every document below a results folder."""
    found = Found()
    seen: set[tuple[Any, ...]] = set()
    # The longest paths first: results/TASK/METHOD_acc.json repeats one of results/TASK/MODEL/.
    for path in sorted(_documents(results), key=lambda path: (-len(path.parts), path)):
        try:
            _take(found, path, seen)
        except (UserError, KeyError, TypeError, ValueError) as error:
            found.left_out.append(str(error) if str(path) in str(error) else f"{path}: {error}")
    found.results.sort(key=lambda pair: (pair[1].task, pair[1].model, pair[0]))
    found.comparisons.sort(key=lambda pair: pair[0])
    found.tables = list(read_tables(results / "tables", found.left_out))
    for path in sorted(results.glob("*/*/seed*/**/curves.jsonl")):
        rows = _curve(path)
        if len(rows) > 1:
            found.curves[str(path)] = rows
    return found


def _documents(results: Path) -> Iterator[Path]:
    for path in results.rglob("*.json"):
        inside = path.relative_to(results).parts[:-1]
        if not _NO_DOCUMENTS.intersection(inside) and "model" not in inside and path.stat().st_size <= _MOST_BYTES:
            yield path


def _take(found: Found, path: Path, seen: set[tuple[Any, ...]]) -> None:
    document = read_json(path)
    if path.name == "claims.json":
        found.claims += claims_of(document)
        return
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind == "result":
        result = load_document(path, Result)
        same = (result.task, result.model, result.method, result.trained_on, result.preset, tuple(result.seeds))
        if same not in seen:
            seen.add(same)
            found.results.append((str(path), result))
    elif kind == "comparison":
        found.comparisons.append((str(path), load_document(path, Comparison)))
    elif kind in FIGURE_KINDS:
        found.figures.setdefault(kind, []).append((str(path), document))


def claims_of(document: Any) -> list[dict[str, Any]]:
    """The claims in results/claims.json: a list of mappings, or a mapping that holds it as `claims`."""
    claims = document.get("claims") if isinstance(document, Mapping) else document
    if not isinstance(claims, list) or not all(isinstance(claim, Mapping) for claim in claims):
        raise ValueError("expected a list of claims")
    return [dict(claim) for claim in claims]


def read_tables(folder: Path, left_out: list[str]) -> Iterator[Table]:
    """The tables in a folder, each by its document or, where it has none, by its CSV."""
    for name in sorted({path.stem for path in folder.glob("*.*") if path.suffix in (".json", ".csv")}):
        document, lines = folder / f"{name}.json", folder / f"{name}.csv"
        path = document if document.exists() else lines
        formats = [folder / f"{name}{ending}" for ending in (".html", ".md", ".tex", ".csv", ".json")]
        files = [str(file.relative_to(folder.parent)) for file in formats if file.exists()]
        try:
            yield from grids(read_json(path), files) if path == document else [_lines(path, files)]
        except (UserError, OSError, KeyError, TypeError, AttributeError, ValueError, csv.Error) as error:
            left_out.append(str(error) if str(path) in str(error) else f"{path}: {error!r}; rebuild the table")


def _lines(path: Path, files: list[str]) -> Table:
    """A CSV with a line for each cell; the title is the heading of the Markdown file next to it."""
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("not every line has as many cells as the first")
    missing = None
    if "verdict" in rows[0]:
        cells = (dict(zip(rows[0], row, strict=True)) for row in rows[1:] if row[rows[0].index("verdict")] == "not run")
        first = next(cells, {})
        named = [first[word] for word in ("method", "dataset", "reported_model") if first.get(word)]
        missing = ", ".join(named) or None
    return Table(path.stem, _title(path.with_suffix(".md")) or path.stem, rows[0], rows[1:], files, missing=missing)


LEGEND = (
    "Ours [95 % interval] (the paper's number): ✓ reproduced, ✗ not reproduced, ? cannot tell, · not made yet, – nothing to "
    "make."
)
_MARKS = {"reproduced": " ✓", "not reproduced": " ✗", "cannot tell": " ?"}


def grids(document: Mapping[str, Any], files: list[str]) -> Iterator[Table]:
    """The panels of a table's document, in the paper's shape: a row a method, a column a data set."""
    if document.get("kind") != "table":
        raise ValueError(f"kind is {document.get('kind')!r}, a table was expected")
    for number, panel in enumerate(document["panels"]):
        header = ["Method", *(_heading(column) for column in panel["columns"])]
        rows = [[_heading(row["head"]), *(grid_cell(cell) for cell in row["cells"])] for row in panel["rows"]]
        name = document["name"] + (f"_{number + 1}" if number else "")
        title = f"{document['paper_title']}: {document['title']}"
        title += f" ({panel['title']})" if len(document["panels"]) > 1 else ""
        about = f"{document['caption']} {LEGEND}"
        yield Table(name, title, header, rows, files, about, grid=True, missing=_first_missing(panel))


def _heading(head: Mapping[str, Any]) -> str:
    return f"{head['group']}: {head['text']}" if head.get("group") else str(head["text"])


def grid_cell(cell: Mapping[str, Any]) -> str:
    """A cell in one line."""
    reported = cell.get("reported")
    papers = "" if reported is None else reported if isinstance(reported, str) else f"{reported:.1f}"
    if cell["status"] != "measured":
        return f"({papers})" if papers else "·" if cell["status"] == "missing" else "–"
    interval = "" if cell.get("low") is None else f" [{cell['low']:.1f} to {cell['high']:.1f}]"
    return f"{cell['value']:.1f}{interval}{f' ({papers})' if papers else ''}{_MARKS.get(cell.get('verdict'), '')}"


def _first_missing(panel: Mapping[str, Any]) -> str | None:
    for row in panel["rows"]:
        for column, cell in zip(panel["columns"], row["cells"], strict=True):
            if cell["status"] == "missing":
                plan = cell.get("plan")
                takes = ""
                if plan:
                    kind, hours = ("GPU", plan["gpu_hours"]) if plan["gpu_hours"] else ("processor", plan["cpu_hours"])
                    takes = f" ({plan['jobs']:,} jobs, about {hours:.1f} {kind} hours)"
                target = f": snakemake {' '.join(cell['targets'])}" if cell.get("targets") else ""
                return f"{_heading(row['head'])}, {_heading(column)}{takes}{target}"
    return None


def _title(markdown: Path) -> str:
    try:
        lines = markdown.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((re.sub(r"^#+\s*", "", line) for line in lines if line.startswith("#")), "")


def _curve(path: Path) -> list[dict[str, float]]:
    """Rows of a training curve: finite numbers by name. An incomplete last line is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
            rows.append({name: value for name, value in numbers.items() if math.isfinite(value)})
    return rows
