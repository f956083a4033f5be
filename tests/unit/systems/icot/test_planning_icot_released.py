"""What implicit chain of thought is estimated to take where a released pair stands in for its trainings."""

from pathlib import Path

from retrace.planning.jobs import Job
from retrace.planning.work import work_of
from unit.planned_jobs import sizes_of


def job(rule: str, **options: str) -> Job:
    return Job(
        rule=rule,
        wildcards={"task": "gsm8k", "model": "gpt2", "seed": "0"},
        options=options,
        threads=8,
        gpus=1,
        minutes=2880,
        input=["results/models/gpt2", "results/data/gsm8k/test.jsonl"],
        output=[f"results/gsm8k/gpt2/{rule}"],
        benchmark=f"benchmarks/gsm8k/gpt2/{rule}.tsv",
    )


def seconds(given: Job, folder: Path) -> float:
    return work_of(given, sizes_of([given], folder)).seconds


def test_a_released_pair_is_copied_not_trained(tmp_path: Path) -> None:
    trained = {
        "released-student": "none",
        "released-emulator": "none",
        "train": "results/data/gsm8k/train.jsonl",
        "epochs": "40",
        "batch-size": "32",
    }
    released = trained | {"released-student": "student", "released-emulator": "emulator"}
    assert 10 * seconds(job("train_icot", **released), tmp_path) < seconds(job("train_icot", **trained), tmp_path)


def test_only_the_ways_that_are_timed_cost_time(tmp_path: Path) -> None:
    given = {"data": "results/data/gsm8k/test.jsonl", "questions": "1319", "batch-sizes": "1", "repeats": "3"}
    alone = seconds(job("measure_icot_speed", icot="icot/model", **given), tmp_path)
    ways = {"no-cot": "no_cot/model", "explicit-cot": "explicit_cot/model", "icot": "icot/model"}
    assert seconds(job("measure_icot_speed", **ways, **given), tmp_path) > 3 * alone
