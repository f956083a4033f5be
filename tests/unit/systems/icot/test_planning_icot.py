"""Estimates for implicit chain of thought, against the authors' logs and hand-computed values; and rows of every split."""

from pathlib import Path

import pytest

from retrace.planning.assumptions import Assumptions
from retrace.planning.jobs import Job
from retrace.planning.sizes import planned_rows
from retrace.planning.work import work_of
from retrace.tasks.load import load_task
from retrace.workflow.settings import Settings
from unit.planned_jobs import PROJECT, sizes_of

SETTINGS = Settings({"preset": "paper"}, PROJECT / "config")


@pytest.mark.parametrize("task", SETTINGS.tasks)
def test_the_rows_of_every_split_are_known(task: str) -> None:
    config = load_task(task, PROJECT / "config").config
    assert [split for split in config.splits if planned_rows(config, split) is None] == []


def test_the_largest_training_file_and_files_that_say_their_rows(tmp_path: Path) -> None:
    sizes = sizes_of([], tmp_path)
    assert sizes.text("gsm8k", "icot_train").rows == 378_000
    assert sizes.text("asdiv", "test").rows == 2096
    assert sizes.text("svamp", "transfer_test").rows == 1000
    assert sizes.text("arc_challenge", "train").rows == 1119


def decoding(task: str, model: str, checkpoint: str, **options: str) -> Job:
    wildcards = {"task": task, "model": model, "seed": "0", "checkpoint": checkpoint, "split": "test"}
    decoder = "implicit" if checkpoint == "icot" else "greedy"
    given = {"max-new-tokens": "128", "batch-size": "1", "shards": "1", **options}
    return Job("decode", wildcards | {"decoder": decoder}, given, gpus=1)


# Questions a second at batch size 1: the last line of logs/TASK/MODEL/log.generate of the authors' repository.
@pytest.mark.parametrize(
    ("task", "model", "rate"),
    [
        ("gsm8k", "gpt2", 17.2),
        ("gsm8k", "gpt2_medium", 9.2),
        ("mult_4x4", "gpt2", 9.6),
        ("mult_4x4", "gpt2_medium", 5.1),
        ("mult_5x5", "gpt2", 8.5),
        ("mult_5x5", "gpt2_medium", 4.5),
    ],
)
def test_implicit_answers_are_as_quick_as_in_the_authors_logs(
    task: str, model: str, rate: float, tmp_path: Path
) -> None:
    sizes = sizes_of([], tmp_path, start_seconds=0, disk_bandwidth=1e30)
    found = sizes.text(task, "test").rows / work_of(decoding(task, model, "icot"), sizes).seconds
    assert rate / 3 < found < rate * 3
    assert Assumptions().factor == 4


def test_explicit_steps_are_equations_and_longer_than_answers(tmp_path: Path) -> None:
    sizes = sizes_of([], tmp_path)
    tokens = {
        checkpoint: work_of(decoding("gsm8k", "gpt2", checkpoint), sizes).tokens / 1319
        for checkpoint in ("icot", "no_cot", "explicit_cot", "sft")
    }
    assert tokens["icot"] == tokens["no_cot"] == pytest.approx(6.1, rel=0.15)
    assert tokens["explicit_cot"] == pytest.approx(27.7, rel=0.1)
    assert tokens["sft"] == 120


def test_trainings_on_gsm8k_take_what_their_rows_do(tmp_path: Path) -> None:
    """378,000 rows x 40 epochs in batches of 32; the student reads question and answer, about 64 tokens."""
    sizes = sizes_of([], tmp_path, start_seconds=0, disk_bandwidth=1e30)
    reads = ["results/data/gsm8k/icot_train.jsonl", "results/data/gsm8k/icot_dev.jsonl"]
    options = {"batch-size": "32", "device-batch-size": "32", "epochs": "40", "max-steps": "-1", "evaluations": "1"}
    wildcards = {"task": "gsm8k", "model": "gpt2", "seed": "0"}
    work = work_of(Job("train_icot_student", wildcards, options, gpus=1, input=reads), sizes)
    assert work.sizes_known
    assert work.tokens == pytest.approx(378_000 * 40 * (57.5 + 6.1), rel=0.02)
    steps = 378_000 * 40 / 32
    # A third of FLAN-T5-Large's depth: the launches of a step's two passes; the sums take 6 operations a weight and token.
    assert work.seconds == pytest.approx(max(steps * 2 * 0.03 / 3, 6 * 1.24e8 * work.tokens / 1e14), rel=0.02)


def test_a_step_takes_as_long_as_a_model_is_deep_on_a_gpu_only(tmp_path: Path) -> None:
    sizes = sizes_of([], tmp_path)
    depths = {
        name: sizes.model(name).depth for name in ("flan_t5_large", "gpt2", "gpt2_medium", "llama_7b", "tiny_gpt2")
    }
    # FLAN-T5-Large: 24 layers of 3 parts; GPT-2: 12, 24 layers of 2; LLaMA-7B has 32; the tiny one 4.
    known = {"flan_t5_large": 1, "gpt2": 24 / 72, "gpt2_medium": 48 / 72, "llama_7b": 64 / 72, "tiny_gpt2": 8 / 72}
    assert depths == pytest.approx(known, rel=0.15)
