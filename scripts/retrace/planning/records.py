"""Measured jobs: Snakemake's benchmark records under benchmarks/, with the settings that they were made with.

A record is a line of `benchmarks/.../*.tsv`. The profiles of this project set `benchmark-extended`, so that a record also
holds rule, wildcards, params, threads, resources and the sizes of the inputs. Without it the file's path alone says which
job it was. The record is that of the attempt that finished: what a killed
attempt had taken before is not in it.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.benchmarks import benchmark_rows, gpus_in, number, plain_mapping
from retrace.planning.jobs import Job, options_of


@dataclass(frozen=True)
class Record:
    """One measured job. None: not recorded (a job too short, or a record without settings)."""

    file: Path
    job: Job
    seconds: float
    cpu_seconds: float | None
    memory_mb: float | None
    settings_known: bool

    @property
    def gpu_seconds(self) -> float | None:
        return self.seconds * self.job.gpus if self.settings_known else None


def options_of_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Options of a job's script from the params of its rule: argument lists, texts, and named values."""
    flags: dict[str, str] = {}
    named: dict[str, str] = {}
    for name, value in params.items():
        words = [str(word) for word in value] if isinstance(value, list | tuple) else _words(str(value))
        if any(word.startswith("--") for word in words):
            flags |= options_of(words)
        elif words:
            named[name.replace("_", "-")] = " ".join(words)
    return named | flags


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def _record(row: Mapping[str, str | None], file: Path, name: str) -> Record | None:
    seconds = number(row["s"])
    if seconds is None:
        if row["s"] in ("", "-", "NA", "nan", None):
            return None
        raise UserError(f"{file}: {str(row['s'])[:40]!r} in column `s` is not a number of seconds; delete the file")
    known = bool(row.get("rule_name")) and "params" in row
    if known:
        resources = plain_mapping(row.get("resources"), file)
        threads = number(row.get("threads"))
        wildcards = {key: str(value) for key, value in plain_mapping(row.get("wildcards"), file).items()}
        job = Job(
            rule=str(row["rule_name"]),
            wildcards=wildcards,
            options=options_of_params(plain_mapping(row.get("params"), file)),
            threads=int(threads) if threads else 1,
            gpus=gpus_in(resources),
            benchmark=name,
            input_mb={path: float(size) for path, size in plain_mapping(row.get("input_size_mb"), file).items()},
        )
    else:
        job = Job("", {}, {}, benchmark=name)
    return Record(file, job, seconds, number(row.get("cpu_time")), number(row.get("max_rss")), known)


def read_records(folder: str | Path) -> list[Record]:
    """All measured jobs under `folder`; empty if it does not exist.

    Raises UserError naming a file that is not a benchmark record.
    """
    folder = Path(folder)
    files: Iterable[Path] = sorted(folder.rglob("*.tsv"))
    found = []
    for file in files:
        name = "benchmarks/" + file.relative_to(folder).as_posix()
        found += [record for row in benchmark_rows(file) if (record := _record(row, file, name))]
    return found
