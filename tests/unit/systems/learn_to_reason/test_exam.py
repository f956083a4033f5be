"""The exam of Learn-to-Reason's student: which answers are mistakes, of its own or released by somebody."""

import json

import pytest

import mark_exam
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.schemas import MarkedAnswer
from retrace.systems.learn_to_reason.exam import is_right
from retrace.tasks.load import load_task
from unit.teacher_world import TASK_YAML
from unit.tiny_models import arithmetic_task, problems

TASK = arithmetic_task()
EXAMPLES = problems(24)


def predictions(task, examples, texts: list[str]) -> list[dict]:
    def sample(text: str) -> dict:
        return {"text": text, "answer": None, "correct": False, "correct_strict": False, "tokens": 1, "logprob": 0.0}

    fixed = {"chosen": 0, "answer": None, "correct": False, "correct_strict": False, "tokens": 1, "seconds": 0.0}
    return [
        {"example_id": example.id, "question": example.question, "gold": example.final_answer} | fixed
        | {"samples": [sample(text.replace("GOLD", example.final_answer)) for text in texts]}
        for example in examples
    ]  # fmt: skip


def exam_words(folder, rows: list[dict]) -> list[str]:
    (folder / "arithmetic.yaml").write_text(TASK_YAML)
    write_jsonl(folder / "train.jsonl", EXAMPLES)
    (folder / "exam.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--task-file", f"{folder}/arithmetic.yaml", "--data", f"{folder}/train.jsonl"]
    return [*words, "--output", f"{folder}/marks.jsonl", "--report", f"{folder}/report.json"]


def test_marks_of_an_exam(tmp_path) -> None:
    texts = ["<<1+1=2>> | #### GOLD", "it is GOLD", "<<1+1=2>> | #### 1234", "<<1+1=2>> | #### 1234", "nothing", ""]
    words = exam_words(tmp_path, predictions(TASK, EXAMPLES[:3], texts))
    mark_exam.main([*words, "--predictions", f"{tmp_path}/exam.jsonl"])
    marks = read_jsonl(tmp_path / "marks.jsonl", MarkedAnswer)
    first = [one for one in marks if one.example_id == EXAMPLES[0].id]
    assert [one.correct for one in first] == [True, True, False, False, False]  # the repeated mistake is kept once
    assert [one.answer for one in first[2:]] == ["1234", None, None]
    counts = json.loads((tmp_path / "report.json").read_text())
    assert counts == {
        "questions": 3, "right": 6, "wrong": 6, "no_answer": 6,
        "questions_without_mistake": 0, "questions_all_mistakes": 0, "distinct": 15,
    }  # fmt: skip


def test_students_without_mistakes_and_with_nothing_else(tmp_path) -> None:
    rows = predictions(TASK, EXAMPLES[:2], ["#### GOLD"] * 4) + predictions(TASK, EXAMPLES[2:5], ["#### 1234"] * 4)
    mark_exam.main([*exam_words(tmp_path, rows), "--predictions", f"{tmp_path}/exam.jsonl"])
    counts = json.loads((tmp_path / "report.json").read_text())
    assert (counts["questions_without_mistake"], counts["questions_all_mistakes"]) == (2, 3)
    stranger = predictions(TASK, [EXAMPLES[0].model_copy(update={"id": "stranger"})], ["#### 1"])
    with pytest.raises(UserError, match="question 'stranger' is not in the training data; take the exam again"):
        mark_exam.main([*exam_words(tmp_path, stranger), "--predictions", f"{tmp_path}/exam.jsonl"])


def test_released_mistakes_are_read_and_counted(tmp_path) -> None:
    right = f"clearly\nAnswer: {EXAMPLES[1].final_answer}"
    document = {
        f" {EXAMPLES[0].question}  ": ["<<1+1=2>>\nAnswer: 1234", "<<1+1=2>>\nAnswer: 1234", "who knows"],
        EXAMPLES[1].question: [right, "Answer: 4321"],
        "A question of somebody else?": ["Answer: 5"],
    }
    (tmp_path / "neg4.json").write_text(json.dumps(document))
    mark_exam.main([*exam_words(tmp_path, []), "--released", f"{tmp_path}/neg4.json"])
    marks = read_jsonl(tmp_path / "marks.jsonl", MarkedAnswer)
    assert [(one.example_id, one.answer) for one in marks] == [
        (EXAMPLES[0].id, "1234"),
        (EXAMPLES[0].id, None),
        (EXAMPLES[1].id, "4321"),
    ]
    counts = json.loads((tmp_path / "report.json").read_text())
    expected = {"questions": 24, "right": 1, "wrong": 3, "questions_missing": 22, "questions_unknown": 1, "distinct": 3}
    assert counts == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "must be one JSON object"),
        ('{"Q?": [1]}', r"question 'Q\?': must have a list of texts"),
        ('{"Q?": {"a": 1}}', "must have a list of texts"),
        ('{"Q?": ["a"', "not JSON"),
    ],
)
def test_malformed_released_files_are_named(text: str, message: str, tmp_path) -> None:
    (tmp_path / "neg4.json").write_text(text)
    with pytest.raises(UserError, match=rf"neg4\.json.*{message}"):
        mark_exam.main([*exam_words(tmp_path, []), "--released", f"{tmp_path}/neg4.json"])


def test_an_exam_is_either_taken_or_released(tmp_path) -> None:
    with pytest.raises(UserError, match="either --predictions or --released"):
        mark_exam.main(exam_words(tmp_path, []))


def test_other_tasks_are_marked_by_their_own_rule() -> None:
    task = load_task("strategy_qa", "config")
    example = EXAMPLES[0].model_copy(update={"final_answer": "yes"})
    assert is_right(task, "yes", example)
    assert not is_right(task, "no", example)
    assert not is_right(task, None, example)
