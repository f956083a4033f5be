"""Cost report: benchmark records summed by rule, and disk space of each rule's outputs."""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from retrace.machine.storage import made_with
from retrace.planning.records import Record
from retrace.schemas import Row

OTHER = "(no rule)"


class RuleSpent(Row):
    """All measured jobs and all files of one rule. None: not recorded."""

    rule: str
    jobs: int = Field(description="benchmark records; a job that ran again counts once, with its last run")
    wall_seconds: float = Field(description="sum over all jobs")
    longest_seconds: float
    cpu_seconds: float | None = Field(description="sampled by Snakemake, which misses a job's last seconds")
    gpu_seconds: float | None = Field(description="wall seconds times requested GPUs")
    peak_memory_mb: float | None = Field(description="largest resident memory of a job")
    unrecorded: int = Field(description="records that do not say how many GPUs the job had")
    disk_bytes: int = Field(description="disk space of existing outputs")
    files: int


class CostReport(Row):
    """The document that scripts/report_cost.py writes with --json."""

    kind: Literal["cost_report"] = "cost_report"
    targets: list[str] = Field(description="empty: everything in this folder")
    rules: list[RuleSpent]
    jobs: int
    wall_seconds: float
    cpu_seconds: float | None
    gpu_seconds: float | None
    peak_memory_mb: float | None
    disk_bytes: int


def total(values: Iterable[float | None]) -> float | None:
    """Sum of recorded values; None if there are none."""
    there = [value for value in values if value is not None]
    return round(sum(there), 2) if there else None


def metadata(folder: Path = Path(".snakemake")) -> Iterator[tuple[str, dict[str, Any]]]:
    """What Snakemake has written down about each file or folder that a job made: its path, and the record."""
    for file in (folder / "metadata").rglob("*"):
        if file.is_file():
            # The name is the output's path; a long one is cut into folders, each marked with an @.
            coded = "".join(part.removeprefix("@") for part in file.relative_to(folder / "metadata").parts)
            try:
                record = json.loads(file.read_text(encoding="utf-8"))
                path = base64.urlsafe_b64decode(coded).decode()
            except ValueError:
                continue  # half-written by a run that was killed
            if isinstance(record, dict) and isinstance(record.get("rule"), str):
                yield path, record


def written_by(folder: Path = Path(".snakemake")) -> dict[str, str]:
    """The rule that wrote each file or folder, from Snakemake's metadata."""
    return {path: record["rule"] for path, record in metadata(folder)}


def files_by_rule(
    rules: Mapping[str, str],
    results: Path = Path("results"),
    only: Iterable[str] | None = None,
    leave_out: Path | None = None,
) -> dict:
    """(bytes, files) of each rule's outputs under `results`; files of no rule, such as training states, under OTHER.

    rules: of every output. only: the outputs that count; None: all. leave_out: a file that does not count.
    """
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    outputs = None if only is None else set(only)
    for file in sorted(results.rglob("*")):
        if file == leave_out or not file.is_file() or file.is_symlink():
            continue
        name = Path("results") / file.relative_to(results)
        names = [made_with(str(name)), *map(str, name.parents)]
        if outputs is None or not outputs.isdisjoint(names):
            sums = found[next((rules[path] for path in names if path in rules), OTHER)]
            sums[0] += file.stat().st_size
            sums[1] += 1
    return {rule: tuple(sums) for rule, sums in found.items()}


def report(targets: Sequence[str], records: Sequence[Record], files: dict[str, tuple[int, int]]) -> CostReport:
    """Sums by rule, the longest first. files: bytes and number of each rule's outputs."""
    by_rule: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_rule[record.job.rule or OTHER].append(record)
    found = []
    for rule in {**by_rule, **files}:
        some = by_rule.get(rule, [])
        disk, number = files.get(rule, (0, 0))
        found.append(
            RuleSpent(
                rule=rule,
                jobs=len(some),
                wall_seconds=total(record.seconds for record in some) or 0.0,
                longest_seconds=max((record.seconds for record in some), default=0.0),
                cpu_seconds=total(record.cpu_seconds for record in some),
                gpu_seconds=total(record.gpu_seconds for record in some),
                peak_memory_mb=max((r.memory_mb for r in some if r.memory_mb is not None), default=None),
                unrecorded=sum(not record.settings_known for record in some),
                disk_bytes=disk,
                files=number,
            )
        )
    found.sort(key=lambda row: (-row.wall_seconds, -row.disk_bytes, row.rule))
    return CostReport(
        targets=list(targets),
        rules=found,
        jobs=len(records),
        wall_seconds=total(row.wall_seconds for row in found) or 0.0,
        cpu_seconds=total(row.cpu_seconds for row in found),
        gpu_seconds=total(row.gpu_seconds for row in found),
        peak_memory_mb=max((row.peak_memory_mb for row in found if row.peak_memory_mb is not None), default=None),
        disk_bytes=sum(row.disk_bytes for row in found),
    )
