"""Answers in free text: a corpus of what chat models write, every way of writing a number, and the tasks that read it."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrace.systems.learn_to_reason.cleanup import answer_in, stated_answer
from retrace.systems.learn_to_reason.reasoning import reasoning_lines
from retrace.tasks import answers
from retrace.tasks.answer_kinds import LETTER, NUMBER, OPTION, WORDS, YES_OR_NO
from retrace.tasks.answer_task import AnswerTask, in_chat
from retrace.tasks.load import load_task

CONFIG = Path(__file__).parents[3] / "config"
CASES = json.loads((Path(__file__).parent / "free_text_cases.json").read_text(encoding="utf-8"))
KINDS = {kind.name: kind for kind in (NUMBER, OPTION, WORDS, YES_OR_NO, LETTER)}
PHRASES = ["The answer is", "####"]
OPTIONS = {
    "multiple_choice": {"A": "dry palms", "B": "wet soil", "C": "oil"},
    "letter": {"a": "bank", "b": "park", "c": "new york"},
}


@pytest.mark.parametrize("case", CASES, ids=[f"{case['kind']} {case['text'][-40:]!r}" for case in CASES])
def test_what_models_write(case: dict[str, str]) -> None:
    kind = KINDS[case["kind"]]
    assert kind.read(case["text"], PHRASES, OPTIONS.get(case["kind"], {})) == case["right"]


# ---------------------------------------------------------------- every number in every frame

FRAMES = [
    "The answer is {}.",
    "There are 3 bags.\n\nSo the answer is: {}",
    "So 3 + 4.\nAnswer: {}",
    "**Answer:** {}",
    "**Answer: {}**",
    "3 bags.\n\n**Final Answer**\n\n{}",
    "### Final answer\n{}\n",
    "ANSWER - {}",
    "3 bags | #### {}",
    "Step 1: 3 bags.\nStep 2: 4 pens.\n#### {}",
    "Therefore, the final answer is **{}** pens for 3 bags.",
    "The answer is {} pens (since 18/2=9).",
    "The answer is {}, because 3*6=18.",
    "| Item | Count |\n|---|---|\n| **Answer** | {} |",
    "<think>The answer is 7.</think>\n\nAnswer: {}",
    "Answer: 7\n\nThat was too quick.\n\nAnswer: {}",
    "Answer: {}\n\nCheck: 3*6=18, and 18/6=3.",
    "The answer is:\n\n{}",
    "1. There are 3 bags.\n2. Each has 6 pens.\n\nHence, the answer to the question would be {}.",
    "Answer: {}\n\nQuestion: How many are 7 bags?\nAnswer: 42",
]
LATEX_FRAMES = [
    "So we have\n\\[ \\boxed{{{}}} \\]",
    "The answer is $\\boxed{{{}}}$ pens for 3 bags.",
    "The answer is \\({}\\).",
    "The answer is $${}$$",
    "Thus \\boxed{{\\text{{{}}}}}.",
]


def grouped(digits: str, mark: str) -> str:
    whole, point, rest = digits.partition(".")
    groups = f"{int(whole):,}".replace(",", mark)
    return groups + point + rest


def styles(value: Fraction) -> list[str]:
    """The ways to write a number: whole or with up to three decimals."""
    digits = answers.shown(abs(value))
    sign = "-" if value < 0 else ""
    marks = [",", "\u202f", "\u00a0", "'", "’", "{,}", "\\,"]
    written = [f"{sign}{form}" for form in (digits, *(grouped(digits, mark) for mark in marks))]
    wide = "".join(chr(ord(digit) + 0xFEE0) if digit.isdigit() else digit for digit in digits)
    written += [
        f"{sign}{wide}",
        f"{sign}${grouped(digits, ',')}",
        f"{sign}€{digits}",
        f"{sign}\\${digits}",
        f"{digits}",
    ]
    written += [f"−{digits}"] if value < 0 else [f"USD{grouped(digits, ',')}", f"{digits}%", f"{digits}\\%"]
    return written[:-5] + written[-4:] if value < 0 else written


numbers = st.builds(Fraction, st.integers(-(10**9), 10**9), st.sampled_from([1, 1, 2, 4, 8, 10, 100, 1000]))


@given(numbers, st.data())
def test_every_number_is_read_in_every_style_and_frame(value: Fraction, data: st.DataObject) -> None:
    written = data.draw(st.sampled_from(styles(value)))
    if value < 0 and not written.startswith(("-", "−")):
        written = f"-{written}"
    frame = data.draw(st.sampled_from(FRAMES + LATEX_FRAMES))
    assert answers.read_number(frame.format(written), PHRASES) == answers.shown(value)


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.sampled_from(FRAMES))
def test_fractions_and_mixed_numbers_are_read_whole(whole: int, above: int, below: int, frame: str) -> None:
    for written in (f"{whole} {above}/{below}", f"{whole}\\frac{{{above}}}{{{below}}}", f"{whole} and {above}/{below}"):
        assert answers.read_number(frame.format(written), PHRASES) == answers.shown(whole + Fraction(above, below))


@given(st.integers(-500, 500), st.integers(-500, 500), st.sampled_from(FRAMES))
def test_of_an_equation_the_result_is_read(first: int, second: int, frame: str) -> None:
    right = str(first * second)
    for written in (f"{first} * {second} = {right}", f"{first}×({second}) = {right}", f"x = {right}"):
        assert answers.read_number(frame.format(written), PHRASES) == right


@given(st.text(alphabet="0123456789.,-+*/=$ \n#{}\\|Aanswer:()<>thik", max_size=80))
def test_no_text_breaks_the_reader(text: str) -> None:
    for kind in KINDS.values():
        kind.read(text, PHRASES, {})


@pytest.mark.parametrize(
    "part",
    [
        "**",
        "$",
        "_",
        "\\boxed{",
        "<think>",
        "Answer: ",
        "the answer to ",
        "the ",
        "3=",
        "3 ",
        "| ",
        "1. ",
        "(a)",
        "1,000",
    ],
)
def test_long_nonsense_ends(part: str) -> None:
    for text in (part * 2000, f"{part}\n" * 2000):
        for kind in (NUMBER, LETTER, YES_OR_NO):
            kind.read(text, PHRASES, {})
        reasoning_lines(text)


# ---------------------------------------------------------------- tasks that read it


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("The answer is $9{,}500.", "9500", "9"),
        ("The answer is \u22125.", "-5", "5"),
        ("The answer is \\frac{1}{2}.", "0.5", "1"),
        ("The answer is USD1,200.", "1200", "1200"),
        ("Therefore, the final answer is $\\boxed{18}$ pens for 3 bags.", "18", "3"),
        ("The answer is 18 (since 18/2=9).", "18", "18"),
        ("The answer is 20 + 4 = 24.", "20", "20"),
        ("She sold 48 / 2 = 24", "24", "24"),
    ],
)
def test_latros_task_shows_whole_numbers_and_grades_as_its_authors(text: str, answer: str, right: str) -> None:
    task = in_chat(load_task("gsm8k", CONFIG))
    assert task.extract(text) == answer
    assert task.grade(text, f"#### {right}")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: 21", "a"),
        ("Answer: $21.5", "b"),
        ("Answer: 5", "c"),
        ("Answer: (b) 21.5", "b"),
        ("Answer: (b) 21", None),
    ],
)
def test_choices_that_are_numbers_are_known_by_their_text(text: str, letter: str | None) -> None:
    assert LETTER.read(text, PHRASES, {"a": "21", "b": "21.5", "c": "5"}) == letter


def plain_arc() -> AnswerTask:
    """ARC as a chat model answers it, its answers read behind the phrase."""
    config = load_task("arc_challenge", CONFIG).config
    read = config.model_copy(update={"chat": config.chat.model_copy(update={"grader": "phrase"})})
    return in_chat(AnswerTask(read, CONFIG / "tasks/arc_challenge.yaml"))


ARC_GOLD = "(A) dry palms\n(B) wet soil\n(C) oil\n#### wet soil"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The answer is **B**.", True),
        ("The answer is \\boxed{B}.", True),
        ("Soil holds water.\n\n**Answer: (B) wet soil**", True),
        ("The answer is (A) dry palms.", False),
        ("The answer is (B): dry palms", False),
        ("Hard to say", False),
    ],
)
def test_a_choice_in_markdown_is_graded(text: str, right: bool) -> None:
    assert plain_arc().grade(text, ARC_GOLD) is right


def test_the_strict_grader_stays_strict() -> None:
    task = plain_arc()
    assert task.grade_strict("The answer is wet soil.", ARC_GOLD)
    for text in ("The answer is B.", "The answer is (B) wet soil.", "**Answer:** wet soil", "\\boxed{wet soil}"):
        assert not task.grade_strict(text, ARC_GOLD)
    assert NUMBER.ends_in("The answer is 1,200.", PHRASES, "1200")
    assert not NUMBER.ends_in("**Answer:** 1200", PHRASES, "1200")
    assert not NUMBER.ends_in("The answer is 3*400 = 1200", PHRASES, "1200")


@pytest.mark.parametrize("name", ["commonsense_qa", "strategy_qa"])
def test_lettered_and_yes_or_no_questions_are_read_in_chat(name: str) -> None:
    task = in_chat(load_task(name, CONFIG))
    right = "b" if name == "commonsense_qa" else "yes"
    text = f"It is so.\n\n**Answer: {'(B)' if name == 'commonsense_qa' else 'Yes'}**, as **no** other fits"
    assert task.extract(text) == right
    assert task.grade(text, f"#### {right}")
    assert not task.grade(text, "#### no" if right == "yes" else "#### a")


def test_right_words_may_hold_marks_and_full_stops() -> None:
    for right in ("__init__", "*args*", "snake_case_name", "St. Louis", "Wait. What then?", "a|b"):
        found = WORDS.read(f"It is simple.\nThe answer is {right}", PHRASES, {})
        assert WORDS.same(found, right, {}), (right, found)
    assert not WORDS.same(WORDS.read("The answer is main", PHRASES, {}), "__init__", {})


def test_families_without_a_free_form_read_answer_lines_too() -> None:
    coin, product = load_task("coin_flip", CONFIG), load_task("mult_4x4", CONFIG)
    assert answer_in(coin, "It is heads up.\n\n**Answer:** yes") == "yes"
    assert answer_in(coin, "It is heads up") is None
    assert answer_in(product, "Multiply.\nAnswer: 1 2 3") == "1 2 3"


def test_what_was_cut_off_in_the_projects_own_form_is_read_as_ever() -> None:
    task = load_task("gsm8k", CONFIG)
    assert answer_in(task, "<<3+4=7>> | He has 7 pens in 2 bags | <<26-18=") == "-18"
    assert answer_in(task, "<<3+4=7>> | #### 7 | #### 9") == "7"
    authors = task.in_form("learn_to_reason_zero_shot", "decoder_only")
    text = "There are 3 bags.\n\nEach has 6.\n\nAnswer: 18"
    assert answer_in(authors, text) == "3", "a student's sample in the authors' form is read by their rule"
    assert stated_answer(authors, text) == "18"
