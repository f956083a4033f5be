"""Cost of a result: time and memory from benchmark files, tokens and seconds from predictions."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field

from retrace.evaluation.predictions import Run
from retrace.machine.benchmarks import benchmark_rows, gpus_in, number, plain_mapping
from retrace.schemas import Row

_RUN = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}([^/]*)")


class Cost(Row):
    """Sums over all seeds. None: not measured."""

    wall_seconds: float | None = Field(description="sum over all jobs that led to the result, including training")
    gpu_seconds: float | None = Field(description="sum of wall seconds times GPUs over all jobs; 0 without a GPU")
    peak_memory_mb: float | None = Field(description="largest resident set of a job")
    jobs: int = Field(description="number of benchmark files found")
    unrecorded: int = Field(default=0, description="jobs whose benchmark file is missing; their costs are not included")
    prediction_seconds: float | None = Field(description="decoding time without loading the model")
    generated_tokens: int = Field(description="over all samples and all candidate steps")
    tokens_per_question: float = Field(description="the same, for one question and one seed")
    questions_per_second: float | None


def benchmark_files(names: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """Existing and missing benchmark files, each once, in the order of `names`.

    A name may contain a shell range: `test_{0..7}.tsv`.
    """
    files = dict.fromkeys(Path(file) for name in names for file in _spelled_out(str(name)))
    return [file for file in files if file.is_file()], [file for file in files if not file.is_file()]


def _spelled_out(name: str) -> list[str]:
    if match := _RUN.fullmatch(name):
        head, first, last, ending = match.groups()
        return [f"{head}{number}{ending}" for number in range(int(first), int(last) + 1)]
    return [name]


def read_benchmarks(files: Sequence[Path], gpus: int | None) -> tuple[float | None, float | None, float | None]:
    """(total wall seconds, total GPU seconds, largest resident memory in MB) over benchmark files; None if not measured.

    gpus: GPUs of a job whose record does not say how many it had; None: not known.
    """
    seconds: list[float] = []
    on_gpus: list[float | None] = []
    memory: list[float] = []
    for file in files:
        for row in benchmark_rows(file):
            if (value := number(row["s"])) is not None:
                seconds.append(value)
                of_job = gpus_in(plain_mapping(row["resources"], file)) if row.get("resources") else gpus
                on_gpus.append(None if of_job is None else value * of_job)
            if (value := number(row.get("max_rss"))) is not None:
                memory.append(value)
    if not seconds:
        return None, 0.0 if gpus == 0 else None, max(memory) if memory else None
    known = [value for value in on_gpus if value is not None]
    return sum(seconds), sum(known) if len(known) == len(on_gpus) else None, max(memory) if memory else None


def measure_cost(runs: Sequence[Run], benchmarks: Iterable[str | Path], gpus: int | None) -> Cost:
    """Costs of the runs.

    Args:
        runs: The predictions, one run per seed.
        benchmarks: Names of the benchmark files of all jobs that led to them, see `benchmark_files`.
        gpus: GPUs of a job whose record does not say how many it had; None: not known.
    """
    found, missing = benchmark_files(benchmarks)
    wall, on_gpus, memory = read_benchmarks(found, gpus)
    questions = sum(len(run.rows) for run in runs)
    measured = [run.seconds for run in runs if run.seconds is not None]
    spent = sum(measured) if len(measured) == len(runs) else None
    tokens = sum(row.tokens for run in runs for row in run.rows)
    return Cost(
        wall_seconds=None if wall is None else round(wall, 2),
        gpu_seconds=None if on_gpus is None else round(on_gpus, 2),
        peak_memory_mb=memory,
        jobs=len(found),
        unrecorded=len(missing),
        prediction_seconds=None if spent is None else round(spent, 3),
        generated_tokens=tokens,
        tokens_per_question=round(tokens / questions, 2),
        questions_per_second=round(questions / spent, 3) if spent else None,
    )
