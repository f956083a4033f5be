"""Right answers that are numbers: read exactly whatever they look like, or refused naming place, value and mend."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import golds
from retrace.tasks.answer_task import in_chat
from retrace.tasks.base import Task, canonical
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task

READ = {
    # As they have always been written: digits and their point, without commas and dollar sign.
    "18": "18", "-5": "-5", "0": "0", "007": "007", "1,200": "1200", "1,234,567.89": "1234567.89",
    "0.50": "0.50", ".5": ".5",
    "5.": "5", "+3": "3", "$5": "5", "-$5": "-5", "$-5": "-5", "$ 7.25": "7.25", "50%": "50", "1,00,000": "100000",
    # With a unit.
    "6 hours ": "6", "22 (red and green peaches combined)": "22", "1 cracker and 1 cake": "1", "5cm": "5", "5 m^2": "5",
    "20 cm3": "20", "3/4 cup": "0.75", "60 km/h": "60", "$5/hour": "5", "5 dollars.": "5", "30°": "30",
    "5 °C": "5", "50¢": "50",
    "12 sq. ft.": "12", "5 tons of CO2": "5", "3 a day": "3", "20 meters squared": "20", "7 (per box)": "7",
    "5 €": "5", "5$": "5", "5 $ a day": "5",
    # Fractions, exponents, signs and marks of other kinds.
    "1/2": "0.5", "-3/4": "-0.75", "12 1/2": "12.5", "½": "0.5", "2¾": "2.75", "10/5": "2", "1e3": "1000",
    "1.5e3": "1500",
    "1e-05": "0.00001", "2E+2": "200", "−5": "-5", "–5": "-5", "1 000": "1000", "1 234 567": "1234567",
    "1\u202f200": "1200",
    "1'000": "1000", "€150": "150", "USD 1,200": "1200", "1.2×10^3": "1200", r"3 \times 10^{2}": "300",
    "１８": "18", "١٢": "12",
    "-0": "0", "7 1/2%": "7.5",
    # Marks of LaTeX and Markdown around them.
    r"\boxed{5}": "5", r"$9{,}500$": "9500", r"\(18\)": "18", "**18**": "18", "`18`": "18", r"\frac{1}{2}": "0.5",
    r"$5\text{ cm}$": "5", r"90^\circ": "90", r"\$18": "18", r"50\%": "50", r"**\boxed{-5}**": "-5", "$$7$$.": "7",
    "9007199254740993": "9007199254740993", "0.30000000000000004": "0.30000000000000004",
}  # fmt: skip
REFUSED = {
    "can be read in two ways": [
        "1,5", "2,5", "€1,50", "1,2345", "1000,000", "1,2,3", "12,34", "1.234,5", "1.234.567", "1.5.2",
    ],
    "holds more than a number": [
        "3:30", "2^10", "10-12", "5 or 6", "5 - 3", "5=5", "x = 5", "= 5", "~5", "about 5", "(5)", "2 hours 30 minutes",
        "3 hours and 3 minutes", "5 5", "5 of 5", "5 per 100 g", "10 000,5", "1/2/3", "5 (half of 12)", "5\n6", "12 34",
        "2024-01-05", "minus 5", "2+3", "# 5",
    ],
    "changes the number": [
        "5 million", "5k", "2 dozen", "3.5M", "15 and a half", "3 quarters", "2x", "5 x", "3π", "5e", "0x10",
        "5 squared",
        "5 hundred", "5i", "15 degrees below zero", "5 (thousand)", "3 apples or more",
    ],
    "is not one number with its unit": ["5!", "5,", "5 ?", "1_000", "5+", "5|", "5 - apples"],
    "is not a number": ["1/0", "A1", "H2O", "1e9999"],
    "no end in decimals": ["1/3", "-2/7", "1 1/3", "⅓", r"\frac{5}{6}", "2/3 cup"],
    "too large": ["1e300", "-1e301"],
}  # fmt: skip


def task_of(folder: Path, rows: list[dict] | str, family: str = "word_problems", form: str = "question_answer") -> Task:
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")
    yaml = f"name: own\ntitle: Own\nfamily: {family}\nformat: {form}\nsplits: {{test: {{file: rows.jsonl}}}}\n"
    (folder / "own.yaml").write_text(yaml + ("step_kind: coin_flip\n" if family == "symbolic" else ""))
    return load_task(folder / "own.yaml")


def example_of(folder: Path, answer: str, family: str = "word_problems") -> tuple[Task, Example]:
    task = task_of(folder, [{"question": "Q?", "answer": answer}], family)
    return task, read_split(task, "test")[0]


def test_every_way_to_write_a_number_is_read_exactly(tmp_path: Path) -> None:
    rows = [{"question": f"{number}?", "answer": f"So.\n#### {text}"} for number, text in enumerate(READ)]
    examples = read_split(task_of(tmp_path, rows), "test")
    assert {text: example.final_answer for text, example in zip(READ, examples, strict=True)} == READ
    assert [example.answer for example in examples] == [f"So.\n#### {final}" for final in READ.values()]


@pytest.mark.parametrize(("why", "text"), [(why, text) for why, texts in REFUSED.items() for text in texts])
def test_what_is_not_surely_one_number_is_refused(tmp_path: Path, why: str, text: str) -> None:
    rows = [{"question": "A?", "answer": "#### 1"}, {"question": "B?", "answer": f"So.\n#### {text}"}]
    with pytest.raises(UserError) as caught:
        read_split(task_of(tmp_path, rows), "test")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'rows.jsonl'}:2: the final answer ")
    assert repr(" ".join(text.split())) in message
    assert why in message
    assert any(mend in message for mend in ("write ", "leave the row out"))


def test_a_second_marker_is_refused(tmp_path: Path) -> None:
    for family, answer in (
        ("word_problems", "a\n#### 5\n#### 6"),
        ("exact_match", "#### a\n#### b"),
        ("yes_no", "####yes ####"),
    ):
        with pytest.raises(UserError, match=r"rows.jsonl:1: '####' appears 2 times; keep the one before the final"):
            example_of(tmp_path, answer, family)


@pytest.mark.parametrize(
    ("family", "answer", "final"),
    [
        ("word_problems", "4", "4"),
        ("word_problems", " 1,200 ", "1200"),
        ("word_problems", "1/2", "0.5"),
        ("numeric", "4", "4"),
        ("numeric", "1/3", "1/3"),
        ("programs", "4", "4"),
        ("exact_match", "blue  whale", "blue whale"),
        ("multiple_choice", "(B)", "(B)"),
        ("yes_no", "Yes", "Yes"),
        ("lettered_choice", "(b)", "b"),
        ("symbolic", "heads", "heads"),
    ],
)
def test_a_bare_answer_is_the_final_answer(tmp_path: Path, family: str, answer: str, final: str) -> None:
    task, example = example_of(tmp_path, answer, family)
    assert (example.final_answer, example.answer, example.steps) == (final, f"#### {final}", [])
    assert task.solution_text(example) == f"#### {final}"


@pytest.mark.parametrize(
    ("family", "answer"),
    [
        ("word_problems", "it is 5"),
        ("word_problems", "2+2 = 4"),
        ("word_problems", "6 hours"),
        ("word_problems", "4\nSo it is."),
        ("numeric", "six"),
        ("exact_match", "one\ntwo"),
        ("yes_no", "perhaps"),
        ("yes_no", "yes, as it is"),
        ("lettered_choice", "bank"),
    ],
)
def test_a_solution_without_final_answer_is_refused(tmp_path: Path, family: str, answer: str) -> None:
    with pytest.raises(
        UserError, match=r"rows.jsonl:1: the answer has no final value; end it with '#### \w+', or let it be"
    ):
        example_of(tmp_path, answer, family)


def test_a_bare_answer_in_two_readings_is_refused_with_its_fault(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the final answer '2,5': its commas and points can be read in two ways"):
        example_of(tmp_path, "2,5")


@pytest.mark.parametrize(
    ("number", "final"),
    [
        ("4", "4"), ("1e-05", "0.00001"), ("1e20", "100000000000000000000"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("0.1", "0.1"), ("2.50", "2.5"), ("-0.0", "0"), ("[3.0]", "3"), ("9007199254740993", "9007199254740993"),
        ("9007199254740993.5", "9007199254740993.5"),
        ("12345678901234567890.125", "12345678901234567890.125"), ("-1.5E3", "-1500"),
    ],
)  # fmt: skip
def test_numbers_in_json_are_read_exactly(tmp_path: Path, number: str, final: str) -> None:
    task = task_of(tmp_path, f'{{"question": "Q?", "answer": {number}}}\n', form="question_number")
    example = read_split(task, "test")[0]
    assert (example.final_answer, example.answer) == (final, f"#### {final}")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("NaN", "'nan'"), ("Infinity", "'inf'"), ("true", "'True'"), ("null", "'None'"), ('"12"', "'12'"),
        ("[1, 2]", "'[1, 2]'"),
        ("1e999", "'inf'"), ("1e-99999999", "'1e-99999999'"), ("9" * 450, "of more than 400 digits"),
        ("1e305", "too large"), ("{}", "'{}'"),
    ],
)  # fmt: skip
def test_other_json_values_are_refused(tmp_path: Path, number: str, shown: str) -> None:
    task = task_of(tmp_path, f'{{"question": "Q?", "answer": {number}}}\n', form="question_number")
    with pytest.raises(UserError, match=r"rows.jsonl:1: .*(in digits|too large)") as caught:
        read_split(task, "test")
    assert shown in str(caught.value)


@pytest.mark.parametrize(
    ("groundtruth", "final"),
    [
        ("1,200", "1,200"), ("$5", "$5"), ("6 hours", "6 hours"), ("1/2", "0.5"),
        ("1e3", "1000"), ("−5", "-5"), ("1/3", "1/3"), (1e-05, "0.00001"),
    ],
)  # fmt: skip
def test_stated_answers_stay_unless_they_would_be_cut(tmp_path: Path, groundtruth: object, final: str) -> None:
    row = {"queries": "Q?", "responses": "The answer is so.", "groundtruth": groundtruth}
    assert read_split(task_of(tmp_path, [row], "numeric", "queries_responses"), "test")[0].final_answer == final


def test_stated_answers_in_two_readings_are_refused(tmp_path: Path) -> None:
    row = {"queries": "Q?", "responses": "The answer is so.", "groundtruth": "5 or 6"}
    with pytest.raises(UserError, match=r"rows.jsonl:1: the final answer '5 or 6' holds more than a number"):
        read_split(task_of(tmp_path, [row], "numeric", "queries_responses"), "test")


def test_answers_in_words_keep_their_commas(tmp_path: Path) -> None:
    for answer, final in (("1,200", "1200"), ("1,5", "1,5"), ("1, 2", "1, 2"), ("$5", "5"), ("1/2", "1/2")):
        assert example_of(tmp_path, f"#### {answer}", "exact_match")[1].final_answer == final


LINES = {"1,500": ("1500", "#### 1500"), " 7 ": ("7", "####  7"), "1/2": ("0.5", "#### 0.5"), "50/10": ("5", "#### 5"),
         "$9": ("9", "#### $9"), "4 0 1": ("4 0 1", "#### 4 0 1"), "6 pens": ("6", "#### 6 pens")}  # fmt: skip


def test_lines_stay_as_they_are_written_unless_they_would_be_cut(tmp_path: Path) -> None:
    text = "".join(f"{number}?||<<3*6=18>> #### {answer}\n" for number, answer in enumerate(LINES))
    examples = read_split(task_of(tmp_path, text, form="lines"), "test")
    found = [(example.final_answer, example.answer.rpartition("\n")[2]) for example in examples]
    assert found == list(LINES.values())


def test_digits_that_stand_apart_are_graded_whole(tmp_path: Path) -> None:
    task = task_of(tmp_path, "2 * 7||x #### 4 1\n", form="lines")
    gold = read_split(task, "test")[0].answer
    for text, right in (("x #### 4 1", True), ("x #### 4", False), ("x #### 4 2", False), ("x #### 41", False)):
        assert task.grade(text, gold) is right
        assert task.grade_strict(text, gold) is right


def test_faulty_answers_are_left_out_and_counted_where_faulty_rows_are(tmp_path: Path, capsys) -> None:
    task = task_of(tmp_path, "a?||x #### 1\nb?||x #### 2,5\nc?||x #### 3\n", form="lines")
    with pytest.raises(UserError, match=r"rows.jsonl:2: the final answer '2,5'"):
        read_split(task, "test")
    path = tmp_path / "own.yaml"
    path.write_text(path.read_text().replace("file: rows.jsonl", "file: rows.jsonl, skip_faulty: true"))
    examples = read_split(load_task(path), "test")
    assert [(example.id, example.final_answer) for example in examples] == [("test-00001", "1"), ("test-00003", "3")]
    noted = capsys.readouterr().err
    assert "1 rows with faulty answers were left out" in noted
    assert "rows.jsonl:2: the final answer '2,5'" in noted


# ---------------------------------------------------------------- grading

HALF = [
    ("0.5", True),
    ("1/2", True),
    (".50", True),
    ("2/4", True),
    ("½", False),
    ("1", False),
    ("0.05", False),
    ("5", False),
]


@pytest.mark.parametrize(("answer", "right"), HALF)
def test_a_half_is_graded_as_a_half(tmp_path: Path, answer: str, right: bool) -> None:
    task, example = example_of(tmp_path, "So.\n#### 1/2")
    assert task.grade(f"So | #### {answer}", example.answer) is right
    if answer != "½":  # GRACE's reader knows no such sign, the strict one does
        assert task.grade_strict(f"So | #### {answer}", example.answer) is right
        assert (canonical(task.extract(f"#### {answer}") or "") == canonical(example.final_answer)) is right
        for family in ("encoder_decoder", "decoder_only"):
            formed = task.in_form("dpo_st", family)
            assert formed.grade(f"So. #### {answer}", example.answer) is right
            assert (canonical(formed.extract(f"So. #### {answer}") or "") == canonical(example.final_answer)) is right


@pytest.mark.parametrize("grader", ["grade", "grade_strict"])
@pytest.mark.parametrize("form", ["steps", "dpo_st"])
def test_large_answers_are_told_apart(tmp_path: Path, grader: str, form: str) -> None:
    task, example = example_of(tmp_path, "#### 9007199254740993")
    judge = getattr(task.in_form(form, "encoder_decoder"), grader)
    assert judge("#### 9007199254740993", example.answer)
    assert not judge("#### 9007199254740992", example.answer)


def test_no_cent_is_lost_in_strict_grading(tmp_path: Path) -> None:
    task, example = example_of(tmp_path, "#### 25315080.979")
    assert task.grade_strict("#### 25,315,080.979", example.answer)
    assert not task.grade_strict("#### 25315081", example.answer)
    numeric, example = example_of(tmp_path, "#### 25315080.979", "numeric")
    assert numeric.grade_strict("#### 25315080.979", example.answer)
    assert not numeric.grade_strict("#### 25315081", example.answer)
    task, example = example_of(tmp_path, "#### 1e-7")
    assert task.grade_strict("#### 0.0000001", example.answer)
    assert not task.grade_strict("#### 0", example.answer)


def test_numbers_that_go_on_are_read_whole_in_samples(tmp_path: Path) -> None:
    task, _ = example_of(tmp_path, "#### 5")
    read = {"1e3": "1000", "12 1/2": "12.5", "−5": "-5", "1 000": "1000", "3/4 cup": "0.75", "1/3": "1/3",
    "5 apples": "5",
            "5%": "5", "1-2": "1", "5.0": "5.0", "10/0": "10", "1,5": "15"}  # fmt: skip
    assert {text: task.extract(f"x | #### {text}") for text in read} == read
    assert task.grade("#### 1/3", "#### 0.33333")


def test_programs_are_graded_against_the_exact_value(tmp_path: Path) -> None:
    task, example = example_of(tmp_path, "answer = 1 / 2\n#### 1/2", "programs")
    assert example.final_answer == "0.5"
    assert task.grade("answer = 3 / 6", example.answer)
    assert not task.grade("answer = 1", example.answer)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1/2", "0.5"), ("1e3", "1000"), ("−5", "-5"), ("1/3", "0.3333333333"), ("12 1/2", "12.50"),
        ("1 000", "1,000"),
        ("1e-05", "0.00001"), ("0.1", "0.1000000000000000055"), ("50%", "50"), ("$1,200.0", "1200"),
        ("100000000000000000", "1e17"),
    ],
)  # fmt: skip
def test_equal_numbers_meet_in_a_vote(first: str, second: str) -> None:
    assert canonical(first) == canonical(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1/2", "1"), ("1,5", "15"), ("25315080.979", "25315081"), ("9007199254740993", "9007199254740992"),
        ("12345678901", "12345678902"),
        ("1e-11", "2e-11"), ("1/3", "1"), ("3:30", "3"), ("1e400", "1e401"),
    ],
)  # fmt: skip
def test_different_numbers_do_not(first: str, second: str) -> None:
    assert canonical(first) != canonical(second)


# ---------------------------------------------------------------- any number, in any style

STYLES = [
    "{plain}", "${plain}", "{plain} apples", "{plain}%", "**{plain}**", r"\boxed{{{plain}}}", "{grouped}",
    "${grouped}", "{fraction}",
    "{exponent}", "{typographic}", "€{grouped}", "{plain} (as said)", "{latex}", "{mixed}",
]  # fmt: skip


@given(st.integers(-(10**9), 10**9), st.integers(0, 6), st.sampled_from(STYLES))
def test_any_finite_decimal_is_read_exactly_in_any_style(digits: int, places: int, style: str) -> None:
    value = Fraction(digits, 10**places)
    sign, size = ("-" if value < 0 else ""), abs(value)
    whole, part = divmod(size.numerator, size.denominator)
    point = f".{abs(digits) % 10**places:0{places}d}" if places else ""
    plain = f"{sign}{whole}{point}"
    text = style.format(
        plain=plain,
        grouped=f"{sign}{whole:,}{point}",
        fraction=f"{sign}{size.numerator}/{size.denominator}",
        exponent=f"{digits}e-{places}",
        typographic=plain.replace("-", "−"),
        latex=rf"{sign}\frac{{{size.numerator}}}{{{size.denominator}}}",
        mixed=f"{sign}{whole} {part}/{size.denominator}" if whole and part else plain,
    )
    final = golds.final_text(text)
    assert final is not None
    assert Fraction(final) == value
    assert golds.final_text(f"{text} ") == final
    assert Fraction(canonical(final)) == value or places > 5


# ---------------------------------------------------------------- families that read answers in free text


@pytest.mark.parametrize("chat", [False, True])
def test_numbers_alone_are_graded_exactly(tmp_path: Path, chat: bool) -> None:
    task, example = example_of(tmp_path, "So.\n#### 1/2", "numeric")
    asked = in_chat(task) if chat else task
    lead = "The answer is " if chat else "#### "
    for answer, right in (("0.5", True), ("1/2", True), ("1", False), ("2", False)):
        assert asked.grade(f"So. {lead}{answer}", example.answer) is right
        assert asked.grade_strict(f"So. {lead}{answer}", example.answer) is right


# ---------------------------------------------------------------- the page


def test_the_table_of_the_page_says_what_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "own_data.md").read_text(encoding="utf-8")
    table = page.partition("| behind `####` | read as |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    assert len(rows) == 14
    for written, read in rows:
        if read.startswith("refused"):
            with pytest.raises(UserError, match=r"rows\.jsonl:1: "):
                example_of(tmp_path, f"So.\n#### {written}")
        else:
            assert example_of(tmp_path, f"So.\n#### {written}")[1].final_answer == read
    assert '{"question": "2+2?", "answer": "4"}' in page
