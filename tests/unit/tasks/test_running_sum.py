"""Running sums: sound solutions, disjoint splits, the same rows everywhere; rows of others, graders and words."""

import hashlib
import json
from itertools import combinations
from pathlib import Path

import pytest
import yaml

import prepare_data
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl
from retrace.schemas import Example
from retrace.tasks.load import load_task
from retrace.tasks.running_sums import generate, split_of, steps_of

CONFIG = Path(__file__).parents[3] / "config"
TASK = load_task("running_sum", CONFIG)


def test_steps_by_hand() -> None:
    assert steps_of([3, 8, 5, 9]) == ["1", "6", "5"]
    assert steps_of([0, 0]) == ["0"]


def test_solutions_are_right() -> None:
    lengths = set()
    for example in generate("test", 500, 7):
        numbers = [int(sign) for sign in example.question.split(" + ")]
        lengths.add(len(numbers))
        assert example.final_answer == example.steps[-1] == str(sum(numbers) % 10)
        assert len(example.steps) == len(numbers) - 1
        assert example.answer == "\n".join([*example.steps, f"#### {example.final_answer}"])
    assert lengths == {4, 5, 6}


def test_splits_share_no_question() -> None:
    found = {
        split: {one.question for one in generate(split, 1500, seed)} for seed, split in enumerate(TASK.config.splits)
    }
    assert all(len(questions) == 1500 for questions in found.values())
    for one, other in combinations(found.values(), 2):
        assert not one & other
    assert split_of("1 + 2 + 3 + 4") in TASK.config.splits


def test_the_same_rows_on_every_machine() -> None:
    text = "\n".join(example.question for example in generate("train", 50, 1))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "1cfaf5f2021f1d85"


@pytest.mark.parametrize(
    ("split", "settings", "message"),
    [
        ("corpus", {}, "split 'corpus' is unknown; it makes train, dev, test"),
        ("test", {"least": 1}, "least is 1; give a whole number of numbers from 2 to 20"),
        ("test", {"most": 21}, "most is 21; give"),
        ("test", {"most": True}, "most is True; give"),
        ("test", {"least": "4"}, "least is '4'; give"),
        ("test", {"least": 6, "most": 5}, "least is 6 and most is 5; least cannot be above most"),
        ("test", {"least": 2, "most": 2}, r"found only \d+ different questions of the 400 .* allow more numbers"),
    ],
)
def test_settings_that_cannot_be(split: str, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(generate(split, 400, 0, **settings))


def test_texts_have_few_words() -> None:
    example = next(generate("train", 1, 1))
    assert TASK.reasoning_text(example) == " ".join(example.steps)
    texts = [example.question, TASK.reasoning_text(example), TASK.written_answer(example), TASK.solution_text(example)]
    assert {word for text in texts for word in text.split()} <= set(TASK.words)
    assert TASK.split_steps(TASK.solution_text(example)) == example.steps


@pytest.mark.parametrize(
    ("text", "right", "strict"),
    [
        ("1 6 5 #### 5", True, True),
        ("#### 5", True, True),
        ("#### 5 and more", True, False),
        ("#### 6", False, False),
        ("#### 15", False, False),
        ("5", False, False),
        ("", False, False),
    ],
)
def test_graders(text: str, right: bool, strict: bool) -> None:
    assert TASK.grade(text, "1\n6\n5\n#### 5") is right
    assert TASK.grade_strict(text, "1\n6\n5\n#### 5") is strict
    assert TASK.step_correct("6", "6")
    assert not TASK.step_correct("6", "5")


def own_rows(folder: Path, line: str, **changes: object) -> list[Example]:
    """A file of one's own, with one row in the split test."""
    (folder / "rows.jsonl").write_text(line + "\n", encoding="utf-8")
    splits = {"test": {"file": str(folder / "rows.jsonl")}}
    values = {"name": "sums", "title": "Sums", "family": "running_sum", "calculator": False, "splits": splits}
    (folder / "sums.yaml").write_text(yaml.safe_dump({**values, "format": "question_answer", **changes}))
    words = ["--task-file", str(folder / "sums.yaml"), "--split", "test", "--output", str(folder / "out.jsonl")]
    prepare_data.main(words)
    return read_jsonl(folder / "out.jsonl", Example)


@pytest.mark.parametrize("answer", ["1 6 5 #### 5", "1\n6\n5\n#### 5", "1 | 6 | 5 | #### 5"])
def test_rows_of_ones_own(tmp_path: Path, answer: str) -> None:
    row = own_rows(tmp_path, json.dumps({"question": "3 + 8 + 5 + 9", "answer": answer}))[0]
    assert (row.steps, row.final_answer) == (["1", "6", "5"], "5")


@pytest.mark.parametrize(
    ("question", "answer", "message"),
    [
        ("3 + 8", "1 #### 2", r"rows.jsonl:1: the answer is '2'; the last digit of 3 \+ 8 is 1"),
        ("3 + 8", "1 #### 11", r"rows.jsonl:1: the answer is '11'"),
        (
            "3 plus 8",
            "1 #### 1",
            r"rows.jsonl:1: the question must be a sum of digits, as '3 \+ 8 \+ 5' \(got '3 plus 8'",
        ),
        ("3 + 18", "1 #### 1", "must be a sum of digits"),
        ("3", "3 #### 3", "must be a sum of digits"),
    ],
)
def test_faulty_rows_are_named(tmp_path: Path, question: str, answer: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        own_rows(tmp_path, json.dumps({"question": question, "answer": answer}))


def test_a_calculator_has_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="calculator: a running sum needs `calculator: false`"):
        own_rows(tmp_path, "{}", calculator=True)
