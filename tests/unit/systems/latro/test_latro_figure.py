"""LaTRO's figure, from its curves."""

import json
from xml.etree import ElementTree

import pytest

import plot_latro
from retrace.errors import UserError

ROWS = [
    {"step": 0, "epoch": 0.0, "dev_accuracy": 0.4, "dev_accuracy_strict": 0.4, "dev_reward": -3.0,
     "dev_rationale_length": 20.0, "dev_finished_share": 1.0},
    {"step": 5, "epoch": 0.1, "loss": 0.1, "reward": -3.5, "kl": 0.01, "rationale_length": 21.0, "finished_share": 0.9},
    {"step": 5, "epoch": 0.1, "dev_accuracy": 0.5, "dev_accuracy_strict": 0.4, "dev_reward": -2.0,
     "dev_rationale_length": 19.0, "dev_finished_share": 1.0},
]  # fmt: skip


def write(folder, name: str, rows) -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def files(folder) -> list[str]:
    (folder / "toy.yaml").write_text(
        "name: toy\ntitle: Toy\nfamily: word_problems\nformat: question_answer\nsplits:\n  test: {file: t.jsonl}\n"
    )
    (folder / "tiny.yaml").write_text("name: tiny\ntitle: Tiny\nfamily: decoder_only\nscratch: {}\n")
    return ["--task-file", str(folder / "toy.yaml"), "--model-file", str(folder / "tiny.yaml")]


def draw(folder, seeds: list[int], rows=ROWS) -> str:
    curves = [write(folder, f"curves{seed}.jsonl", rows) for seed in seeds]
    words = ["--curves", *curves, "--seeds", *map(str, seeds), "--preset", "tiny", "--output", str(folder / "out.svg")]
    plot_latro.main([*files(folder), *words])
    return (folder / "out.svg").read_text()


def test_the_figure_shows_all_quantities_of_all_seeds(tmp_path) -> None:
    text = draw(tmp_path, [0, 1])
    ElementTree.fromstring(text)
    for label in ("reward: log p", "log-ratio", "rationale length", "finished rationales", "accuracy, greedy"):
        assert label in text
    assert "LaTRO on toy with tiny, 2 seeds, preset tiny" in text
    assert "seed 1 dev" in text
    assert draw(tmp_path, [0, 1]) == text  # the same bytes


def test_a_choice_on_test_is_shown_as_such(tmp_path) -> None:
    rows = [{key.replace("dev_", "test_"): value for key, value in row.items()} for row in ROWS]
    assert ">test<" in draw(tmp_path, [0], rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no evaluation"),
        ('{"step": 1, "loss": 0.5}\n', "has no evaluation"),
        ('{"step": 1}\nnonsense\n', r"curves0\.jsonl:2: not a line of a curve"),
        ('{"step": "one"}\n', r"curves0\.jsonl:1: not a line of a curve"),
    ],
)
def test_a_file_that_is_no_curve_is_named(tmp_path, content, message) -> None:
    path = tmp_path / "curves0.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        plot_latro.main([*files(tmp_path), "--curves", str(path), "--seeds", "0", "--output", str(tmp_path / "o.svg")])
    assert not (tmp_path / "o.svg").exists()


def test_as_many_curves_as_seeds(tmp_path) -> None:
    with pytest.raises(UserError, match="names 1 files and --seeds 2 seeds"):
        plot_latro.main(
            [*files(tmp_path), "--curves", write(tmp_path, "c", ROWS), "--seeds", "0", "1", "--output", "o.svg"]
        )
