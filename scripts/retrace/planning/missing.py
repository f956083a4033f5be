"""What it takes to make files that are not there: jobs and hours for each, and for all together."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrace.planning.assumptions import Assumptions
from retrace.planning.estimate import Estimator, busy
from retrace.planning.graph import edges_of
from retrace.planning.jobs import Job, planned_jobs
from retrace.planning.records import read_records
from retrace.planning.sizes import Sizes
from retrace.planning.work import work_of


@dataclass(frozen=True)
class Effort:
    """Jobs that would run, and their likely hours."""

    jobs: int
    gpu_hours: float
    cpu_hours: float


def efforts(
    jobs: Sequence[Job], targets: Sequence[str], hours_of: Callable[[Job], tuple[float, float]]
) -> tuple[dict[str, Effort], Effort]:
    """The effort for each target, whatever other targets share with it, and for all together.

    jobs: the plan of all targets. hours_of: GPU and processor hours of a job. A target that no job makes takes none.
    """
    hours = [hours_of(job) for job in jobs]
    needs: list[list[int]] = [[] for _ in jobs]
    for before, after in edges_of(jobs):
        needs[after].append(before)
    maker = {file: number for number, job in enumerate(jobs) for file in job.output}

    def of(numbers: set[int]) -> Effort:
        return Effort(len(numbers), sum(hours[at][0] for at in numbers), sum(hours[at][1] for at in numbers))

    def behind(target: str) -> set[int]:
        found: set[int] = set()
        waiting = [maker[target]] if target in maker else []
        while waiting:
            if (number := waiting.pop()) not in found:
                found.add(number)
                waiting += needs[number]
        return found

    by_target = {target: behind(target) for target in targets}
    return {target: of(numbers) for target, numbers in by_target.items()}, of(set().union(*by_target.values()))


def effort_of(
    targets: Sequence[str], configuration: Mapping[str, Any], snakefile: Path, benchmarks: Path
) -> tuple[dict[str, Effort], Effort]:
    """`efforts` from a dry run, by the formulas that are registered.

    configuration: the user's, as Snakemake has it. Raises UserError if it cannot be planned.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "configuration.json")
        file.write_text(json.dumps(dict(configuration)), encoding="utf-8")
        # Nothing but the configuration: the profile of this folder may say where jobs run, which costs no hours.
        jobs = planned_jobs(targets, ["--snakefile", str(snakefile), "--configfile", str(file)])
    sizes = Sizes(snakefile.parent / "config", jobs, Assumptions())
    estimator = Estimator(read_records(benchmarks), sizes)

    def hours_of(job: Job) -> tuple[float, float]:
        guess = estimator.guess(job, work_of(job, sizes))
        return guess.seconds / 3600 * job.gpus, guess.seconds / 3600 * busy(job, guess)

    return efforts(jobs, targets, hours_of)
