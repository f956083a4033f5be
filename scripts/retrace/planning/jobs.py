"""Planned jobs, read from a dry run of Snakemake; the options of a job, read from its command."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.benchmarks import gpus_in

PLUGINS = Path(__file__).resolve().parents[2] / "snakemake_plugins"
_COPY = re.compile(r"(?<=/seed)\d+(?=/)|(?<=[/_])\d+(?=\.tsv$)")


@dataclass(frozen=True)
class Job:
    """One planned or measured job. options: options of its script, `--max-steps 20` as {"max-steps": "20"}."""

    rule: str
    wildcards: Mapping[str, str]
    options: Mapping[str, str]
    threads: int = 1
    gpus: int = 0
    minutes: float | None = None  # its time limit
    input: Sequence[str] = field(default=())
    output: Sequence[str] = field(default=())
    benchmark: str | None = None
    input_mb: Mapping[str, float] = field(default_factory=dict)  # of a measured job: sizes of its input files

    @property
    def kind(self) -> str:
        """The benchmark file without the numbers of seed and shard: the same for jobs that differ in nothing else."""
        return _COPY.sub("*", self.benchmark or "")

    @property
    def is_shard(self) -> bool:
        """Whether its output is a shard, which is joined with others and then deleted."""
        return "shard" in self.wildcards


def options_of(argv: Iterable[str]) -> dict[str, str]:
    """`--name value ...` as {"name": "value ..."}; without scripts and redirections."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for word in argv:
        if word in (">", "2>", "2>&1", "&&", "|"):
            break
        if word.startswith("--") and len(word) > 2:
            current = found.setdefault(word[2:], [])
        elif word.endswith(".py"):  # a launcher's options come before the script that it starts
            current = None
        elif current is not None:
            current.append(word)
    return {name: " ".join(values) for name, values in found.items()}


def options_of_command(command: str) -> dict[str, str]:
    """Options in a job's shell command; empty if it cannot be parsed."""
    try:
        return options_of(shlex.split(command))
    except ValueError:
        return {}


def planned_job(row: Mapping[str, Any]) -> Job:
    """Parse one line of the logger plugin `retrace-jobs`."""
    minutes = row["resources"].get("runtime")
    return Job(
        rule=row["rule"],
        wildcards={name: str(value) for name, value in row["wildcards"].items()},
        options=options_of_command(row["command"]),
        threads=int(row["threads"]),
        gpus=gpus_in(row["resources"]),
        minutes=float(minutes) if isinstance(minutes, int | float) else None,
        input=row["input"],
        output=row["output"],
        benchmark=row["benchmark"],
    )


def planned_jobs(targets: Sequence[str], argv: Sequence[str] = (), force: bool = False) -> list[Job]:
    """The jobs that Snakemake would run for the targets, in no particular order, from a dry run.

    argv: more options for Snakemake. force: include jobs whose output is up to date.
    Raises UserError with Snakemake's explanation if it cannot plan them.
    """
    # Options that take any number of words (--config, --logger) must not swallow a target, so targets come first.
    command = [sys.executable, "-m", "snakemake", *targets, *argv, *(["--forceall"] if force else [])]
    command += ["--dry-run", "--logger", "retrace-jobs"]
    path = os.pathsep.join([str(PLUGINS), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    if done.returncode != 0:
        faults = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("Using ")]
        few = " ".join(targets[:3]) + (f" and {len(targets) - 3} more" if len(targets) > 3 else "")
        raise UserError(f"snakemake cannot plan {few or 'the workflow'}: {' '.join(faults)[-1500:]}")
    return [planned_job(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
