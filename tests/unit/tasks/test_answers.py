"""Final answers read from free text and compared."""

import pytest

from retrace.tasks import answers
from retrace.tasks.answer_kinds import NUMBER, OPTION, WORDS

PHRASES = ["The answer is", "####"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 + 4 = 7. The answer is 7.", "7"),
        ("The answer is 5. No: the answer is $1,200.50.", "1200.5"),
        ("THE ANSWER IS: -12 apples", "-12"),
        ("The answer is 2 + 3 = 5", "5"),
        ("The answer is 50%.", "50"),
        ("some steps | #### 24", "24"),
        ("He pays 5 and gets 600-407", "407"),  # no phrase: the last number; a minus between numbers is no sign
        ("The answer is unknown, maybe 4 or 9", "4"),
        ("The answer is not clear", None),
        ("", None),
    ],
)
def test_numbers(text: str, number: str | None) -> None:
    assert answers.read_number(text, PHRASES) == number


OPTIONS = {"A": "dry palms", "B": "wet palms", "C": "palms covered with oil", "D": "oil"}


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ("dry palms", "dry palms"),
        ("'Dry palms'.", "dry palms"),
        ("(B)", "wet palms"),
        ("b", None),  # a small letter alone names nothing
        ("(b)", "wet palms"),
        ("B. wet palms", "wet palms"),
        ("C) palms covered with oil", "palms covered with oil"),
        ("palms covered with oil, since it is slippery", "palms covered with oil"),  # not the shorter `oil` inside it
        ("oil", "oil"),
        ("either dry palms or wet palms", None),
        ("A hand with dry palms", "dry palms"),  # the article is no label
        ("E", None),
        ("soap", None),
    ],
)
def test_options(words: str, chosen: str | None) -> None:
    assert answers.choose_option(words, OPTIONS) == chosen


def test_numbered_options_are_also_known_by_letters() -> None:
    options = {"1": "north", "2": "south"}
    assert answers.choose_option("(2)", options) == "south"
    assert answers.choose_option("B", options) == "south"


def test_an_option_may_stand_in_the_last_line_only() -> None:
    assert answers.read_option("Oil is slippery.\nSo wet palms it is", PHRASES, OPTIONS) == "wet palms"
    assert answers.read_option("Oil or wet palms?\nHard to say", PHRASES, OPTIONS) is None
    assert answers.read_option("", PHRASES, OPTIONS) is None


def test_options_in_a_reference() -> None:
    reference = "(A) dry palms\n(B) palms (wet)\n#### dry palms"
    assert answers.options_of(reference) == {"A": "dry palms", "B": "palms (wet)"}
    assert answers.options_of("#### dry palms") == {}


def test_words() -> None:
    assert answers.read_words("so the answer is  'Blue whale'.", PHRASES) == "Blue whale"
    assert answers.read_words("first\nblue whale", PHRASES) == "blue whale"
    assert answers.read_words("   ", PHRASES) is None
    assert answers.same_words("Blue  Whale.", "blue whale")
    assert not answers.same_words(None, "blue whale")


@pytest.mark.parametrize(
    ("text", "right", "kind", "verdict"),
    [
        ("The answer is 7.", "7", "numeric", True),
        ("The answer is 7 apples.", "7", "numeric", False),
        ("The answer is 7.\nOr 8?", "7", "numeric", False),
        ("7", "7", "numeric", False),
        ("The answer is 1,200", "1200", "numeric", True),
        ("The answer is dry palms.", "dry palms", "multiple_choice", True),
        ("The answer is (A) dry palms.", "dry palms", "multiple_choice", False),
        ("#### yes", "Yes", "exact_match", True),
    ],
)
def test_strictly_the_text_ends_in_the_phrase_and_the_answer(text, right, kind, verdict) -> None:
    judge = {one.name: one for one in (NUMBER, OPTION, WORDS)}[kind]
    assert judge.ends_in(text, PHRASES, right) is verdict


def test_numbers_are_the_same_up_to_rounding() -> None:
    assert answers.same_number("33.33333", "33.3333")
    assert not answers.same_number("33.3", "33.4")
    assert not answers.same_number(None, "1")
