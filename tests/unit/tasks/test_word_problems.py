"""Numbers in answers and steps: the papers' graders, the strict one, and what a step comes to."""

import pytest

from retrace.errors import UserError
from retrace.tasks.families import word_problems


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("7 | #### 18", "18"),
        ("#### 1,234.5 apples", "1234.5"),
        ("#### 7 #### 8", "7"),
        ("#### $18", None),
        ("18", None),
        ("#### ,", None),
        ("", None),
    ],
)
def test_extract_answer(text, answer):
    assert word_problems.extract_answer(text) == answer


def test_paper_grader_reads_the_first_answer_and_tolerates_what_follows():
    assert word_problems.grade("a | #### 5. and more", "#### 5.00")
    assert word_problems.grade("#### 5.00009", "#### 5")
    assert not word_problems.grade("#### 5.0002", "#### 5")
    assert not word_problems.grade("#### 5.5.5", "#### 5")
    assert not word_problems.grade("five", "#### 5")


@pytest.mark.parametrize("gold", ["5", "", "#### five"])
@pytest.mark.parametrize("grader", [word_problems.grade, word_problems.grade_strict])
def test_a_reference_without_a_number_is_an_error(gold, grader):
    with pytest.raises(UserError, match="mend the data"):
        grader("#### 5", gold)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("x | #### 1200", True),
        ("x | #### 1,200", True),
        ("x | #### $1,200.", True),
        ("x | #### 1200.0 ", True),
        ("x | #### 1200 apples", False),
        ("x | #### 1200 #### 1200", False),
        ("x | ### 1200", False),
        ("x | #### -1200", False),
        ("x | #### 1200.001", True),
        ("x | #### 1200.01", False),
        ("x | #### 1,20", False),
        ("#### 1200 | x", False),
    ],
)
def test_strict_grader(text, right):
    assert word_problems.grade_strict(text, "a\n#### 1200") is right


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("=1,200", 1200),
        ("= 5", 5),
        ("=$5", 5),
        ("costs = $ 1,000.50 now", 1000.5),
        ("3+4 = <<3+4=7>>7 apples", 7),
        ("loses <<2-5=-3>>-3", -3),
        ("= -$4", -4),
        ("it costs 12,450", 12450),
        ("from 10 to 20 cats.", 20),
        ("it is -5", -5),
        ("600-407", 407),
        ("x = .5", 0.5),
        ("1,2345", 2345),
        ("nothing", None),
        ("x = y", None),
        ("", None),
    ],
)
def test_step_value(step, value):
    assert word_problems.step_value(step) == value


@pytest.mark.parametrize(
    ("step", "reference", "right"),
    [
        ("=1,200", "=1", False),
        ("=1,200", "=1200", True),
        ("a = 5 of 6", "=5", True),
        ("it costs 12,450", "it costs 12,450", True),
        ("=$5", "=5", True),
        ("=5", "=6", False),
        ("none", "=6", False),
    ],
)
def test_steps_are_compared_by_whole_numbers(step, reference, right):
    assert word_problems.step_correct(step, reference) is right
