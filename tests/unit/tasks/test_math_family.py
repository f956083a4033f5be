r"""Family `math`: rows of MATH and MATH-500, rows of one's own, and what the systems make of them."""

import json
from pathlib import Path

import pytest

from retrace.decoding.vote import majority, make_sample
from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import math_process
from retrace.tasks.answer_task import AnswerTask, in_chat
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task

MATH_500 = {
    "problem": "What is $|x|$ for $x=-\\frac{1}{2}$?",
    "solution": "We drop the sign.\n\\[\n|x| = \\frac{1}{2}.\n\\]\nSo it is $\\boxed{\\frac{1}{2}}.$",
    "answer": "\\frac{1}{2}",
    "subject": "Algebra",
    "level": 1,
    "unique_id": "test/algebra/1.json",
}
STEPS = ["We drop the sign", r"\[ |x| = \frac{1}{2}. \]", r"So it is $\boxed{\frac{1}{2}}.$"]


def own(folder: Path, rows: list[dict], form: str = "math", more: str = "") -> AnswerTask:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = folder / "mine.yaml"
    path.write_text(
        f"name: mine\ntitle: Mine\nfamily: math\nformat: {form}\n{more}splits: {{test: {{file: rows.jsonl}}}}\n"
    )
    task = load_task(path)
    assert isinstance(task, AnswerTask)
    return task


def only(folder: Path, row: dict, form: str = "math") -> Example:
    return read_split(own(folder, [row], form), "test")[0]


def test_rows_of_math_500(tmp_path: Path) -> None:
    task = own(tmp_path, [MATH_500])
    found = read_split(task, "test")[0]
    assert (found.question, found.final_answer, found.steps) == (MATH_500["problem"], r"\frac{1}{2}", STEPS)
    assert found.answer.endswith("\n#### \\frac{1}{2}")
    text = task.solution_text(found)
    assert text == " ¦ ".join([*STEPS, r"#### \frac{1}{2}"])
    assert task.split_steps(text) == STEPS  # the bars of |x| cut nothing
    assert task.grade(text, found.answer)
    assert task.grade_strict(text, found.answer)


def test_the_answer_of_a_row_without_one_is_in_the_box(tmp_path: Path) -> None:
    row = {name: MATH_500[name] for name in ("problem", "solution")}
    assert only(tmp_path, row).final_answer == r"\frac{1}{2}"
    assert only(tmp_path, row | {"answer": 12}).final_answer == "12"
    assert only(tmp_path, {"problem": "Why?", "answer": r"$\text{east}$."}).final_answer == r"\text{east}"


@pytest.mark.parametrize(
    ("answer", "final", "steps"),
    [
        ("First 3.\nThen 4.\n#### $4$", "4", ["First 3", "Then 4"]),
        (r"It is $x=2$. So $\boxed{2}$ it is", "2", [r"It is $x=2$", r"So $\boxed{2}$ it is"]),
        (r"\boxed{1} or \boxed{\{2\}}", r"\{2\}", [r"\boxed{1} or \boxed{\{2\}}"]),
        (r"\frac{3}{4}", r"\frac{3}{4}", []),
        ("0.75", "0.75", []),
        (r"x \in [1, 2) \text{ or } x = 5", r"x \in [1, 2) \text{ or } x = 5", []),
        ("Evelyn", "Evelyn", []),
        ("\\begin{align*}\na&=1\\\\\nb&=2\n\\end{align*}\nDone.\n#### 3",
         "3", [r"\begin{align*} a&=1\\ b&=2 \end{align*}", "Done"]),
        ("Open $$x\nand more.\n#### 3", "3", ["Open $$x", "and more"]),
    ],
)  # fmt: skip
def test_rows_of_ones_own(tmp_path: Path, answer: str, final: str, steps: list[str]) -> None:
    found = only(tmp_path, {"question": "Q?", "answer": answer}, "question_answer")
    assert (found.final_answer, found.steps) == (final, steps)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"question": "Q?", "answer": "We add and get four pens in the end"},
            "has no final value; end it with '#### answer'",
        ),
        ({"question": "Q?", "answer": "First 3.\nThen 4."}, r"or put it in \\boxed\{\}"),
        ({"question": "Q?", "answer": "a #### "}, "final answer '' is empty"),
        ({"question": "Q?", "answer": r"a \boxed{}"}, "final answer '' is empty"),
        ({"question": "Q?", "answer": "a #### 3 #### 4"}, "holds '####' again"),
        ({"question": "Q?", "answer": r"#### \frac{1}{2"}, "braces of the final answer .* do not match"),
    ],
)
def test_faulty_rows_of_ones_own_are_named(tmp_path: Path, row: dict, said: str) -> None:
    with pytest.raises(UserError, match=rf"rows.jsonl:1: .*{said}"):
        only(tmp_path, row, "question_answer")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"problem": ""}, "field 'problem' is empty"),
        ({"answer": None, "solution": "so 5"}, r"field 'answer' is missing, and 'solution' has no \\boxed\{answer\}"),
        ({"answer": None, "solution": r"so \boxed{5"}, "with matching braces"),
        ({"solution": "a #### 5"}, "field 'solution' holds '####'"),
        ({"solution": 5}, "field 'solution' is '5'"),
        ({"answer": [1]}, "field 'answer' is a list of 1"),
    ],
)
def test_faulty_rows_of_math_500_are_named(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=rf"rows.jsonl:1: .*{said}"):
        only(tmp_path, MATH_500 | changes)


def test_the_delimiter_is_no_bar(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine.yaml: delimiter: '\|' occurs in LaTeX \(\|x\|\); leave it out"):
        own(tmp_path, [MATH_500], more='delimiter: "|"\n')
    assert own(tmp_path, [MATH_500], more='delimiter: "@@"\n').delimiter == "@@"


def test_samples_are_graded_and_vote_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_process, "SECONDS", 0.4)
    task = own(tmp_path, [MATH_500])
    example = read_split(task, "test")[0]
    texts = ["#### 3", r"So $\boxed{0.5}$", "#### 1/2", "#### 4", "#### 9^{9^{9^9}}"]
    samples = [make_sample(task, example, text, 1, 0.0) for text in texts]
    assert [one.correct for one in samples] == [False, True, True, False, False]
    assert [one.correct_strict for one in samples] == [False, True, True, False, False]
    assert majority([one.answer for one in samples], task.canonical) == 1


def test_a_chat_model_answers_in_a_box_or_behind_the_phrase(tmp_path: Path) -> None:
    task = own(tmp_path, [MATH_500])
    asked, example = in_chat(task), read_split(task, "test")[0]
    for text in (r"It is $\boxed{\frac12}$.", "The answer is 0.5.", r"**Answer:** $\frac{1}{2}$"):
        assert asked.grade(text, example.answer)
    assert not asked.grade("The answer is 0.6.", example.answer)
    assert asked.solution_text(example).endswith(r"The answer is \frac{1}{2}.")
