"""The four layouts of Kojima et al.'s files: the real ones (with --mirror), and every malformed row."""

import json
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.tasks.formats import demonstrations, read_split, shared_questions
from retrace.tasks.load import load_task

CONFIG = Path(__file__).parents[3] / "config"
CHOICES = [
    {"label": label, "text": text} for label, text in zip("ABCDE", "bank shop mall park zoo".split(), strict=True)
]
CSQA = {"id": "q1", "answerKey": "B", "question": {"stem": "Where are goods sold?", "choices": CHOICES}}
SQA = {"input": "Is ice cold?", "target_scores": {"Yes": 1, "No": 0}, "target": "Yes. Ice is frozen. It is at 0 C."}
ARITH = {"iIndex": 0, "lEquations": ["X=((3.0+4.0)*2.0)"], "lSolutions": [14.0], "sQuestion": " How many? "}
SVAMP = {
    "ID": "chal-1",
    "Body": "He has 7 pens.",
    "Question": "How many are left?",
    "Equation": "( 7.0 - 2.5 )",
    "Answer": 4.5,
}
FAMILY = {
    "commonsense_qa": "lettered_choice",
    "strategy_qa": "yes_no",
    "multiarith": "word_problems",
    "svamp": "word_problems",
}
GOOD = {"commonsense_qa": CSQA, "strategy_qa": SQA, "multiarith": ARITH, "svamp": SVAMP}
REAL = {
    "commonsense_qa": (9254, 486, 1221),
    "strategy_qa": (1488, 114, 685),
    "multiarith_kojima": (377, 29, 173),
    "svamp_kojima": (650, 50, 299),
}


def task_of(layout: str, rows: list, folder: Path, more: str = ""):
    """A task whose test split is these rows in a layout's own file form."""
    if layout == "commonsense_qa":
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = json.dumps({"examples": rows} if layout == "strategy_qa" else rows)
    (folder / "rows.json").write_text(text, encoding="utf-8")
    path = folder / "mine.yaml"
    path.write_text(
        f"name: mine\ntitle: Mine\nfamily: {FAMILY[layout]}\nformat: {layout}\n{more}splits: {{test: {{file: rows.json}}}}\n"
    )
    return load_task(path)


def test_good_rows(tmp_path) -> None:
    read = {layout: read_split(task_of(layout, [row], tmp_path), "test")[0] for layout, row in GOOD.items()}
    csqa = read["commonsense_qa"]
    assert csqa.question == "Where are goods sold? Answer choices: (a) bank (b) shop (c) mall (d) park (e) zoo"
    assert (csqa.id, csqa.final_answer, csqa.steps, csqa.answer) == ("q1", "b", [], "#### b")
    sqa = read["strategy_qa"]
    assert (sqa.final_answer, sqa.steps) == ("yes", ["Ice is frozen", "It is at 0 C"])
    assert sqa.answer == "Ice is frozen. It is at 0 C.\n#### yes"
    assert read["multiarith"].steps == ["<<3+4=7>>", "<<7*2=14>>"]
    assert read["multiarith"].question == "How many?"
    assert (read["svamp"].id, read["svamp"].steps, read["svamp"].final_answer) == ("chal-1", ["<<7-2.5=4.5>>"], "4.5")


@pytest.mark.parametrize("body", ["He has 7 pens.", "He has 7 pens"])
def test_the_first_part_of_a_problem_ends_in_a_full_stop(body: str, tmp_path) -> None:
    found = read_split(task_of("svamp", [SVAMP | {"Body": body}], tmp_path), "test")[0]
    assert found.question == "He has 7 pens. How many are left?"


def test_rows_of_ones_own_may_bring_a_rationale(tmp_path) -> None:
    row = CSQA | {"rationale": "Goods are sold in shops."}
    assert read_split(task_of("commonsense_qa", [row], tmp_path), "test")[0].steps == ["Goods are sold in shops"]


