"""DPO-ST in the workflow: targets, rounds that chain by files, and what a change or a missing file redoes."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from retrace.evaluation.result import Result, load_document
from retrace.machine.storage import read_jsonl
from retrace.schemas import Preference, PseudoLabel, Trajectory
from suites import first_daily
from workflow.costs_behind import assert_costs_are_those_of_the_graph

ROUND = {"sample_round", "gather_round", "make_preferences", "train_dpo", "make_pseudo_labels", "train_round"}


def jobs(output: str) -> dict[str, int]:
    """Rule name and number of jobs, from the table that a dry run prints."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}


def test_a_round_builds_all_rounds_before_it(workflow) -> None:
    rules = jobs(workflow.dry("results/gsm8k/flan_t5_large/dpo_st_round3_acc.json", "--config", "seeds=[0]"))
    assert {name: rules[name] for name in ("train_warm_up", "train_dpo", "train_round")} == {
        "train_warm_up": 1,
        "train_dpo": 3,
        "train_round": 3,
    }
    assert rules["gather_round"] == 6
    assert rules["make_preferences"] == rules["make_pseudo_labels"] == 3
    assert "train_sft" not in rules, "the warm-up is in DPO-ST's own form, on its own splits"


def test_plain_self_training_has_no_preferences(workflow) -> None:
    rules = jobs(workflow.dry("results/gsm8k/flan_t5_large/st_round2_acc.json", "--config", "seeds=[0]"))
    assert not {"make_preferences", "train_dpo"} & set(rules)
    assert (rules["train_warm_up"], rules["train_round"]) == (1, 2)


def test_the_number_of_rounds_is_configuration(workflow) -> None:
    rules = jobs(workflow.dry("results/gsm8k/dpo_st_acc.json", "--config", "seeds=[0]", 'dpo_st={"rounds": 2}'))
    assert rules["train_round"] == 2
    rules = jobs(workflow.dry("results/gsm8k/dpo_st_acc.json", "--config", "seeds=[0]"))
    assert rules["train_round"] == 3, "the paper's number"


@pytest.mark.parametrize("model", first_daily(["llama_2_7b", "flan_t5_large", "tiny_t5", "tiny_gpt2"]))
def test_every_target_on_any_model(workflow, model: str) -> None:
    methods = ["dpo_st", "st", "sft", "dpo_st_round1", "st_round1", "dpo_round1", "sft_continued_round1"]
    methods += [f"{method}_no_calculator" for method in ("dpo_st", "st", "sft", "dpo_st_round1")]
    methods += ["dpo_st_round1_self_consistency", "dpo_st_round1_grace"]
    folder = f"results/gsm8k/{model}"
    targets = [f"{folder}/{method}_acc.json" for method in methods]
    targets += [f"{folder}/dpo_st_pass_at_k.json", f"{folder}/seed0/dpo_st_round2/round.json"]
    targets += [f"results/{task}/{model}/transfer/gsm8k/dpo_st_acc.json" for task in ("multiarith", "svamp", "asdiv")]
    targets += [f"{folder}/compare/dpo_st_vs_st.json"]
    rules = jobs(workflow.dry(*targets, "--config", "seeds=[0]"))
    assert rules["score_method"] == len(methods)
    assert rules["score_transfer"] == rules["decode_transfer"] == 3
    assert rules["report_round"] == rules["measure_pass_at_k"] == rules["compare_methods"] == 1


@pytest.mark.slow
def test_the_figure_and_the_table(workflow) -> None:
    rules = jobs(workflow.dry("results/figures/dpo_st_rounds.svg", "--config", "seeds=[0]"))
    assert rules["plot_rounds"] == 1
    assert rules["score_method"] == 8  # four rounds, three of self-training, one control
    tiny = jobs(workflow.dry("results/figures/dpo_st_rounds.svg", "--config", "preset=tiny"))
    assert tiny["train_sft_continued"] == tiny["train_sft_extra"] == 1
    assert tiny["score_method"] == 7
    rules = jobs(workflow.dry("results/tables/dpo_st_table2.html", "--config", "seeds=[0]", "tables=run"))
    assert (rules["score_method"], rules["score_transfer"], rules["make_table"]) == (6, 18, 1)


# ---------------------------------------------------------------- a real run


@pytest.fixture(scope="module")
def made(copied_project, workflow_class, tmp_path_factory):
    """One round of the smoke preset."""
    workflow = workflow_class(tmp_path_factory.mktemp("dpo_st"), copied_project())
    workflow.configured("preset: smoke\ndpo_st: {rounds: 1}\n")
    workflow.make(*TARGETS)
    return workflow


FOLDER = "results/arithmetic/tiny_t5"


