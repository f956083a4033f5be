"""What a result should have cost: the benchmark records of the jobs behind it in Snakemake's own graph."""

import sys
from collections.abc import Iterable, Mapping

import pytest

from retrace.evaluation.cost import benchmark_files, read_benchmarks
from retrace.evaluation.result import Result, load_document
from retrace.planning.jobs import Job, planned_jobs
from workflow_fixtures import WARM


def plan_of(workflow, targets: Iterable[str], *words: str) -> list[Job]:
    """All jobs behind the targets, also those whose files are there."""
    options = ["--snakefile", str(workflow.project / "Snakefile"), "--directory", str(workflow.folder), *words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(WARM.python()))
        return planned_jobs(list(targets), options, force=True)


def benchmarks_by_job(jobs: Iterable[Job]) -> Mapping[str, set[str]]:
    """Benchmark files of the jobs behind each planned result, by the result's path."""
    jobs = list(jobs)
    makers = {file: job for job in jobs for file in job.output}
    found = {}
    for job in jobs:
        if job.rule in ("score_method", "score_transfer"):
            behind, waiting = {}, [job]
            while waiting:
                more = [makers[file] for file in waiting.pop().input if file in makers]
                waiting += [other for other in more if id(other) not in behind]
                behind |= {id(other): other for other in more}
            found[job.output[0]] = {other.benchmark for other in behind.values() if other.benchmark}
    return found


def assert_costs_are_those_of_the_graph(workflow, *words: str) -> list[str]:
    """Every result in the workflow's folder cost what the jobs behind it took; the results' paths."""
    results = sorted(
        str(path.relative_to(workflow.folder))
        for path in (workflow.folder / "results").rglob("*_acc.json")
        if "/compare/" not in str(path)
    )
    behind = benchmarks_by_job(plan_of(workflow, results, *words))
    for result, benchmarks in behind.items():
        cost = load_document(workflow.folder / result, Result).cost
        files, missing = benchmark_files(sorted(workflow.folder / file for file in benchmarks))
        wall, gpus, memory = read_benchmarks(files, None)
        assert missing == []
        assert (cost.jobs, cost.unrecorded) == (len(files), 0), result
        assert cost.wall_seconds == pytest.approx(wall, abs=0.01), result
        assert (cost.gpu_seconds, cost.peak_memory_mb) == (gpus, memory), result
    assert set(behind) <= set(results)
    return sorted(behind)
