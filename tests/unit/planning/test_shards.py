"""How many shards a step gets: by the estimate, from the configuration alone, by doubling."""

from dataclasses import replace
from pathlib import Path

import pytest

from retrace.planning.jobs import Job
from retrace.planning.shards import MOST_SHARDS, shards_within
from retrace.planning.work import AUTOMATIC_ROWS, Costing, work_of
from unit.planned_jobs import PROJECT, sizes_of

GUIDED = {"candidates": "20", "max-steps": "8", "max-step-tokens": "60", "samples": "40", "beta": "0.7"}
VOTE = Job(
    "decode",
    {
        "task": "gsm8k",
        "model": "flan_t5_large",
        "checkpoint": "sft",
        "decoder": "grace_self_consistency",
        "split": "test",
    },
    {**GUIDED, "batch-size": "64", "max-new-tokens": "256"},
    gpus=1,
    input=["results/data/gsm8k/test.jsonl"],
)


def shards(job: Job = VOTE, hours: float = 2.0, least: int = 4, limit: int = -1) -> int:
    return shards_within(hours, least, job, {"test": limit}, PROJECT / "config")


def hours_of(job: Job, count: int) -> float:
    sizes = sizes_of([], Path("/nowhere"))
    return work_of(replace(job, options={**job.options, "shards": str(count)}), sizes).seconds / 3600


def test_a_long_step_is_split_until_no_shard_is_long() -> None:
    count = shards()
    assert count > 4
    assert count & (count - 1) == 0
    assert hours_of(VOTE, count) <= 2 < hours_of(VOTE, count // 2)


def test_a_short_step_keeps_its_number() -> None:
    greedy = replace(VOTE, options={"batch-size": "64", "max-new-tokens": "256"})
    assert hours_of(greedy, 4) < 2
    assert shards(greedy) == 4
    assert shards(greedy, least=1) == 1


def test_there_is_an_end_to_it() -> None:
    """More shards do not shorten what a shard begins with, and a cluster takes so many jobs and no more."""
    assert shards(hours=1e-6) <= MOST_SHARDS
    start = replace(VOTE, options={"batch-size": "512", "max-new-tokens": "8"})
    assert shards(start, hours=1e-6, least=3) < 16


def test_few_questions_need_few_shards() -> None:
    assert shards(limit=40) == 4


@pytest.mark.parametrize("rule", ["sample_trajectories", "sample_round"])
def test_sampling_is_split_too(rule: str) -> None:
    wildcards = {"task": "gsm8k", "model": "llama_7b", "generator": "base", "sampled": "dpo_st_round1"}
    options = {"samples-per-pass": "64", "samples": "1000", "incorrect": "4000000", "batch-size": "64"}
    job = Job(rule, wildcards, options, gpus=1, input=["results/data/gsm8k/train.jsonl"])
    many = shards_within(2.0, 8, job, {}, PROJECT / "config")
    assert many > 8
    assert hours_of(job, many) <= 2 or many == MOST_SHARDS


def test_data_that_is_there_changes_no_plan(tmp_path, monkeypatch) -> None:
    before = shards()
    data = tmp_path / "results" / "data" / "gsm8k"
    data.mkdir(parents=True)
    (data / "test.jsonl").write_text('{"question": "?", "answer": "1", "steps": ["1"]}\n')
    monkeypatch.chdir(tmp_path)
    assert shards() == before


def test_batches_by_memory_are_taken_for_large_ones() -> None:
    job = replace(VOTE, options={**VOTE.options, "batch-size": "auto"})
    assert Costing(job, sizes_of([], Path("/nowhere"))).option("batch-size") == AUTOMATIC_ROWS
    assert shards(job) < shards()
