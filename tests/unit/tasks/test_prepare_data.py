"""The command that writes a split."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import prepare_data
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl
from retrace.schemas import Example

ROOT = Path(__file__).parents[3]

TASK = """
name: mine
title: Mine
family: word_problems
format: question_answer
splits:
  train: {file: train.jsonl}
  test: {file: test.jsonl}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(TASK, encoding="utf-8")
    save(tmp_path / "train.jsonl", [f"Train {n}?" for n in range(5)])
    save(tmp_path / "test.jsonl", ["Test?"])
    return tmp_path


def save(path: Path, questions: list[str]) -> None:
    rows = [json.dumps({"question": question, "answer": "1+1 = 2\n#### 2"}) for question in questions]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def prepare(*options: str) -> None:
    prepare_data.main(["--task-file", "mine.yaml", "--output", "out/data.jsonl", *options])


@pytest.mark.parametrize(("options", "count"), [([], 5), (["--limit", "2"], 2), (["--limit", "-1"], 5)])
def test_a_split_is_written(folder, options, count):
    prepare("--split", "train", *options)
    rows = read_jsonl("out/data.jsonl", Example)
    assert [row.question for row in rows] == [f"Train {n}?" for n in range(count)]
    assert {row.split for row in rows} == {"train"}


def test_the_same_bytes_every_time(folder):
    prepare("--split", "train")
    first = Path("out/data.jsonl").read_bytes()
    prepare("--split", "train")
    assert Path("out/data.jsonl").read_bytes() == first


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_question_in_two_splits_stops_it_unless_the_task_says_so(folder, split):
    save(folder / "test.jsonl", ["Train  3?", "Test?"])
    with pytest.raises(UserError, match="also occur in other splits"):
        prepare("--split", split)
    assert not Path("out").exists()
    (folder / "mine.yaml").write_text(TASK + "overlap: 1\n", encoding="utf-8")
    prepare("--split", split)
    assert Path("out/data.jsonl").exists()


def test_examples_for_sampling_may_be_development_questions_alone(folder):
    """The authors' are; shown to the model that samples a training question, they must not hold its solution."""
    apart = "  dev: {file: dev.jsonl}\nsampling_demonstrations: {file: shown.jsonl}\n"
    (folder / "mine.yaml").write_text(TASK + apart, encoding="utf-8")
    save(folder / "dev.jsonl", ["Dev 1?", "Dev 2?"])
    save(folder / "shown.jsonl", ["Dev 2?", "Other?"])
    prepare("--split", "sampling_demonstrations")
    assert [row.question for row in read_jsonl("out/data.jsonl", Example)] == ["Dev 2?", "Other?"]
    (folder / "shown.jsonl").unlink()  # no other split needs the file
    for split in ("train", "dev", "test"):
        prepare("--split", split)
    for question, other in (("Train 3?", "train"), ("Test?", "test")):
        save(folder / "shown.jsonl", [question])
        with pytest.raises(UserError, match=rf"sampling_demonstrations also occur in other splits \(1 in {other}\)"):
            prepare("--split", "sampling_demonstrations")


@pytest.mark.parametrize("limit", ["0", "-2"])
def test_a_senseless_limit(folder, limit):
    with pytest.raises(UserError, match="--limit"):
        prepare("--split", "train", f"--limit={limit}")


def test_a_bad_line_is_one_line_on_standard_error_and_leaves_nothing(folder):
    (folder / "train.jsonl").write_text('{"question": "Q?", "answer": "five"}\n', encoding="utf-8")
    words = ["--task-file", "mine.yaml", "--split", "train", "--output", "out.jsonl"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/prepare_data.py"), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: train.jsonl:1: the answer has no final value")
    assert done.stderr.count("\n") == 1
    assert not (folder / "out.jsonl").exists()


def test_a_task_of_the_repository_that_needs_no_download(tmp_path):
    task = str(ROOT / "config/tasks/arithmetic.yaml")
    prepare_data.main(["--task-file", task, "--split", "dev", "--limit", "7", "--output", str(tmp_path / "dev.jsonl")])
    assert len(read_jsonl(tmp_path / "dev.jsonl", Example)) == 7
