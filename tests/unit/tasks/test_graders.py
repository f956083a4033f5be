"""The room of graders: one interface, found by name, and which answers each can judge."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.tasks.answer_task import in_chat
from retrace.tasks.base import Task
from retrace.tasks.graders import final_answer, grader_fault, grader_named, grader_names, paper_grader_names
from retrace.tasks.load import load_task

CONFIG = Path(__file__).parents[3] / "config"
NAMES = ["latro_number", "latro_option", "math_verify", "paper", "phrase", "strict"]


def own(folder: Path, family: str, more: str = "") -> Task:
    """A task of a family; its rows are never read."""
    path = folder / "own.yaml"
    path.write_text(
        f"name: own\ntitle: Own\nfamily: {family}\nformat: question_answer\n{more}splits: {{test: {{file: own.jsonl}}}}\n"
    )
    return load_task(path)


def test_all_graders_are_found() -> None:
    assert grader_names() == NAMES
    assert paper_grader_names() == ["phrase", "latro_number", "latro_option", "math_verify"]
    assert [grader_named(name).name for name in NAMES] == NAMES


@pytest.mark.parametrize(
    ("grader", "right", "wrong", "answer"),
    [
        ("paper", "It is 1.\n#### 0.50", "#### 5", "0.50"),
        ("strict", "It is 1.\n#### 0.5", "#### 0.5 pens, of 8", "0.5"),
        ("phrase", "One of two. #### $0.5 each", "#### 5", "0.5"),
        ("math_verify", r"So #### \frac{1}{2} each", r"#### \frac{1}{3}", r"\frac{1}{2}"),
        ("latro_number", "The answer is 0.5, not 4", "The answer is 4, not 0.5", "0.5"),
    ],
)
def test_each_grader_reads_and_judges_an_answer(grader: str, right: str, wrong: str, answer: str) -> None:
    task, found = load_task("gsm8k", CONFIG), grader_named(grader)
    assert found.right(task, right, "steps\n#### 0.5")
    assert not found.right(task, wrong, "steps\n#### 0.5")
    assert found.extract(task, right) == answer


def test_the_paper_grader_and_the_strict_one_are_the_tasks_own() -> None:
    task = load_task("arc_challenge", CONFIG)
    gold = "(A) dry palms\n(B) wet palms\n#### wet palms"
    for asked in (task, in_chat(task)):
        for text in ("The answer is wet palms.", "The answer is (B)", "#### B", "wet palms", "The answer is oil"):
            assert grader_named("paper").right(asked, text, gold) == asked.grade(text, gold)
            assert grader_named("strict").right(asked, text, gold) == asked.grade_strict(text, gold)


def test_the_grader_of_a_chat_model_is_the_papers() -> None:
    task = load_task("arc_challenge", CONFIG)  # chat.grader: latro_option
    gold = "(A) dry palms\n(B) wet palms\n#### wet palms"
    assert not in_chat(task).grade("The answer is (B)", gold)  # their code reads no labels
    assert grader_named("phrase").right(in_chat(task), "The answer is (B)", gold)


@pytest.mark.parametrize(
    ("grader", "family", "said"),
    [
        ("math_verify", "numeric", None),
        ("math_verify", "math", None),
        ("math_verify", "word_problems", None),
        (
            "math_verify",
            "yes_no",
            "math_verify reads math and numeric answers, and those of family yes_no are yes_no",
        ),
        (
            "latro_option",
            "numeric",
            "latro_option reads multiple_choice answers, and those of family numeric are numeric",
        ),
        ("strict", "multiplication", None),
    ],
)
def test_what_a_grader_can_judge(grader: str, family: str, said: str | None) -> None:
    from retrace.tasks.families import family_named

    assert grader_fault(grader, family_named(family)) == said


def test_a_task_may_name_math_verify_as_the_papers_grader(tmp_path: Path) -> None:
    asked = in_chat(own(tmp_path, "numeric", "chat: {grader: math_verify}\n"))
    assert asked.grade(r"The answer is $\frac{1}{2}$.", "#### 0.5")
    assert asked.extract(r"The answer is $\frac{1}{2}$.") == r"\frac{1}{2}"
    with pytest.raises(
        UserError, match=r"own.yaml: chat.grader: math_verify reads .* of family exact_match are exact_match"
    ):
        own(tmp_path, "exact_match", "chat: {grader: math_verify}\n")
    for name in ("paper", "strict", "math_verfy"):  # the first two say nothing of a paper
        with pytest.raises(UserError, match=rf"chat.grader: .*{name}"):
            own(tmp_path, "numeric", f"chat: {{grader: {name}}}\n")


def test_a_reference_without_its_answer_is_named() -> None:
    task = load_task("gsm8k", CONFIG)
    assert final_answer(task, "a\n#### 1,200 pens") == "1,200 pens"
    for gold in ("no answer", "#### many"):
        with pytest.raises(UserError, match=r"the reference has no '#### number': .*; mend the data"):
            final_answer(task, gold)


def test_math_verify_judges_what_a_program_computes() -> None:
    task, grader = load_task("mathqa", CONFIG), grader_named("math_verify")
    program = "n0=3.0;t0=n0/4.0;answer=t0;print(answer);"
    assert grader.right(task, program, "n0=3.0;\n#### 0.75")
    assert not grader.right(task, program, "n0=3.0;\n#### 0.5")