def test_an_equation_that_does_not_come_to_the_answer_gives_no_steps(tmp_path) -> None:
    found = read_split(task_of("svamp", [SVAMP | {"Answer": 9.0}], tmp_path), "test")[0]
    assert (found.steps, found.final_answer) == ([], "9")


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("commonsense_qa", {"answerKey": "F"}, "answerKey 'F' is none of A, B, C, D, E"),
        ("commonsense_qa", {"answerKey": None}, "answerKey None is none of"),
        ("commonsense_qa", {"question": "Where?"}, "needs `question` with `stem` and a list of `choices`"),
        ("commonsense_qa", {"question": {"stem": "Q?", "choices": CHOICES[1:]}}, r"in their order \(got B, C, D, E\)"),
        ("commonsense_qa", {"question": {"stem": "", "choices": CHOICES}}, "field 'stem' must be a text"),
        ("strategy_qa", {"target_scores": {"Yes": 1, "No": 1}}, "exactly one of Yes and No"),
        ("strategy_qa", {"target": "No. Ice is warm."}, "must begin with the right answer, 'Yes. '"),
        ("strategy_qa", {"input": 5}, "field 'input' must be a text"),
        ("multiarith", {"lEquations": []}, "exactly one equation"),
        ("multiarith", {"lEquations": ["X=__import__('os')"]}, "numbers and . - . / only"),
        ("multiarith", {"lEquations": ["X=3+"]}, "is no equation"),
        ("multiarith", {"lEquations": ["X=" + "(" * 5000]}, "is no equation"),
        ("multiarith", {"lEquations": ["X=9**9**9"]}, "numbers and . - . / only"),
        ("svamp", {"Answer": "four"}, "the answer 'four' is no number"),
        ("svamp", {"Answer": True}, "the answer True is no number"),
        ("svamp", {"Equation": "( 3.0 / 0.0 )"}, "divides by zero"),
    ],
)  # fmt: skip
def test_malformed_rows_are_named(layout: str, change: dict, message: str, tmp_path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_split(task_of(layout, [GOOD[layout], GOOD[layout] | change], tmp_path), "test")
    assert "rows.json" in str(caught.value)
    assert "2" in str(caught.value)  # the row's number


def test_repeated_questions_are_kept_once_where_they_are_counted(tmp_path) -> None:
    rows = [ARITH, ARITH | {"sQuestion": "How  many?"}, ARITH | {"sQuestion": "What else?"}]
    with pytest.raises(UserError, match="ask the same question"):
        read_split(task_of("multiarith", rows, tmp_path), "test")
    found = read_split(task_of("multiarith", rows, tmp_path, "repeats_left_out: 1\n"), "test")
    assert [example.question for example in found] == ["How many?", "What else?"]
    with pytest.raises(UserError, match="2 questions stand in the file again, `repeats_left_out` says 1"):
        read_split(task_of("multiarith", [*rows, ARITH], tmp_path, "repeats_left_out: 1\n"), "test")


@pytest.mark.parametrize("name", REAL)
def test_the_real_files(name: str, request) -> None:
    mirror = request.config.getoption("--mirror")
    if not mirror:
        pytest.skip("no folder of mirrored data given (--mirror DIR)")
    task = load_task(name, CONFIG)
    splits = {split: read_split(task, split, mirror) for split in ("train", "dev", "test")}
    assert tuple(map(len, splits.values())) == REAL[name]
    for split, examples in splits.items():
        assert shared_questions(task, split, examples, mirror) == {}
        for example in examples:
            assert task.grade(task.solution_text(example), example.answer)
            assert task.grade_strict(task.solution_text(example), example.answer)
    assert len(demonstrations(task, 6, mirror)) == 6


def test_questions_that_a_prompt_shows_with_their_answers_are_left_out(tmp_path) -> None:
    rows = [SVAMP, SVAMP | {"ID": "chal-2", "Question": "How many are there?"}]
    task = task_of("svamp", rows, tmp_path)
    path = tmp_path / "mine.yaml"
    ids = [example.id for example in read_split(task, "test")]
    whole = path.read_text()
    path.write_text(whole.replace("file: rows.json", f"file: rows.json, without: [{ids[0]}]"))
    assert [example.id for example in read_split(load_task(path), "test")] == ids[1:]
    path.write_text(whole.replace("file: rows.json", "file: rows.json, without: [chal-9]"))
    with pytest.raises(
        UserError, match=r"mine.yaml: splits.test.without: no question has the id 'chal-9'; mend the list"
    ):
        read_split(load_task(path), "test")
