"""Reports over the rounds of self-training: the round's own, pass@k, and accuracy over the rounds with its figure."""

import json
from pathlib import Path

import pytest

import measure_pass_at_k
import plot_rounds
import report_round
import score_method
from retrace.errors import UserError
from retrace.evaluation.reported import find_row, load_paper, load_papers
from retrace.evaluation.result import Result, load_document
from retrace.evaluation.rounds import curves_of, reported_rounds
from retrace.machine.storage import write_json, write_jsonl
from retrace.workflow.names import Checkpoints
from unit.evaluation_data import CONFIG, examples, prediction

CHECKPOINTS = Checkpoints([CONFIG])
ROUNDS = [CHECKPOINTS.round_named(name) for name in ("dpo_st_round1", "st_round1")]
PAIRS = {
    "samples_of_this_round": 10,
    "correct_samples_of_this_round": 4,
    "references_graded_wrong": 0,
    "pairs": 3,
}
LABELS = {
    "samples_of_this_round": 10,
    "correct_samples_of_this_round": 5,
    "pseudo_labels": 2,
    "new_in_this_round": 1,
}


def report(folder: Path, pairs=PAIRS, labels=LABELS, steps: int = 7) -> dict:
    parts = {"pairs": pairs, "dpo": {"steps": steps}, "labels": labels, "sft": {"steps": 9}}
    words = ["--task", "gsm8k", "--model", "tiny_t5", "--round", "2", "--seed", "0"]
    for name, value in parts.items():
        write_json(folder / f"{name}.json", value)
        words += [f"--{name}", str(folder / f"{name}.json")]
    report_round.main([*words, "--output", str(folder / "round.json")])
    return json.loads((folder / "round.json").read_text())


def test_the_report_of_a_round(tmp_path):
    found = report(tmp_path)
    assert found["share_of_correct_samples"] == {"before_dpo": 0.4, "after_dpo": 0.5}
    assert (found["round"], found["notes"], found["pairs"]["pairs"], found["sft"]["steps"]) == (2, [], 3, 9)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"steps": 0}, "no preference pair: the DPO step did not change the model"),
        (
            {"labels": {**LABELS, "pseudo_labels": 0, "new_in_this_round": 0}},
            "no pseudo-label: the round was trained on",
        ),
        ({"labels": {**LABELS, "new_in_this_round": 0}}, "no new pseudo-label in this round"),
        ({"pairs": {**PAIRS, "references_graded_wrong": 2}}, "2 sampled references were graded wrong; check the data"),
        ({"labels": {**LABELS, "samples_of_this_round": 0, "correct_samples_of_this_round": 0}}, None),
    ],
)
def test_a_round_that_brings_nothing_says_so(tmp_path, changes, note):
    notes = report(tmp_path, **changes)["notes"]
    assert len(notes) == (note is not None)
    assert all(one.startswith(note) for one in notes)


# ---------------------------------------------------------------- pass@k


def pass_at_k(folder: Path, **changes) -> dict:
    rows = examples(4, "dev")
    flags = {"before": [1, 0, 0, 0], "after": [1, 1, 0, 0]}
    for name, greedy in flags.items():
        write_jsonl(folder / f"{name}.jsonl", [prediction(r, bool(f)) for r, f in zip(rows, greedy, strict=True)])
        drawn = [[True] * (2 * f) + [False] * (10 - 2 * f) for f in greedy]
        write_jsonl(folder / f"{name}_samples.jsonl", [prediction(r, f) for r, f in zip(rows, drawn, strict=True)])
    files = {
        "greedy": [folder / "before.jsonl", folder / "after.jsonl"],
        "samples": [folder / "before_samples.jsonl", folder / "after_samples.jsonl"],
    } | changes
    words = ["--task-file", str(CONFIG / "tasks/gsm8k.yaml"), "--model-file", str(CONFIG / "models/tiny_t5.yaml")]
    words += ["--papers", str(CONFIG / "papers"), "--checkpoints", "dpo_st_round0", "dpo_round1", "--seeds", "0"]
    words += [word for name, paths in files.items() for word in (f"--{name}", *map(str, paths))]
    measure_pass_at_k.main([*words, "--preset", "tiny", "--output", str(folder / "pass.json")])
    return json.loads((folder / "pass.json").read_text())


def test_pass_at_k_before_and_after_dpo(tmp_path):
    found = pass_at_k(tmp_path)
    before, after = found["points"]
    assert (before["checkpoint"], before["greedy"]["value"], before["samples"]) == ("dpo_st_round0", 0.25, 10)
    assert set(after["pass_at_k"]) == {"1", "3", "5", "10"}
    # Two right ones of ten: with three drawn 1 - C(8,3)/C(10,3) = 1 - 56/120.
    assert before["pass_at_k"]["3"]["value"] == pytest.approx(0.25 * (1 - 56 / 120))
    assert after["pass_at_k"]["10"]["value"] == pytest.approx(0.5)
    assert {row["percent"] for row in found["reported"]} >= {36.1, 62.9, 64.8}, "the paper's Figure 6"
    assert found["n"] == 4


def test_pass_at_k_of_files_that_do_not_belong_together(tmp_path):
    with pytest.raises(UserError, match=r"--greedy: 1 files for 2 checkpoints and 1 seeds; give 2"):
        pass_at_k(tmp_path, greedy=[tmp_path / "before.jsonl"])
    write_jsonl(tmp_path / "other.jsonl", [prediction(row, True) for row in examples(3, "dev")])
    with pytest.raises(UserError, match="its questions differ from"):
        pass_at_k(tmp_path, greedy=[tmp_path / "before.jsonl", tmp_path / "other.jsonl"])


# ---------------------------------------------------------------- accuracy over the rounds


