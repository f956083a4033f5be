"""The layouts of Kojima et al.'s files: the real ones (with --mirror), and every malformed row."""

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
AQUA = {
    "question": "What is 2+2?",
    "options": ["A)3", "B)4", "C)5 (or so)", "D)6", "E)None of these"],
    "rationale": "Two and two are four.\nHence, the correct answer is option B.",
    "correct": "B",
}
UNKNOWN = {"lEquations": ["20-(x*2)=6"], "lSolutions": ["7"], "sQuestion": "How many did he give ?"}
LETTERS = {"question": 'Take the last letters of each words in "Ann Bo" and concatenate them.', "answer": "no"}
TRACKED = {
    "input": "Alice, Bob, and Claire are dancers at a square dance. At the start of a song, they each have a partner: Alice "
    "is dancing with Sam, Bob is dancing with Lola, and Claire is dancing with Helga. \n\nThroughout the song, the dancers "
    "often trade partners. First, Alice and Bob switch partners. Then, Claire and Bob switch partners. At the end of the "
    "dance, Bob is dancing with ",
    "target_scores": {"Sam.": 0, "Lola.": 0, "Helga.": 1},
}
FAMILY = {
    "aqua": "lettered_choice",
    "one_unknown": "word_problems",
    "last_letters": "worked_words",
    "tracked_objects": "worked_words",
    "commonsense_qa": "lettered_choice",
    "strategy_qa": "yes_no",
    "multiarith": "word_problems",
    "svamp": "word_problems",
}
GOOD = {"commonsense_qa": CSQA, "strategy_qa": SQA, "multiarith": ARITH, "svamp": SVAMP}
GOOD |= {"aqua": AQUA, "one_unknown": UNKNOWN, "last_letters": LETTERS, "tracked_objects": TRACKED}
LINES = ("commonsense_qa", "aqua")  # a row a line
NESTED = ("strategy_qa", "last_letters", "tracked_objects")  # {"examples": [...]}
REAL = {
    "commonsense_qa": (9254, 486, 1221),
    "strategy_qa": (1488, 114, 685),
    "multiarith_kojima": (377, 29, 173),
    "svamp_kojima": (650, 50, 299),
    "last_letters": (325, 25, 150),
    "object_tracking": (488, 37, 225),
    "aqua": (165, 13, 76),
    "addsub": (257, 20, 118),
    "singleeq": (330, 26, 152),
}


