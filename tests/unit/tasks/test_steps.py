"""Cutting solutions into steps and joining them again."""

import pytest

from retrace.tasks import steps


def test_lines_and_delimiters_are_step_ends():
    text = "Tom has 3+4 = <<3+4=7>>7 apples.\nHe  eats 2 |  7-2 = <<7-2=5>>5.\n#### 5"
    assert steps.split_steps(text, "|") == ["Tom has 3+4 = <<3+4=7>>7 apples", "He eats 2", "7-2 = <<7-2=5>>5"]


def test_print_lines_of_programs_are_no_steps():
    assert steps.split_steps("n0 = 3.0\nanswer = n0\nprint(answer)\n#### 3", ";") == ["n0 = 3.0", "answer = n0"]
    assert steps.split_steps("he can print 3 | 2 | #### 1", "|") == ["he can print 3", "2"]


@pytest.mark.parametrize("text", ["", "#### 5", "  \n#### 5", "A: #### 5", "| | #### 5"])
def test_a_bare_answer_has_no_steps(text):
    assert steps.split_steps(text, "|") == []


def test_only_a_leading_mark_of_the_answer_goes_and_a_bare_marker_ends_the_steps():
    assert steps.split_steps("A: District A: 5 | all: 6 | ####7", "|") == ["District A: 5", "all: 6"]


@pytest.mark.parametrize("delimiter", ["|", ";"])
def test_join_and_split_are_inverse(delimiter):
    parts = ["a = 1", "b = a + 2"]
    assert steps.join_steps(parts, delimiter, "3") == f"a = 1 {delimiter} b = a + 2 {delimiter} #### 3"
    assert steps.join_steps(parts, delimiter) == f"a = 1 {delimiter} b = a + 2 {delimiter}"
    assert steps.join_steps([], delimiter) == ""
    assert steps.join_steps([], delimiter, "3") == "#### 3"
    assert steps.split_steps(steps.join_steps(parts, delimiter, "3"), delimiter) == parts


def test_sentences_keep_decimals_titles_and_initials_whole():
    text = "Mr. Lee has 3.5 kg. J. Lee gets 2.50 = <<2.5=2.5>>2.5. How? By train!"
    assert steps.split_sentences(text) == [
        "Mr. Lee has 3.5 kg",
        "J. Lee gets 2.50 = <<2.5=2.5>>2.5",
        "How?",
        "By train!",
    ]
