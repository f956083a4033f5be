"""Worked steps with words as answers: what is read, which steps say the same, and GRACE and Learn-to-Reason on them."""

import json
from pathlib import Path

import numpy as np
import pytest

from retrace.errors import UserError
from retrace.schemas import Alignment, Example
from retrace.systems.grace.alignment import GAP, Job, align_jobs
from retrace.systems.grace.options import Pairing
from retrace.systems.grace.pairs import make_pairs
from retrace.systems.learn_to_reason.feedback import judge
from retrace.systems.learn_to_reason.options import Feedback
from retrace.systems.learn_to_reason.teachers.base import Response
from retrace.tasks.base import Task
from retrace.tasks.families.worked_words import conclusion, step_correct
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task

ROWS = [
    {
        "question": 'Take the last letters of "Ann Bo".',
        "answer": 'The last letter of "Ann" is "n".\nThe last letter of "Bo" is "o".\n#### No',
    },
    {"question": "Who holds the ball?", "answer": "Ann gives Bo the red ball. Bo keeps it. #### Bo, of course."},
]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "letters.yaml").write_text(
        "name: letters\ntitle: Letters\nfamily: worked_words\nformat: question_answer\ncalculator: false\n"
        "splits: {train: {file: rows.jsonl}}\n"
    )
    return load_task(tmp_path / "letters.yaml")


def test_rows(task: Task) -> None:
    first, second = read_split(task, "train")
    assert (first.steps, first.final_answer) == (
        ['The last letter of "Ann" is "n"', 'The last letter of "Bo" is "o"'],
        "No",
    )
    assert (second.steps, second.final_answer) == (["Ann gives Bo the red ball", "Bo keeps it"], "Bo, of course")
    for example in (first, second):
        assert task.grade(task.solution_text(example), example.answer)
        assert task.grade_strict(task.solution_text(example), example.answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Ann gives the red ball to Bo", "the answer has no final value; end it with '#### word'"),
        ("a\n#### ", "has no final value"),
        ("a\n#### b\n#### c", "'####' appears 2 times; keep the one before the final answer"),
        ("a\n#### b\nand more", "end the row with one answer on one line"),
    ],
)
def test_faulty_rows_are_named(task: Task, answer: str, said: str) -> None:
    (task.path.parent / "rows.jsonl").write_text(json.dumps({"question": "Q?", "answer": answer}) + "\n")
    with pytest.raises(UserError, match=rf"rows.jsonl:1: .*{said}"):
        read_split(task, "train")


@pytest.mark.parametrize(
    ("text", "answer", "strict"),
    [
        ("a | b | #### blue ball", "blue ball", True),
        ("a\n#### Blue ball.", "Blue ball", True),
        ("a\n#### a blue ball and more", "a blue ball and more", False),
        ("a #### blue ball #### red ball", "blue ball #### red ball", False),
        ("So the answer is blue ball. It was red before.", "blue ball", False),
        ("**Answer:** blue ball", "blue ball", False),
        ("blue ball", None, False),
        ("####", None, False),
    ],
)
def test_answers(task: Task, text: str, answer: str | None, strict: bool) -> None:
    assert task.extract(text) == answer
    assert task.grade(text, "#### blue ball") == ((answer or "").casefold() == "blue ball")
    assert task.grade_strict(text, "#### blue ball") == strict


def test_a_reference_without_answer_is_named(task: Task) -> None:
    for gold in ("a", "a ####"):
        with pytest.raises(UserError, match="the reference solution has no '#### word'"):
            task.grade("#### a", gold)


@pytest.mark.parametrize(
    ("step", "reference", "same"),
    [
        ("The last letter of “Ann” is n.", 'the last letter of "Ann" is "n"', True),
        ('"Ann" ends in n, so its last letter is "n"', 'The last letter of "Ann" is "n"', True),
        ("The last letter is n", 'The last letter of "Ann" is "n"', True),
        ('The last letter of "Bo" is "n"', 'The last letter of "Ann" is "n"', False),
        ('The last letter of "Ann" is "m"', 'The last letter of "Ann" is "n"', False),
        ("n + o = no", "Joined, n and o = no", True),
        ("So Bo has the ball", "Bo has a ball", True),
        ("Bo has the ball", "Ann has the ball", False),
        ("Ann is playing goalkeeper, Bo is playing striker", "Ann is playing winger, Bo is playing striker", False),
        ("Then Ann is the goalkeeper", "Now Ann is goalkeeper", True),
        ("...", "...", False),
        ("", "", False),
    ],
)
def test_steps_that_say_the_same(task: Task, step: str, reference: str, same: bool) -> None:
    assert step_correct(step, reference) == same
    assert task.step_correct(step, reference) == same
    assert step_correct(reference, step) == same


def test_what_a_step_concludes() -> None:
    assert conclusion('So the last letter of "Ann" is "n"') == (frozenset({"ann"}), ["n"])
    assert conclusion("Ann is here, Bo is there") is None
    assert conclusion("Ann is ") is None


# ---------------------------------------------------------------- the systems


def vectors(parts: list[str]) -> np.ndarray:
    """Steps as unit vectors of their words."""
    words = sorted({word for part in parts for word in part.split()})
    counts = np.array([[float(part.split().count(word)) for word in words] for part in parts])
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_grace_aligns_and_pairs_its_steps(task: Task) -> None:
    example = read_split(task, "train")[0]
    wrong = ['The last letter of "Ann" is n', "We go on to another name", 'The last letter of "Bo" is "b"']
    text = task.join_steps(wrong, "nb")
    assert not task.grade(text, example.answer)
    twin = example.model_copy(update={"id": "twin"})  # one question is for development
    jobs = [Job(one.id, task.split_steps(text), [one.steps]) for one in (example, twin)]
    rows = []
    for one in align_jobs(jobs, vectors):
        assert (one.first, one.second) == (wrong, [example.steps[0], GAP, example.steps[1]])
        rows.append(Alignment(example_id=one.example_id, trajectory=one.first, reference=one.second, cost=one.cost))
    pairs, _ = make_pairs({example.id: example, twin.id: twin}, rows, task.step_correct, Pairing(), 0)
    negatives = {(pair.positive, pair.negative) for pair in pairs}
    assert negatives == {(example.steps[1], wrong[1]), (example.steps[1], wrong[2])}
    assert {tuple(pair.prefix) for pair in pairs} == {(wrong[0],), (example.steps[0],)}  # the first step is right


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('The last letter of "Ann" is "n" and that of "Bo" is "o".\n\nThe answer is "no".', "accepted"),
        ('The last letter of "Ann" is "n".\nThe last letter of "Bo" is "o".\n#### no', "accepted"),
        ('The last letter of "Ann" is "n".\n#### on', "wrong_answer"),
        ("I think of letters.", "no_answer"),
    ],
)
def test_learn_to_reason_judges_a_teachers_words(task: Task, text: str, verdict: str) -> None:
    example: Example = read_split(task, "train")[0]
    assert judge(task, example, Response(text, "teacher", None, "stop"), Feedback()) == verdict
