"""Files of the user's: what is edited, replaced or linked elsewhere is noticed, and what rests on it is planned again."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from retrace.planning.jobs import planned_jobs

TASK = """
name: apples
title: Apples
family: word_problems
format: question_answer
splits:
  train: {file: my_data/train.jsonl, part: [0.2, 1.0]}
  dev: {part_of: train, part: [0.0, 0.2]}
  test: {file: my_data/test.jsonl}
"""
MODEL = "name: my_t5\ntitle: My T5\nfamily: encoder_decoder\nfile: my_model\n"
CONFIG = {"model_type": "t5", "is_encoder_decoder": True, "relative_attention_num_buckets": 32}
DATA = [f"results/data/apples/{split}.jsonl" for split in ("train", "dev", "test")]
TRAINED = "results/apples/my_t5/seed0/sft/model"


def rows(first: int) -> str:
    lines = []
    for number in range(first, first + 10):
        answer = f"{number}+3=<<{number}+3={number + 3}>>{number + 3}\n#### {number + 3}"
        lines.append(json.dumps({"question": f"Tom has {number} apples and gets 3. How many?", "answer": answer}))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def made(workflow_class, tmp_path_factory):
    """An own task and an own model whose files are prepared, and something that rests on them."""
    workflow = workflow_class(tmp_path_factory.mktemp("own")).configured("preset: smoke\n")
    folder: Path = workflow.folder
    for name in ("my_data", "my_model", "config/tasks", "config/models"):
        (folder / name).mkdir(parents=True)
    (folder / "config/tasks/apples.yaml").write_text(TASK)
    (folder / "config/models/my_t5.yaml").write_text(MODEL)
    (folder / "my_data/train.jsonl").write_text(rows(0))
    (folder / "my_data/test.jsonl").write_text(rows(100))
    (folder / "my_model/config.json").write_text(json.dumps(CONFIG))
    (folder / "my_model/model.safetensors").write_bytes(b"weights")
    workflow.make(*DATA, "results/models/my_t5")
    (folder / TRAINED).mkdir(parents=True)
    (folder / TRAINED / "model.safetensors").write_bytes(b"trained")
    return workflow


@pytest.fixture
def planned(made) -> Callable[[], dict[str, int]]:
    """How many jobs of each rule are planned. What a test does to the files is undone behind it."""
    kept = {path: (path.read_bytes(), path.stat()) for path in made.folder.glob("my_*/*")}
    yield lambda: {
        rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", made.dry(*DATA, TRAINED), re.MULTILINE)
    }
    for path, (data, stat) in kept.items():
        path.unlink()
        path.write_bytes(data)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def dated(path: Path, like: os.stat_result) -> None:
    os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))


def test_nothing_is_planned_where_nothing_changed(made, planned) -> None:
    for path in made.folder.glob("my_*/*"):
        path.touch()
    assert planned() == {}


def test_data_replaced_by_an_older_file(made, planned) -> None:
    file = made.folder / "my_data/train.jsonl"
    other = made.folder / "other.jsonl"
    other.write_text(rows(50))
    os.utime(other, (1_000_000_000, 1_000_000_000))
    os.replace(other, file)
    assert planned() == {"prepare_data": 2, "train_sft": 1, "total": 3}, "train, and dev, which is held out of it"


def test_data_linked_elsewhere(made, planned) -> None:
    file = made.folder / "my_data/test.jsonl"
    (made.folder / "elsewhere.jsonl").write_text(rows(200))
    file.unlink()
    file.symlink_to("../elsewhere.jsonl")
    assert planned() == {"prepare_data": 1, "total": 1}


def test_weights_edited_in_place(made, planned) -> None:
    """With the same size and date; the copy in the results stays what it was."""
    weights = made.folder / "my_model/model.safetensors"
    before = weights.stat()
    with open(weights, "r+b") as file:
        file.write(b"W")
    dated(weights, before)
    assert planned() == {"fetch_model": 1, "train_sft": 1, "total": 2}
    assert (made.folder / "results/models/my_t5/model.safetensors").read_bytes() == b"weights"


def test_a_file_more_in_the_folder_of_a_model(made, planned) -> None:
    (made.folder / "my_model/notes.txt").write_text("not a file that is used")
    assert planned() == {}
    (made.folder / "my_model/generation_config.json").write_text("{}")
    assert planned()["fetch_model"] == 1
    for name in ("notes.txt", "generation_config.json"):
        (made.folder / "my_model" / name).unlink()


def test_a_missing_file_is_named(made, planned) -> None:
    (made.folder / "my_data/test.jsonl").rename(made.folder / "away.jsonl")
    said = made.refused(*DATA)
    assert re.search(r"Missing input files for rule prepare_data:\s+output: results/data/apples/test.jsonl", said)
    assert re.search(r"affected files:\s+my_data/test.jsonl", said)
    output = made.folder / "results/data/apples/test.jsonl"
    rows_before = output.read_bytes()  # it is not deleted before the job would fail
    output.unlink()
    shown = made.dry(*DATA)
    assert shown.count("note: my_data/test.jsonl: no such file, and what is planned needs it") == 1
    assert "my_data/test.jsonl: no such file (splits.test of " in made.refused(*DATA)
    output.write_bytes(rows_before)
    (made.folder / "away.jsonl").rename(made.folder / "my_data/test.jsonl")


GUIDES = [f"results/coin_flip/tiny_t5/seed0/sft_{guide}/model" for guide in ("discriminator", "verifier")]
ENCODERS = """
preset: smoke
discriminator: {backbone: encoder}
verifier: {backbone: encoder}
align: {embedder: embedder}
pair: {step_judge: entailment, entailment_model: judge}
"""


@pytest.mark.slow
def test_encoders_that_options_name(workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs are empty files that Snakemake takes for its own; only what it plans counts here."""
    folder: Path = workflow.configured(ENCODERS).folder
    for name in ("encoder", "embedder", "judge"):
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(folder)
    for job in planned_jobs(GUIDES, ["--snakefile", str(workflow.project / "Snakefile")]):
        for file in map(Path, job.output):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.mkdir(exist_ok=True) if file.name == "model" else file.write_text("{}\n")
    workflow.make("--touch", "--forceall", *GUIDES, "--config", "require_gpu=false")

    def planned() -> set[str]:
        return {rule for rule, _ in re.findall(r"^(\w+) +(\d+)$", workflow.dry(*GUIDES), re.MULTILINE)} - {"total"}

    assert planned() == set()
    for name, rules in (
        ("encoder", {"train_discriminator", "train_verifier"}),
        ("embedder", {"align_steps", "make_pairs", "train_discriminator"}),
        ("judge", {"make_pairs", "train_discriminator"}),
    ):
        weights = folder / name / "model.safetensors"
        before = weights.stat()
        for text, expected in ((b"another", rules), (b"weights", set())):
            weights.write_bytes(text)
            dated(weights, before)
            assert planned() == expected, name
