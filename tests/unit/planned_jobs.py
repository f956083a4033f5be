"""Planned jobs and benchmark records for the tests of costs."""

from pathlib import Path

from retrace.planning.assumptions import Assumptions
from retrace.planning.jobs import Job
from retrace.planning.sizes import Sizes
from retrace.systems.costs import register_formulas

register_formulas()

PROJECT = Path(__file__).parents[2]
HEADER = "s\th:m:s\tmax_rss\tcpu_time\trule_name\twildcards\tparams\tthreads\tresources\tinput_size_mb"
SHORT = "s\th:m:s\tmax_rss\tcpu_time"


def sft_job(seed: int = 0, epochs: str = "2", gpus: int = 1, task: str = "gsm8k") -> Job:
    folder = f"results/{task}/flan_t5_large/seed{seed}"
    return Job(
        rule="train_sft",
        wildcards={"task": task, "model": "flan_t5_large", "seed": str(seed)},
        options={"batch-size": "32", "device-batch-size": "8", "epochs": epochs, "max-steps": "-1", "evaluations": "1"},
        threads=8,
        gpus=gpus,
        minutes=720,
        input=["results/models/flan_t5_large", f"results/data/{task}/train.jsonl", f"results/data/{task}/dev.jsonl"],
        output=[f"{folder}/sft/model"],
        benchmark=f"benchmarks/{task}/flan_t5_large/seed{seed}/sft.tsv",
    )


def write_record(folder: Path, job: Job, seconds: float, extended: bool = True) -> None:
    """A record as Snakemake writes it."""
    file = folder / job.benchmark.removeprefix("benchmarks/")
    file.parent.mkdir(parents=True, exist_ok=True)
    cells = [f"{seconds:.2f}", "0:00:01", "900.50", f"{seconds / 2:.2f}"]
    if extended:
        words = [word for name, value in job.options.items() for word in (f"--{name}", value)]
        params = {"task": "1585cd6b384b", "model": "73737ab67ffd", "options": words, "state": "results/state"}
        resources = {"tmpdir": "/tmp", "gpus": job.gpus, "mem": "4 GB", "_cores": 8}
        sizes = dict.fromkeys(job.input, 1.0)
        cells += [job.rule, str(dict(job.wildcards)), str(params), str(job.threads), str(resources), str(sizes)]
    file.write_text("\t".join([*(HEADER if extended else SHORT).split("\t")]) + "\n" + "\t".join(cells) + "\n")


def sizes_of(jobs: list[Job], results: Path, **assumed: float) -> Sizes:
    return Sizes(PROJECT / "config", jobs, Assumptions(**assumed), results / "results")
