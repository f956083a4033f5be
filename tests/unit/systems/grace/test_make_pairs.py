"""make_pairs.py as it is called."""

import json

import pytest
import yaml

import make_pairs
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.schemas import Alignment, Example, Pair


@pytest.fixture
def files(tmp_path):
    task = {
        "name": "toy",
        "title": "Toy",
        "family": "word_problems",
        "format": "question_answer",
        "splits": {"train": {"file": "train.jsonl"}},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(task))
    rows = [
        Example(
            id=str(n),
            question=f"Q{n}?",
            answer="#### 4",
            steps=["1+1 = <<1+1=2>>2", "2+2 = <<2+2=4>>4"],
            final_answer="4",
            split="train",
            source="test",
        )
        for n in range(10)
    ]
    write_jsonl(tmp_path / "train.jsonl", rows)
    alignments = [
        Alignment(example_id=row.id, trajectory=["so 2", "2*3 = <<2*3=6>>6"], reference=row.steps, cost=0.3)
        for row in rows
    ]
    write_jsonl(tmp_path / "alignments.jsonl", alignments)
    return tmp_path


def call(folder, *more, seed="0"):
    make_pairs.main(
        [
            *("--task-file", str(folder / "toy.yaml")),
            *("--data", str(folder / "train.jsonl")),
            *("--alignments", str(folder / "alignments.jsonl")),
            *("--seed", seed, "--output", str(folder / "out.jsonl")),
            *more,
        ]
    )
    return read_jsonl(folder / "out.jsonl", Pair)


def fails(folder, *more):
    with pytest.raises(UserError) as caught:
        call(folder, *more)
    assert not (folder / "out.jsonl").exists()
    return str(caught.value)


def test_pairs_by_the_tasks_own_judgement(files, capsys):
    pairs = call(files)
    assert len(pairs) == 20
    assert pairs[0].model_dump() | {"split": ""} == {
        "example_id": "0",
        "split": "",
        "question": "Q0?",
        "prefix": ["so 2"],
        "positive": "2+2 = <<2+2=4>>4",
        "negative": "2*3 = <<2*3=6>>6",
    }
    assert pairs[1].prefix == ["1+1 = <<1+1=2>>2"]
    text = capsys.readouterr().out
    assert json.loads(text[text.index("{") :])["dev"] == 4


def test_same_seed_same_file_other_seed_other_split(files):
    first, again, other = call(files), call(files), call(files, seed="1")
    assert first == again
    assert [pair.split for pair in first] != [pair.split for pair in other]


def test_options_arrive(files):
    assert len(call(files, "--first-error-only", "true", "--development-share", "0.5")) == 10
    assert sum(pair.split == "dev" for pair in call(files, "--development-share", "0.5")) == 10


def test_unknown_example(files):
    path = files / "alignments.jsonl"
    path.write_text(path.read_text().replace('"example_id":"3"', '"example_id":"33"'))
    assert "alignments.jsonl:4: example_id '33'" in fails(files)


def test_unequal_lists(files):
    path = files / "alignments.jsonl"
    path.write_text(path.read_text().replace('"so 2",', "", 1))
    assert "alignments.jsonl:1: trajectory has 1 entries and reference 2" in fails(files)


def test_truncated_file(files):
    path = files / "alignments.jsonl"
    path.write_text(path.read_text()[:-5])
    assert "alignments.jsonl:10: the last line is cut off" in fails(files)


def test_empty_file(files):
    (files / "alignments.jsonl").write_text("")
    assert "holds no Alignment rows" in fails(files)


def test_no_pairs(files):
    assert "no pair could be made" in fails(files, "--max-per-prefix", "0")
