"""What the jobs of DPO-ST are estimated to take."""

from dataclasses import replace
from pathlib import Path

import pytest
from planned_jobs import sizes_of

from retrace.planning.formulas import work_of
from retrace.planning.jobs import Job
from retrace.planning.work import Work

FOLDER = "results/gsm8k/flan_t5_large/seed0"
TRAINING = {"batch-size": "96", "device-batch-size": "12", "max-steps": "-1", "epochs": "8", "evaluations": "1"}
GIVEN = {"train": "results/data/gsm8k/dpo_st_train.jsonl", "dev": "results/data/gsm8k/dpo_st_dev.jsonl"}


def job(rule: str, round_: int = 1, **options: str) -> Job:
    given = {**TRAINING, **GIVEN} | {name.replace("_", "-"): value for name, value in options.items()}
    return Job(
        rule=rule,
        wildcards={"task": "gsm8k", "model": "flan_t5_large", "seed": "0", "round": str(round_)},
        options=given,
        threads=8,
        gpus=1,
        benchmark=f"benchmarks/gsm8k/{rule}.tsv",
    )


def work(planned: Job, folder: Path, *others: Job) -> Work:
    found = work_of(planned, sizes_of([planned, *others], folder))
    assert found is not None
    return found


def test_a_later_round_trains_on_the_samples_of_more_rounds(tmp_path: Path) -> None:
    """Half of 3 samples a question and round are right, by assumption, and stand beside the references."""
    rows = sizes_of([], tmp_path).text("gsm8k", "dpo_st_train").rows
    tokens = [work(job("train_round", number), tmp_path).tokens for number in (1, 2)]
    warm_up = work(job("train_warm_up"), tmp_path).tokens
    assert tokens[0] / warm_up == pytest.approx(1 + 1.5, rel=96 / rows)
    assert tokens[1] / warm_up == pytest.approx(1 + 3.0, rel=96 / rows)


def test_pseudo_labels_that_are_there_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER / "dpo_st_round1"
    folder.mkdir(parents=True)
    (folder / "pseudo_labels.jsonl").write_text("{}\n" * 960)
    planned = replace(job("train_round", epochs="1"), input=[f"{FOLDER}/dpo_st_round1/pseudo_labels.jsonl"])
    assert work(planned, tmp_path).tokens == pytest.approx(work(job("train_round", max_steps="10"), tmp_path).tokens)


def test_few_labelled_questions_make_a_short_warm_up(tmp_path: Path) -> None:
    few = work(job("train_warm_up", labelled="96", epochs="1"), tmp_path).tokens
    assert few == work(job("train_warm_up", max_steps="1"), tmp_path).tokens
    assert few < work(job("train_warm_up", labelled="-1", epochs="1"), tmp_path).tokens


def test_the_control_takes_the_steps_of_all_rounds(tmp_path: Path) -> None:
    dpo = job("train_dpo", max_steps="50")
    control = work(job("train_sft_continued", 2, max_steps="100"), tmp_path, dpo)
    assert control.tokens == work(job("train_warm_up", max_steps="300"), tmp_path).tokens


def test_preferences_read_both_sides(tmp_path: Path) -> None:
    text = sizes_of([], tmp_path).text("gsm8k", "train")
    found = work(job("train_dpo", max_steps="50"), tmp_path)
    assert found.tokens == pytest.approx(50 * 96 * 2 * (text.question + text.solution))


def test_sampling_in_shards_and_pairs_of_more_rounds(tmp_path: Path) -> None:
    data = {"data": GIVEN["train"], "samples": "5"}
    whole, half = (work(job("sample_round", shards=count, **data), tmp_path) for count in ("1", "2"))
    assert half.tokens == pytest.approx(whole.tokens / 2)
    one, two = (
        work(job("make_preferences", trajectories=" ".join(["a/trajectories.jsonl"] * count), **data), tmp_path)
        for count in (1, 2)
    )
    assert one.seconds < two.seconds
