"""Tasks of one's own in the families `worked_words` and `math`, and methods that are scored by another grader."""

import json
from pathlib import Path

import pytest

LETTERS = {"question": 'Last letters of "Ann Bo"?', "answer": 'Of "Ann" it is "n".\nOf "Bo" it is "o".\n#### no'}
FRACTION = {"problem": "What is $\\frac{1}{2}+1$?", "solution": "The sum is $\\boxed{\\frac{3}{2}}$."}
TASK = "name: {name}\ntitle: Mine\nfamily: {family}\nformat: {format}\ncalculator: false\nsplits:\n{splits}"
SPLITS = (
    "  train: {file: my_data/%s.jsonl, part: [0.5, 1.0]}\n  dev: {part_of: train, part: [0.3, 0.5]}\n"
    "  test: {part_of: train, part: [0.0, 0.3]}\n"
)


@pytest.fixture
def own(workflow):
    """A folder of a run with both tasks and a method that is scored by math-verify."""
    workflow.configured("preset: smoke\n")
    folder = workflow.folder
    for name, family, form, row in (
        ("letters", "worked_words", "question_answer", LETTERS),
        ("fractions", "math", "math", FRACTION),
    ):
        data, task = folder / f"my_data/{name}.jsonl", folder / f"config/tasks/{name}.yaml"
        for path in (data, task):
            path.parent.mkdir(parents=True, exist_ok=True)
        data.write_text("".join(json.dumps(row) + "\n" for _ in range(20)))
        task.write_text(TASK.format(name=name, family=family, format=form, splits=SPLITS % name))
    method = folder / "config/methods/by_value.yaml"
    method.parent.mkdir(parents=True, exist_ok=True)
    method.write_text("name: by_value\nextends: greedy\naccuracy: math_verify\n")
    return workflow


def test_what_a_task_of_ones_own_is_planned_with(own) -> None:
    results = ["letters/tiny_t5/grace", "letters/tiny_t5/learn_to_reason", "letters/tiny_gpt2/latro"]
    results += [
        f"fractions/tiny_gpt2/{name}" for name in ("by_value", "self_consistency", "sft_best_of_n", "latro", "rft")
    ]
    shown = own.dry("--printshellcmds", *(f"results/{name}_acc.json" for name in results))
    for rule in ("align_steps", "make_pairs", "train_discriminator", "ask_teacher", "train_latro"):
        assert rule in shown
    scored = [line for line in shown.splitlines() if "score_method.py" in line]
    assert [("--method by_value " in line) for line in scored] == ["--accuracy math_verify" in line for line in scored]
    assert len(scored) == len(results)


def test_both_methods_of_a_comparison_have_one_grader(own) -> None:
    Path(own.folder / "config/methods/sampled.yaml").write_text(
        "name: sampled\nextends: self_consistency\naccuracy: math_verify\n"
    )
    shown = own.dry("--printshellcmds", "results/arithmetic/tiny_t5/compare/by_value_vs_sampled.json")
    command = next(line for line in shown.splitlines() if "compare_methods.py" in line)
    assert "--accuracy math_verify" in command
    assert "--model-file $RETRACE_CONFIG/models/tiny_t5.yaml" in command


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("fractions/tiny_t5/grace_acc.json", "steps of family math (fractions) cannot be judged; valid tasks: "),
        (
            "letters/tiny_t5/by_value_acc.json",
            "accuracy: math_verify reads math and numeric answers, and those of family",
        ),
        (
            "arithmetic/tiny_t5/compare/by_value_vs_greedy.json",
            "by_value is judged by math_verify, greedy is judged by paper; give the methods the same `accuracy`",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_planned(own, target: str, said: str) -> None:
    done = own.run("--dry-run", f"results/{target}")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_a_grader_that_does_not_exist_is_named_with_its_file(own) -> None:
    path = own.folder / "config/methods/by_value.yaml"
    path.write_text("name: by_value\nextends: greedy\naccuracy: math_verfy\n")
    done = own.run("--dry-run", "results/arithmetic/tiny_t5/by_value_acc.json")
    assert done.returncode != 0
    assert "by_value.yaml" in done.stdout + done.stderr
    assert "math_verify" in done.stdout + done.stderr