def test_a_task_without_test_questions_may_be_what_a_model_was_trained_on(workflow_class, tmp_path) -> None:
    workflow = workflow_class(tmp_path).configured("preset: smoke\n")
    folder = workflow.folder / "config" / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    task = yaml.safe_load((Path(__file__).parents[2] / "config/tasks/arithmetic.yaml").read_text())
    del task["splits"]["test"]
    (folder / "untested.yaml").write_text(yaml.safe_dump({**task, "name": "untested"}))
    assert "score_transfer" in workflow.dry("results/arithmetic/tiny_t5/transfer/untested/sft_greedy_acc.json")


TRANSFER = f"{FOLDER}/transfer/arithmetic/dpo_st_acc.json"
TARGETS = [f"{FOLDER}/dpo_st_acc.json", f"{FOLDER}/seed0/dpo_st_round1/round.json", TRANSFER]


@pytest.fixture
def copy(made, workflow_class, tmp_path):
    shutil.copytree(made.folder, tmp_path / "copy")
    return workflow_class(tmp_path / "copy", made.project)


@pytest.mark.slow
def test_a_round_of_the_smoke_preset(made) -> None:
    result = load_document(made.folder / FOLDER / "dpo_st_acc.json", Result)
    assert (result.checkpoint, result.decoder, result.n) == ("dpo_st_round1", "greedy", 12)
    assert "dpo_st" in result.provenance.configuration.values
    seed = made.folder / FOLDER / "seed0"
    report = json.loads((seed / "dpo_st_round1/round.json").read_text())
    drawn = [read_jsonl(seed / name / "trajectories.jsonl", Trajectory) for name in ("dpo_round1", "dpo_st_round1")]
    assert report["pairs"]["samples"] == len(drawn[0]) == 80
    assert report["labels"]["samples"] == len(drawn[1]) == 80
    pairs = read_jsonl(seed / "dpo_round1/pairs.jsonl", Preference, allow_empty=True)
    assert report["pairs"]["pairs"] == len(pairs)
    labels = read_jsonl(seed / "dpo_st_round1/pseudo_labels.jsonl", PseudoLabel)
    assert report["labels"]["gold"] == 24
    assert sum(row.origin == "sampled" for row in labels) == report["labels"]["pseudo_labels"]
    assert all(re.search(r"\[ \d+ [-+*] \d+ = \d+\]", row.solution) for row in labels if row.origin == "gold")
    assert not (seed / "dpo_round1/state").exists()


@pytest.mark.slow
def test_every_result_cost_what_the_jobs_behind_it_took(made) -> None:
    assert assert_costs_are_those_of_the_graph(made) == [f"{FOLDER}/dpo_st_acc.json", TRANSFER]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "redone"),
    [
        ("dpo_st_round1/pseudo_labels.jsonl", {"make_pseudo_labels", "train_round", "report_round"}),
        ("dpo_round1/trajectories.jsonl", ROUND | {"report_round"}),
        ("dpo_round1/pairs.jsonl", ROUND | {"report_round"}),
        ("dpo_st_round1/model", {"train_round", "report_round"}),
        ("dpo_round1/model", (ROUND | {"report_round"}) - {"make_preferences"}),
    ],
)
def test_deleting_one_artifact_redoes_what_follows_from_it_only(copy, missing: str, redone: set[str]) -> None:
    """Asked for together with what rests on it: Snakemake does not look behind results that are there."""
    path = copy.folder / FOLDER / "seed0" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    rules = jobs(copy.dry(f"{FOLDER}/seed0/{missing}", *TARGETS))
    assert redone <= set(rules)
    scoring = {"decode", "gather_predictions", "score_method", "decode_transfer", "score_transfer"}
    assert set(rules) <= redone | scoring | {"total"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "redone", "kept"),
    [
        ('{"rounds": 1, "dpo": {"beta": 0.2}}', {"train_dpo", "train_round"}, {"train_warm_up", "make_preferences"}),
        ('{"rounds": 1, "labels": {"similarity": 0.5}}', {"make_pseudo_labels", "train_round"}, {"train_dpo"}),
        ('{"rounds": 1, "label_samples": {"samples": 3}}', {"sample_round", "train_round"}, {"train_dpo"}),
        ('{"rounds": 1, "sft": {"max_steps": 21}}', {"train_warm_up", "train_dpo", "train_round"}, {"train_base"}),
    ],
)
def test_a_changed_option_redoes_what_depends_on_it_only(copy, option: str, redone: set[str], kept: set[str]) -> None:
    rules = jobs(copy.dry(*TARGETS, "--config", f"dpo_st={option}"))
    assert redone <= set(rules)
    assert not kept & set(rules)


@pytest.mark.slow
def test_nothing_is_left_to_do(copy) -> None:
    assert "Nothing to be done" in copy.dry(*TARGETS)
