"""Which files of the user's a job reads, and what their checksum depends on."""

from pathlib import Path

import pytest

from retrace.tasks.load import load_task
from retrace.tasks.options import TaskConfig
from retrace.workflow import user_files
from unit.evaluation_data import CONFIG

TASK = """
name: mine
title: Mine
family: word_problems
format: question_answer
learn_to_reason: {file: shown.py, constant: SHOWN}
sampling_demonstrations: {file: drawn.jsonl}
splits:
  train: {file: train.jsonl, part: [0.2, 1.0]}
  dev: {part_of: train, part: [0.0, 0.2]}
  test: {file: below/test.jsonl}
  made: {generator: arithmetic, count: 5}
  many: {file: many.jsonl, bulky: true}
  stepped: {file: stepped.jsonl, equations_of: [dev]}
  fetched: {url: "https://example.org/x.jsonl", sha256: "00"}
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TaskConfig, Path]:
    monkeypatch.chdir(tmp_path)
    yaml = tmp_path / "config" / "tasks" / "mine.yaml"
    (yaml.parent / "below").mkdir(parents=True)
    yaml.write_text(TASK)
    for name in ("train", "drawn", "many", "stepped"):
        Path(f"{name}.jsonl").write_text(name)
    (yaml.parent / "below" / "test.jsonl").write_text("test")
    return load_task(yaml).config, yaml


@pytest.mark.parametrize(
    ("split", "files"),
    [
        ("train", ["train"]),
        ("dev", ["train"]),
        ("test", ["test"]),
        ("made", ["train", "test", "many", "stepped"]),
        ("many", ["many", "train", "test", "stepped"]),
        ("stepped", ["stepped", "train"]),
        ("fetched", []),
        ("sampling_demonstrations", ["drawn"]),
        ("nothing", []),
    ],
)
def test_files_behind_a_split(task, split: str, files: list[str]) -> None:
    """A file beside the YAML is found there; what a split is held out of, kept apart from or explained by counts too."""
    found = user_files.of_split(*task, split)
    assert [file.read_text() for file in found] == files


def test_files_of_worked_examples(task) -> None:
    config, yaml = task
    assert user_files.of_examples(config, yaml) == [Path("shown.py")], "missing, and named as in the YAML"
    (yaml.parent / "shown.py").write_text("SHOWN = ''")
    assert user_files.of_examples(config, yaml) == [yaml.parent / "shown.py"]


def test_no_shipped_task_or_model_has_files_of_the_user() -> None:
    for path in (CONFIG / "tasks").glob("*.yaml"):
        config = load_task(path).config
        assert not any(user_files.of_split(config, path, split) for split in config.splits), path


def test_files_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "model/config.json",
        "model/model.safetensors",
        "model/notes.txt",
        "scratch/big",
        "minilm/x",
        "one.jsonl",
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    assert [file.name for file in user_files.of_folder("model")] == ["config.json", "model.safetensors"]
    assert user_files.of_folder("nowhere") == [Path("nowhere/config.json")]
    named = user_files.of_names(
        ["model", "one.jsonl", "roscoe", "owner/name", None, "scratch", "generator", "minilm"], ["roscoe"]
    )
    assert [str(file) for file in named] == [
        "model/config.json",
        "model/model.safetensors",
        "model/notes.txt",
        "one.jsonl",
    ]


def test_a_checksum_is_that_of_the_contents(tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "rows", tmp_path / "b" / "rows"
    for file in (one, other):
        file.parent.mkdir()
        file.write_text("rows")
    first = user_files.digest_of([one])
    assert user_files.digest_of([other]) == first, "wherever the file lies"
    other.write_text("Rows")
    assert user_files.digest_of([other]) != first
    other.unlink()
    assert user_files.digest_of([other]) not in (first, user_files.digest_of([]))


def test_files_of_a_folder_are_those_of_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    for name in ("train", "final", "other"):
        (tmp_path / f"rows/{name}.jsonl").write_text(name)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ntitle: M\nfamily: word_problems\nformat: question_answer\nsplits:\n"
        "  train: {file: rows, part: [0.2, 1.0]}\n  dev: {part_of: train, part: [0.0, 0.2]}\n"
        "  test: {file: rows, hub_split: final}\n  lost: {file: rows}\n"
    )
    task = load_task(tmp_path / "mine.yaml").config
    for split, files in (("train", ["train"]), ("dev", ["train"]), ("test", ["final"])):
        found = user_files.of_split(task, tmp_path / "mine.yaml", split)
        assert [file.read_text() for file in found] == files
    assert user_files.of_split(task, tmp_path / "mine.yaml", "lost") == [Path("rows")]  # the job says what is missing
