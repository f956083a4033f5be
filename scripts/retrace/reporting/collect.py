"""What stands in results/: documents, tables and training curves.

Nothing is computed. A faulty file is named and left out.
"""

import csv
import json
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
    """A paper's table as it stands in results/tables."""

    name: str
    title: str
    header: list[str]
    rows: list[list[str]]
    files: list[str]  # the same table in other formats, beside the page


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
    """The tables in a folder, each by its CSV; the title is the heading of the Markdown beside it."""
    for path in sorted(folder.glob("*.csv")):
        try:
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            if not rows or any(len(row) != len(rows[0]) for row in rows):
                raise ValueError("not every line has as many cells as the first; rebuild the table")
        except (OSError, ValueError, csv.Error) as error:
            left_out.append(f"{path}: {error}")
            continue
        formats = [path.with_suffix(ending) for ending in (".html", ".md", ".tex", ".csv")]
        files = [str(file.relative_to(folder.parent)) for file in formats if file.exists()]
        yield Table(path.stem, _title(path.with_suffix(".md")) or path.stem, rows[0], rows[1:], files)


def _title(markdown: Path) -> str:
    try:
        lines = markdown.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((re.sub(r"^#+\s*", "", line) for line in lines if line.startswith("#")), "")


def _curve(path: Path) -> list[dict[str, float]]:
    """Rows of a training curve: numbers by name. A last line that is being written is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append({name: value for name, value in row.items() if isinstance(value, int | float)})
    return rows