def result(folder: Path, checkpoint: str, right: int, method: str | None = None, *more: str) -> Path:
    rows = examples(10)
    write_jsonl(folder / "test.jsonl", rows)
    predictions = folder / f"{checkpoint}.jsonl"
    write_jsonl(predictions, [prediction(row, place < right) for place, row in enumerate(rows)])
    words = ["--task-file", str(CONFIG / "tasks/gsm8k.yaml"), "--model-file", str(CONFIG / "models/flan_t5_large.yaml")]
    words += ["--method", method or checkpoint, "--checkpoint", checkpoint, "--decoder", "greedy", "--seeds", "0"]
    words += ["--predictions", str(predictions), "--data", str(folder / "test.jsonl"), "--preset", "tiny"]
    path = folder / f"{method or checkpoint}_acc.json"
    score_method.main([*words, "--papers", str(CONFIG / "papers"), "--output", str(path), *more])
    return path


def test_the_figure_over_the_rounds(tmp_path):
    rights = {"dpo_st_round0": 3, "dpo_st_round1": 5, "st_round1": 4, "sft_continued_round1": 3, "sft_extra_round1": 6}
    paths = [str(result(tmp_path, checkpoint, right)) for checkpoint, right in rights.items()]
    words = ["--papers", str(CONFIG / "papers"), "--json", str(tmp_path / "rounds.json")]
    plot_rounds.main(["--results", *paths, *words, "--svg", str(tmp_path / "rounds.svg")])
    found = json.loads((tmp_path / "rounds.json").read_text())
    points = {
        (one["loop"], point["round"]): point["accuracy"]["value"] for one in found["curves"] for point in one["points"]
    }
    assert found["start"]["accuracy"]["value"] == 0.3
    assert points == {
        ("dpo_st", 1): 0.5,
        ("st", 1): 0.4,
        ("sft_continued", 1): 0.3,
        ("sft_extra", 1): 0.6,
    }
    svg = (tmp_path / "rounds.svg").read_text()
    for label in ("DPO-ST", "Self-Training", "SFT, as many further references", "before the first round"):
        assert label in svg
    assert "DPO-ST, Flan-T5-Large, reported" in svg, "GSM8K is the paper's own data set"
    plot_rounds.main(["--results", *paths, *words, "--svg", str(tmp_path / "again.svg")])
    assert (tmp_path / "again.svg").read_text() == svg


def test_results_that_do_not_belong_together(tmp_path):
    paths = [result(tmp_path, "dpo_st_round0", 3), result(tmp_path, "sft", 3)]
    documents = [(str(path), load_document(path, Result)) for path in paths]
    with pytest.raises(UserError, match="method 'sft' is not a round of a loop"):
        curves_of(documents, [], CHECKPOINTS.round_named)
    documents[1] = ("other.json", documents[0][1].model_copy(update={"model": "tiny_gpt2"}))
    with pytest.raises(UserError, match=r"other.json: tiny_gpt2 on .*; give results of one run"):
        curves_of(documents, [], CHECKPOINTS.round_named)


def test_the_papers_curves():
    papers = load_papers(CONFIG / "papers")
    found = {(row.model, row.loop, row.round): row.percent for row in reported_rounds(papers, "gsm8k", ROUNDS)}
    assert len(found) == 16
    assert found["Flan-T5-Large", "dpo_st", 3] == 37.4
    assert reported_rounds(papers, "arithmetic", ROUNDS) == []


# ---------------------------------------------------------------- the paper's numbers


def test_the_numbers_of_the_paper_are_there():
    paper = load_paper(CONFIG / "papers/dpo_st.yaml")
    table = [row for row in paper.rows if row.table == "Table 2"]
    assert len(table) == 24
    assert {row.trained_on for row in table if row.dataset != "GSM8K"} == {"GSM8K"}


def test_a_number_of_transfer_stands_beside_transfer_only():
    papers = load_papers(CONFIG / "papers")
    names = (["MultiArith"], ["Flan-T5-Large"], ["Self-Training"], "test")
    assert find_row(papers, *names, ["GSM8K"])[1].value == 86.2
    assert find_row(papers, *names) is None, "a model that was trained on MultiArith is another matter"
    assert find_row(papers, ["GSM8K"], *names[1:])[1].value == 35.6
    assert find_row(papers, ["GSM8K"], *names[1:], ["MultiArith"]) is None


def test_a_result_of_transfer_says_where_the_model_comes_from(tmp_path):
    rows = [row.model_copy(update={"split": "transfer_test"}) for row in examples(10)]
    write_jsonl(tmp_path / "data.jsonl", rows)
    write_jsonl(tmp_path / "rows.jsonl", [prediction(row, True) for row in rows])
    words = ["--task-file", str(CONFIG / "tasks/svamp.yaml"), "--model-file", str(CONFIG / "models/flan_t5_large.yaml")]
    words += ["--source-task-file", str(CONFIG / "tasks/gsm8k.yaml"), "--method", "dpo_st", "--decoder", "greedy"]
    words += ["--checkpoint", "dpo_st_round3", "--seeds", "0", "--split", "transfer_test", "--preset", "paper"]
    words += ["--predictions", str(tmp_path / "rows.jsonl"), "--data", str(tmp_path / "data.jsonl")]
    words += ["--method-names", "DPO-aug Self-Training (K=3, 3 iterations)", "--papers", str(CONFIG / "papers")]
    score_method.main([*words, "--output", str(tmp_path / "acc.json")])
    found = load_document(tmp_path / "acc.json", Result)
    assert found.trained_on == "gsm8k"
    assert "trained on GSM8K. 10 transfer_test questions of SVAMP" in found.made_from
    assert (found.reported.percent, found.reported.dataset) == (36.8, "SVAMP")
    assert "10 questions were answered, the test set has 1000" in found.reported.because
