"""What is in results/: documents, tables and training curves.

Nothing is computed. A faulty file is named and left out.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.evaluation.paired import Comparison
from retrace.evaluation.result import Result, load_document
from retrace.evaluation.table_cells import Heading, Panel, TableDocument
from retrace.evaluation.table_forms import effort, legend, short
from retrace.machine.storage import read_json

FIGURE_KINDS = ("sweep", "rounds", "pass_at_k", "icot_speed")
_MOST_BYTES = 20_000_000  # of a JSON document: rows and caches are larger, and are no documents
_NO_DOCUMENTS = {"data", "models", "shards", "state", "dag"}  # folders


@dataclass(frozen=True)
class Table:
    """One panel of a paper's table in results/tables: methods by data sets."""

    name: str
    title: str
    header: list[str]
    rows: list[list[str]]
    files: list[str]  # the same table in other formats
    about: str  # how to read it
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
    """The tables in a folder, by their documents."""
    for path in sorted(folder.glob("*.json")):
        try:
            document = load_document(path, TableDocument)
        except UserError as error:
            left_out.append(str(error))
            continue
        forms = [path.with_suffix(ending) for ending in (".html", ".md", ".tex", ".csv", ".json")]
        yield from grids(document, [str(file.relative_to(folder.parent)) for file in forms if file.exists()])


def grids(document: TableDocument, files: list[str]) -> Iterator[Table]:
    """The panels of a table, in the paper's shape: a row a method, a column a data set."""
    for number, panel in enumerate(document.panels):
        header = ["Method", *(_heading(column) for column in panel.columns)]
        rows = [[_heading(row.head), *(short(cell) for cell in row.cells)] for row in panel.rows]
        name = document.name + (f"_{number + 1}" if number else "")
        title = f"{document.paper_title}: {document.title}"
        title += f" ({panel.title})" if len(document.panels) > 1 else ""
        yield Table(name, title, header, rows, files, f"{document.caption} {legend(document)}", _first_missing(panel))


def _heading(head: Heading) -> str:
    return f"{head.group}: {head.text}" if head.group else head.text


def _first_missing(panel: Panel) -> str | None:
    for row in panel.rows:
        for column, cell in zip(panel.columns, row.cells, strict=True):
            if cell.status == "missing":
                takes = f" ({effort(cell)})" if cell.plan else ""
                target = f": snakemake {' '.join(cell.targets)}" if cell.targets else ""
                return f"{_heading(row.head)}, {_heading(column)}{takes}{target}"
    return None


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