def task_of(layout: str, rows: list, folder: Path, more: str = ""):
    """A task whose test split is these rows in a layout's own file form."""
    if layout in LINES:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = json.dumps({"examples": rows} if layout in NESTED else rows)
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
        ("strategy_qa", {"target_scores": {"Yes": 1, "No": 1}}, "1 to exactly one choice"),
        ("strategy_qa", {"target_scores": {"Maybe": 1}}, "exactly one of Yes and No"),
        ("aqua", {"options": ["A)1", "B)2"]}, "a list of five texts"),
        ("aqua", {"options": ["A)1", "B)2", "D)3", "C)4", "E)5"]}, r"in their order \(got 'D\)3'\)"),
        ("aqua", {"options": ["A)1", "B)2", "C) ", "D)4", "E)5"]}, r"in their order \(got 'C\) '\)"),
        ("aqua", {"correct": "b"}, "must be a letter from A to E"),
        ("aqua", {"rationale": ""}, "field 'rationale' must be a text"),
        ("one_unknown", {"lSolutions": ["many"]}, "the answer 'many' is not a number"),
        ("one_unknown", {"lSolutions": ["1/3"]}, "the answer '1/3' is not a number in digits"),
        ("one_unknown", {"lSolutions": [True]}, "the answer True is not a number"),
        ("one_unknown", {"lSolutions": [1, 2]}, "exactly one equation in `lEquations` and one number"),
        ("one_unknown", {"lEquations": ["x=9**9**9"]}, "numbers and . - . / only"),
        ("one_unknown", {"lEquations": ["x=" + "(" * 5000]}, "is no equation"),
        ("one_unknown", {"lEquations": ["x=1/0"]}, "divides by zero"),
        ("last_letters", {"answer": ""}, "field 'answer' is empty"),
        ("tracked_objects", {"target_scores": {"red ball.": 1, "blue ball.": 1}}, "1 to exactly one choice"),
        ("strategy_qa", {"target": "No. Ice is warm."}, "must begin with the right answer, 'Yes. '"),
        ("strategy_qa", {"input": 5}, "field 'input' must be a text"),
        ("multiarith", {"lEquations": []}, "exactly one equation"),
        ("multiarith", {"lEquations": ["X=__import__('os')"]}, "numbers and . - . / only"),
        ("multiarith", {"lEquations": ["X=3+"]}, "is no equation"),
        ("multiarith", {"lEquations": ["X=" + "(" * 5000]}, "is no equation"),
        ("multiarith", {"lEquations": ["X=9**9**9"]}, "numbers and . - . / only"),
        ("svamp", {"Answer": "four"}, "the answer 'four' is not a number"),
        ("svamp", {"Answer": True}, "the answer True is not a number"),
        ("svamp", {"Equation": "( 3.0 / 0.0 )"}, "divides by zero"),
    ],
)  # fmt: skip
def test_malformed_rows_are_named(layout: str, change: dict, message: str, tmp_path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_split(task_of(layout, [GOOD[layout], GOOD[layout] | change], tmp_path), "test")
    assert "rows.json" in str(caught.value)
    assert "2" in str(caught.value)  # the row's number


def test_choices_and_rationale_of_aqua(tmp_path) -> None:
    found = read_split(task_of("aqua", [AQUA], tmp_path), "test")[0]
    assert found.question == "What is 2+2? Answer choices: (a) 3 (b) 4 (c) 5 (or so) (d) 6 (e) None of these"
    assert (found.steps, found.final_answer) == (["Two and two are four"], "b")
    whole = AQUA | {"rationale": "Two and two are four, so that (B) is what remains when all others are struck out."}
    assert "(B) is what remains" in read_split(task_of("aqua", [whole], tmp_path), "test")[0].steps[0]


@pytest.mark.parametrize(
    ("equation", "answer", "steps"),
    [
        ("X = 70 - 27", "43", ["<<70-27=43>>"]),
        ("70-x=27", 43.0, ["<<70-27=43>>"]),
        ("8=2+x", 6, ["<<8-2=6>>"]),
        ("20-(x*2)=6", "7", ["<<20-6=14>>", "<<14/2=7>>"]),
        ("12/x=4", 3, ["<<12/4=3>>"]),
        ("(x/3)+1=5", "12", ["<<5-1=4>>", "<<4*3=12>>"]),
        ("x-7-4=5", "16", ["<<5+4=9>>", "<<9+7=16>>"]),
        ("3*4=x*2", 6.0, ["<<3*4=12>>", "<<12/2=6>>"]),
        ("x=34*4", 134, []),  # the equation does not come to the answer
        ("X = 33 = 18", "18", []),
        ("9=3+6", 6, []),
        ("x+x=4", 2, []),
        ("0*x=4", 2, []),
        ("x**2=4", 2, []),
        ("-x=4", -4, []),
    ],
)
def test_steps_that_solve_an_equation(equation: str, answer: object, steps: list[str], tmp_path) -> None:
    row = UNKNOWN | {"lEquations": [equation], "lSolutions": [answer]}
    found = read_split(task_of("one_unknown", [row], tmp_path), "test")[0]
    assert (found.steps, found.final_answer) == (steps, str(answer).removesuffix(".0"))


def test_answers_of_equations_keep_all_their_digits(tmp_path) -> None:
    row = UNKNOWN | {"lEquations": ["X = 0.75 + 0.16666666666666666"], "lSolutions": ["0.9166666666666666"]}
    assert read_split(task_of("one_unknown", [row], tmp_path), "test")[0].final_answer == "0.9166666666666666"


def test_last_letters_are_steps(tmp_path) -> None:
    found = read_split(task_of("last_letters", [LETTERS], tmp_path), "test")[0]
    letters = ['The last letter of "Ann" is "n"', 'The last letter of "Bo" is "o"', 'Put together they are "no"']
    assert (found.steps, found.final_answer) == (letters, "no")
    compound = LETTERS | {"question": LETTERS["question"].replace("Ann Bo", "Ann Lee Bo")}
    found = read_split(task_of("last_letters", [compound], tmp_path), "test")[0]
    assert (found.steps, found.final_answer) == ([], "no")


def test_swaps_of_tracked_objects_are_steps(tmp_path) -> None:
    found = read_split(task_of("tracked_objects", [TRACKED], tmp_path), "test")[0]
    assert found.steps == [
        "Alice and Bob switch partners: Alice is dancing with Lola, Bob is dancing with Sam, Claire is dancing with Helga",
        "Claire and Bob switch partners: Alice is dancing with Lola, Bob is dancing with Helga, Claire is dancing with Sam",
    ]
    assert found.final_answer == "Helga"
    wrong = TRACKED | {"target_scores": {"Sam.": 1, "Lola.": 0, "Helga.": 0}}
    found = read_split(task_of("tracked_objects", [wrong], tmp_path), "test")[0]
    assert (found.steps, found.final_answer) == ([], "Sam")


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
    for source in task.config.splits.values():
        if source.url and not (file := Path(mirror) / source.url.removeprefix("https://")).exists():
            pytest.skip(f"{file}: not in this mirror")
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
