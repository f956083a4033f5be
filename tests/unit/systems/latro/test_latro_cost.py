"""What LaTRO's training is estimated to take."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from retrace.planning.jobs import Job
from retrace.planning.work import FORMULAS, work_of
from unit.planned_jobs import sizes_of


def latro_job(**options: object) -> Job:
    given = {
        "batch-size": 384,
        "device-batch-size": 4,
        "rationales": 16,
        "epochs": 6,
        "max-steps": -1,
        "evaluations": 10,
    }
    given |= {"max-rationale-tokens": 500, "generation-batch-size": 256, "choose-on": "dev"} | options
    return Job(
        rule="train_latro",
        wildcards={"task": "gsm8k", "model": "phi35_mini", "seed": "0"},
        options={name: str(value) for name, value in given.items()},
        threads=8,
        gpus=8,
        minutes=2880,
        input=["results/models/phi35_mini", "results/data/gsm8k/train.jsonl", "results/data/gsm8k/dev.jsonl"],
        output=["results/gsm8k/phi35_mini/seed0/latro/model"],
        benchmark="benchmarks/gsm8k/phi35_mini/seed0/latro.tsv",
    )


def work(tmp_path: Path, **options: object):
    job = latro_job(**options)
    return work_of(job, sizes_of([job], tmp_path))


def test_every_training_of_latro_has_a_formula() -> None:
    assert {"train_latro", "train_latro_sft"} <= set(FORMULAS)


def test_steps_follow_from_questions_rationales_and_epochs(tmp_path: Path) -> None:
    """6 epochs of `rows` questions, 16 rationales each, 384 a step."""
    rows = sizes_of([latro_job()], tmp_path).text("gsm8k", "train").rows
    by_epochs, by_steps = work(tmp_path), work(tmp_path, **{"max-steps": math.ceil(rows * 16 * 6 / 384)})
    assert by_epochs == by_steps
    assert work(tmp_path, **{"max-steps": 600}).tokens == pytest.approx(
        work(tmp_path, **{"max-steps": 1200}).tokens / 2
    )


def test_epochs_that_count_rationales_take_fewer_steps(tmp_path: Path) -> None:
    rows = sizes_of([latro_job()], tmp_path).text("gsm8k", "train").rows
    counted = work(tmp_path, **{"epochs-count": "rationales"})
    assert counted == work(tmp_path, **{"max-steps": math.ceil(rows * 6 / 384)})
    assert counted == work(tmp_path, **{"epochs-count": "rationales", "rationales": 16})


def test_whole_groups_save_a_pass_and_more_devices_save_time(tmp_path: Path) -> None:
    assert work(tmp_path, **{"device-batch-size": 16}).seconds < work(tmp_path, **{"device-batch-size": 8}).seconds
    job = latro_job()
    few = work_of(replace(job, gpus=1), sizes_of([job], tmp_path))
    assert few.seconds > 4 * work(tmp_path).seconds
