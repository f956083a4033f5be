"""Answers in free text, and tasks with a small fixed set of answers."""

import pytest

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.systems.learn_to_reason.cleanup import answer_in, cleanup
from retrace.tasks.load import load_task
from unit.tiny_models import arithmetic_task


def choice_task(family: str, tmp_path):
    path = tmp_path / "mine.yaml"
    layout = "commonsense_qa" if family == "lettered_choice" else "strategy_qa"
    path.write_text(f"name: mine\ntitle: Mine\nfamily: {family}\nformat: {layout}\nsplits: {{test: {{file: x}}}}\n")
    return load_task(path)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<<3+4=7>> | #### 7", "7"),
        ("<<3+4=7>> | <<7*2=14>> |", "14"),  # unfinished: the last number
        ("3 and 4 make 7\nAnswer: 7 of 9", "7"),
        ("3 and 4 make 7. Therefore, the answer is 1,007.", "1007"),
        ("#### ", None),
        ("I cannot help with that.", None),
        ("", None),
        ("x\nAnswer", None),  # crashes the authors' code
    ],
)
def test_numbers(text: str, answer: str | None) -> None:
    assert answer_in(arithmetic_task(), text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It drips | #### b", "b"),
        ("It drips | #### (B)", "b"),
        ("Not (a).\nNot (b) either.\nAnswer: (c)", "c"),
        ("Not (a).\nNot (b) either.\nAnswer: d", "d"),
        ("It is (b)", "b"),
        ("#### bank", None),
        ("I would go to the bank", None),
    ],
)
def test_letters(text: str, answer: str | None, tmp_path) -> None:
    assert answer_in(choice_task("lettered_choice", tmp_path), text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Frost is common | #### yes", "yes"),
        ("Frost is rare.\nAnswer: No.", "no"),
        ("So the answer is no.", "no"),
        ("#### perhaps", None),
        ("", None),
    ],
)
def test_yes_and_no(text: str, answer: str | None, tmp_path) -> None:
    assert answer_in(choice_task("yes_no", tmp_path), text) == answer


def test_other_families_keep_their_own_extractor() -> None:
    task = load_task("coin_flip", "config")
    assert answer_in(task, "it is heads up | #### yes") == task.extract("it is heads up | #### yes") == "yes"


def test_the_authors_rule_stops_at_a_blank_line_and_ours_does_not() -> None:
    text = "There are 3 bags.\n\nEach has 6 pens, so 3*6=18.\n\nAnswer: 18"
    assert cleanup(text, "number") == ("There are 3", "3")
    assert cleanup("x\nAnswer", "number").prediction is None
    assert answer_in(arithmetic_task(), text) == "18"


def test_choices_are_known_by_their_text_where_the_question_is(tmp_path) -> None:
    task = choice_task("lettered_choice", tmp_path)
    question = "Where is grass? Answer choices: (a) bank (b) park (c) new york"
    row = Example(id="one", question=question, answer="#### b", steps=[], final_answer="b", split="train", source="")
    assert answer_in(task, "Grass grows there.\n\n**Answer:** the park", row) == "b"
    assert answer_in(task, "Grass grows there.\n\n**Answer:** the park") is None


@pytest.mark.parametrize(
    ("family", "text", "paper", "strict"),
    [
        ("lettered_choice", "because | #### b", True, True),
        ("lettered_choice", "because | #### (b)", True, True),
        ("lettered_choice", "because | #### (b) bank", True, False),
        ("lettered_choice", "it must be (b)", True, False),
        ("lettered_choice", "#### a", False, False),
        ("lettered_choice", "#### b #### b", True, False),
        ("yes_no", "because | #### Yes", False, False),
        ("yes_no", "because | #### no", True, True),
        ("yes_no", "I say no", True, False),
        ("yes_no", "", False, False),
    ],
)
def test_graders(tmp_path, family: str, text: str, paper: bool, strict: bool) -> None:
    gold = "#### b" if family == "lettered_choice" else "facts\n#### no"
    task = choice_task(family, tmp_path)
    assert task.grade(text, gold) is paper
    assert task.grade_strict(text, gold) is strict


@pytest.mark.parametrize(("family", "wanted"), [("lettered_choice", "letter"), ("yes_no", "yes or no")])
def test_a_reference_without_an_answer_is_named(tmp_path, family: str, wanted: str) -> None:
    for gold in ("no marker (b)", "#### 7"):
        with pytest.raises(UserError, match=f"has no '#### {wanted}'"):
            choice_task(family, tmp_path).grade("#### b", gold)


def test_a_task_answers_votes_and_steps_by_its_family(tmp_path) -> None:
    task = choice_task("lettered_choice", tmp_path)
    assert task.extract("because | #### (B)") == "b"
    assert task.canonical("B") == task.canonical("b")
    assert task.grade("#### b", "#### b")
    assert not task.grade_strict("it is (b)", "#### b")
    assert task.step_correct("A door  turns", "a door turns")
    assert not task.step_correct("A door turns", "a door shuts")
