"""LaTRO in the smoke preset: its results, its figure, ARC from a mirror, and a user's own columns."""

import json
import re
import shlex
from pathlib import Path

import pytest

from retrace.evaluation.result import Result, load_document
from retrace.workflow.settings import Settings
from workflow.costs_behind import assert_costs_are_those_of_the_graph

FOLDER = "results/arithmetic/tiny_gpt2"
METHODS = ["latro", "latro_sft", "base"]
TARGETS = [f"results/arithmetic/{method}_acc.json" for method in METHODS] + [
    "results/figures/latro_arithmetic_tiny_gpt2.svg",
    "results/tables/latro_table2.md",
    f"{FOLDER}/latro_few_shot_acc.json",
    f"{FOLDER}/compare/latro_vs_base.json",
]


@pytest.fixture(scope="session")
def made(copied_project, workflow_class, tmp_path_factory):
    """LaTRO's targets of the smoke preset, made once."""
    workflow = workflow_class(tmp_path_factory.mktemp("latro"), copied_project()).configured("preset: smoke\n")
    workflow.make(*TARGETS)
    return workflow


def test_the_papers_stop_strings_reach_the_script_whole(workflow) -> None:
    """With their spaces and line breaks: the shell sees one quoted word each."""
    shown = workflow.dry("results/gsm8k/latro_acc.json", "--printshellcmds", "--config", "preset=paper")
    command = shown[shown.index("train_latro.py") :]
    words = shlex.split(command[: command.index(" > logs/")])
    first = words.index("--stop-strings") + 1
    given = Settings({"preset": "paper"}, workflow.project / "config").for_target("gsm8k", "phi35_mini").latro
    assert "\nAnswer:" in given.stop_strings
    assert words[first : first + 18] == given.stop_strings
    assert words[first + 18].startswith("--")
    assert words[words.index("--epochs-count") + 1] == "rationales"


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_result_shows_accuracy_votes_and_choice(made, method: str) -> None:
    result = load_document(made.folder / FOLDER / f"{method}_acc.json", Result)
    assert (result.decoder, result.votes_from) == ("greedy", "maj")
    assert [point.k for point in result.maj_at_k] == [1, 2, 3]
    chosen = [(choice.seed, choice.chosen_on) for choice in result.checkpoint_choice]
    assert chosen == ([(0, "dev")] if method == "latro" else [])
    assert {"base", "maj", "greedy"} <= set(result.provenance.configuration.values)


@pytest.mark.slow
def test_every_result_cost_what_the_jobs_behind_it_took(made) -> None:
    made_here = {f"{FOLDER}/{method}_acc.json" for method in (*METHODS, "latro_few_shot")}
    assert made_here <= set(assert_costs_are_those_of_the_graph(made))


@pytest.mark.slow
def test_reward_and_accuracy_are_reported_together(made) -> None:
    curves = made.folder / FOLDER / "seed0/latro/curves.jsonl"
    rows = [json.loads(line) for line in curves.read_text().splitlines()]
    evaluations = [row for row in rows if "dev_accuracy" in row]
    assert evaluations[0]["step"] == 0
    assert all("dev_reward" in row for row in evaluations)
    assert any({"reward", "kl", "rationale_length", "finished_share"} <= set(row) for row in rows)
    assert (made.folder / "results/figures/latro_arithmetic_tiny_gpt2.svg").read_text().lstrip().startswith("<?xml")
    assert "| LaTRO |" in (made.folder / "results/tables/latro_table2.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "redone"),
    [
        ("latro={kl_coef: 0.1}", {"train_latro"}),
        ("latro_sft={learning_rate: 0.01}", {"train_latro_sft"}),
        ("maj={samples: 2}", set()),
        ("sft={epochs: 3}", None),
    ],
)
def test_a_changed_setting_redoes_what_depends_on_it(made, setting: str, redone: set[str] | None) -> None:
    shown = made.dry(*TARGETS, "--config", setting)
    rules = {name for name, _ in re.findall(r"^(\w+) +(\d+)$", shown, flags=re.MULTILINE)}
    trained = {name for name in rules if name.startswith("train_")}
    assert trained == (redone or set())
    assert ("decode" in rules) == (redone is not None)


@pytest.mark.slow
def test_arc_and_own_columns_from_files(copied_project, workflow_class, tmp_path: Path) -> None:
    """Nothing but files: ARC's as they lie on the Hub, in a mirror, and a JSONL with LaTRO's columns."""
    mirror = tmp_path / "mirror" / "huggingface.co" / "datasets" / "allenai" / "ai2_arc" / "ARC-Challenge"
    mirror.mkdir(parents=True)
    for split, count, first in (("train", 16, 0), ("validation", 6, 100), ("test", 6, 200)):
        rows = [
            {
                "id": f"q{first + number}",
                "question": f"Which is {first + number}?",
                "choices": {"text": ["dry", "wet", "oily"], "label": ["A", "B", "C"]},
                "answerKey": "ABC"[number % 3],
            }
            for number in range(count)
        ]
        (mirror / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = [
        {"queries": f"Say {number}.", "responses": f"The answer is {number % 7}.", "groundtruth": number % 7}
        for number in range(40)
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    project = copied_project()
    (project / "config/tasks/own.yaml").write_text(
        "name: own\ntitle: Own\nfamily: numeric\nformat: queries_responses\ncalculator: false\nsplits:\n"
        "  train: {file: own.jsonl, part: [0.0, 0.6]}\n  dev: {part_of: train, part: [0.6, 0.8]}\n"
        "  test: {part_of: train, part: [0.8, 1.0]}\n"
    )
    workflow = workflow_class(tmp_path, project).configured(f"preset: smoke\nmirror: {tmp_path / 'mirror'}\n")
    workflow.make("results/arc_challenge/latro_acc.json", "results/own/tiny_gpt2/latro_acc.json")
    arc = load_document(tmp_path / "results/arc_challenge/latro_acc.json", Result)
    assert (arc.n, arc.model) == (6, "tiny_gpt2")
    assert "allenai/ai2_arc on the Hub, commit 210d026f" in arc.made_from
    assert not arc.reported.comparable
    assert load_document(tmp_path / "results/own/tiny_gpt2/latro_acc.json", Result).n == 8
