"""Results and comparisons by another grader than the paper's: what is `accuracy`, and what stands beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

import compare_methods
from retrace.errors import UserError
from retrace.evaluation.predictions import write_predictions
from retrace.evaluation.report import result_lines
from retrace.evaluation.result import Result, load_document
from retrace.machine.storage import write_jsonl
from retrace.schemas import Example, Prediction
from unit.evaluation.test_result import score
from unit.evaluation_data import CONFIG, examples, sample, write_task

TINY = CONFIG / "models/tiny_t5.yaml"
# The right answers are 0, 1, 2 and 3: the paper's grader reads no LaTeX, the strict one no words behind the number.
TEXTS = ["#### 0", r"#### \sqrt{9}-2", "#### 2 pens", "#### 4"]


def written(root: Path, texts: list[str], name: str = "greedy", more: list[list[str]] | None = None) -> Path:
    """Predictions of gsm8k with these texts, judged as the decoder does; more: further samples of each question."""
    from retrace.tasks.load import load_task

    task, rows = load_task("gsm8k", CONFIG), examples(len(texts))
    write_jsonl(root / "data/gsm8k/test.jsonl", rows)
    found = []
    for at, row in enumerate(rows):
        samples = [
            sample(task.extract(text), task.grade(text, row.answer)).model_copy(
                update={"text": text, "correct_strict": task.grade_strict(text, row.answer)}
            )
            for text in [texts[at], *(more[at] if more else [])]
        ]
        found.append(of(row, samples))
    path = root / f"gsm8k/tiny_t5/seed0/sft/{name}/test.jsonl"
    write_predictions(path, found)
    return path


def of(row: Example, samples: list[Any]) -> Prediction:
    first = samples[0]
    return Prediction(
        example_id=row.id,
        question=row.question,
        gold=row.answer,
        samples=samples,
        chosen=0,
        answer=first.answer,
        correct=first.correct,
        correct_strict=first.correct_strict,
        tokens=7,
        seconds=0.5,
    )


def shares(found: dict[str, Any]) -> tuple[float, float, dict[str, float]]:
    by = {name: one["value"] for name, one in found.get("accuracy_by", {}).items()}
    return found["accuracy"]["value"], found["accuracy_strict"]["value"], by


def test_the_paper_grader_leaves_a_result_as_it_was(tmp_path: Path) -> None:
    found = score(tmp_path, [written(tmp_path, TEXTS)])
    assert shares(found) == (0.5, 0.25, {})
    assert not {"graded_by", "accuracy_by"} & (found.keys() | found["per_seed"][0].keys())
    assert "math-verify" not in found["provenance"]["versions"]
    assert score(tmp_path, [written(tmp_path, TEXTS)], accuracy="paper")["accuracy"] == found["accuracy"]


def test_accuracy_by_math_verify_stands_beside_the_papers(tmp_path: Path) -> None:
    more = [["#### 0"], [r"#### $1.0$"], ["#### 3"], [r"#### \sqrt{9}"]]
    found = score(tmp_path, [written(tmp_path, TEXTS, more=more)], accuracy="math_verify")
    assert shares(found) == (0.75, 0.25, {"paper": 0.5})
    assert found["graded_by"] == "math_verify"
    assert found["per_seed"][0]["accuracy_by"] == {"paper": 0.5}
    assert found["invalid_share"] == 0.0  # the paper's grader reads no answer in one of them
    assert found["pass_at_k"][-1] == {"k": 2, "value": 1.0}
    assert found["maj_at_k"][-1] == {"k": 2, "value": pytest.approx((1 + 1 + 0.5 + 0.5) / 4)}
    assert {"math-verify", "sympy"} <= found["provenance"]["versions"].keys()
    document = load_document(tmp_path / "out.json", Result)
    assert (document.accuracy.value, document.paper_accuracy.value) == (0.75, 0.5)
    shown = "\n".join(result_lines([("out.json", document)]))
    assert "greedy (by math_verify)" in shown
    assert "greedy by grader paper: 50.0" in shown


@pytest.mark.parametrize(("grader", "value"), [("strict", 0.25), ("phrase", 0.5), ("latro_number", 0.5)])
def test_any_grader_can_decide(tmp_path: Path, grader: str, value: float) -> None:
    found = score(tmp_path, [written(tmp_path, TEXTS)], accuracy=grader)
    assert shares(found) == (value, 0.25, {"paper": 0.5})


def test_the_papers_number_stands_beside_the_papers_accuracy(tmp_path: Path) -> None:
    ours = {"accuracy": "math_verify", "model_file": CONFIG / "models/flan_t5_large.yaml", "preset": "paper"}
    asked = score(tmp_path, [written(tmp_path, TEXTS)], **ours)
    plain = score(tmp_path, [written(tmp_path, TEXTS)], **(ours | {"accuracy": "paper"}))
    assert asked["reported"] == plain["reported"]


def test_mathematics_shows_both_graders(tmp_path: Path) -> None:
    task = tmp_path / "sums.yaml"
    task.write_text("name: sums\ntitle: S\nfamily: math\nformat: math\nsplits: {test: {file: rows.jsonl}}\n")
    path = written(tmp_path, TEXTS).rename(tmp_path / "sums.jsonl")
    data = tmp_path / "data/gsm8k/test.jsonl"
    found = score(tmp_path, [path], task_file=task, data=data)
    assert found["accuracy_by"]["math_verify"]["value"] == 0.75
    assert "graded_by" not in found


@pytest.mark.parametrize(
    ("grader", "said"),
    [
        ("math_verfy", r"--accuracy: grader 'math_verfy' is unknown; .*math_verify"),
        ("latro_option", r"--accuracy: latro_option reads multiple_choice answers, .* numeric; choose another grader"),
    ],
)
def test_a_grader_that_cannot_judge_is_refused(tmp_path: Path, grader: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        score(tmp_path, [written(tmp_path, TEXTS)], accuracy=grader)


def compared(root: Path, *more: str) -> dict[str, Any]:
    a, b = written(root, TEXTS, "greedy"), written(root, ["#### 1"] * 4, "beam")
    words = [
        "--task-file",
        str(CONFIG / "tasks/gsm8k.yaml"),
        "--method-a",
        "greedy",
        "--method-b",
        "beam",
        "--seeds",
        "0",
    ]
    files = ["--predictions-a", str(a), "--predictions-b", str(b), "--output", str(root / "compare.json")]
    compare_methods.main([*words, *files, *more])
    return json.loads((root / "compare.json").read_text())


def test_comparisons_by_another_grader(tmp_path: Path) -> None:
    plain = compared(tmp_path)
    assert (plain["accuracy_a"], plain["accuracy_b"], "graded_by" in plain) == (0.5, 0.25, False)
    found = compared(tmp_path, "--accuracy", "math_verify", "--model-file", str(TINY))
    assert (found["accuracy_a"], found["accuracy_b"], found["graded_by"]) == (0.75, 0.25, "math_verify")
    with pytest.raises(UserError, match="needs --model-file"):
        compared(tmp_path, "--accuracy", "math_verify")


def test_predictions_of_other_tests_have_no_text_to_judge(tmp_path: Path) -> None:
    """A text without an answer is wrong by every grader, and counted."""
    found = score(tmp_path, write_task(tmp_path, [[True] * 4]), accuracy="math_verify")
    assert shares(found) == (0.0, 1.0, {"paper": 1.0})
    assert found["invalid_share"] == 1.0
