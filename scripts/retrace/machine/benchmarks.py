"""Parsers of resources in Snakemake's benchmark files and job descriptions."""

import ast
import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrace.errors import UserError


def number(text: str | None) -> float | None:
    """Parse a cell of a benchmark file; None for `-`, `NA`, `nan` or an empty cell (the job was too short)."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def benchmark_rows(file: Path) -> list[dict[str, str | None]]:
    """Rows of a benchmark file as mappings. Raises UserError if it is not a Snakemake benchmark file."""
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: unreadable benchmark file ({error}); delete it and run the job again") from None
    if rows and "s" not in rows[0]:
        raise UserError(f"{file}:1: no column `s`, so this is no benchmark file of Snakemake; delete it")
    return rows


def count_of(resources: Mapping[str, Any], *names: str) -> int:
    """Value of the first of these resources that is a number."""
    for name in names:
        if isinstance(resources.get(name), int | float):
            return int(resources[name])
    return 0


def gpus_in(resources: Mapping[str, Any]) -> int:
    """Total GPUs of a job over all nodes."""
    return count_of(resources, "gpus", "gpu") * max(1, count_of(resources, "nodes"))


def plain_mapping(text: str | None, file: Path) -> dict[str, Any]:
    """Parse a mapping that Snakemake printed as a Python literal."""
    try:
        value = ast.literal_eval(text or "{}")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise UserError(f"{file}: malformed settings ({(text or '')[:60]!r}); delete the file") from None
    return value if isinstance(value, dict) else {}
