"""Coin flips and shuffled objects: graders, states, and the generators of worked solutions."""

import re

import pytest

from retrace.errors import UserError
from retrace.tasks.families import symbolic

GENERATORS = {"coin_flip": symbolic.generate_coin_flip, "object_tracking": symbolic.generate_object_tracking}


def test_paper_grader_compares_words_with_their_case():
    assert symbolic.grade("so | #### yes.", "#### yes")
    assert not symbolic.grade("#### Yes", "#### yes")
    assert not symbolic.grade("yes", "#### yes")
    with pytest.raises(UserError, match="mend the data"):
        symbolic.grade("#### yes", "#### 5")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("x | #### yes", True),
        ("#### Yes.", True),
        ("#### yes indeed", False),
        ("#### yes | #### yes", False),
        ("", False),
    ],
)
def test_strict_grader(text, right):
    assert symbolic.grade_strict(text, "#### yes") is right


@pytest.mark.parametrize(
    ("step", "state"),
    [
        ("Ann flips the coin, so the coin is now tails up", {"coin": "tails"}),
        ("it was heads, now Tails", {"coin": "tails"}),
        ("the coin is not heads up", {"coin": "tails"}),
        ("Ann flips the coin", None),
    ],
)
def test_coin_state(step, state):
    assert symbolic.step_state(step, "coin_flip") == state


@pytest.mark.parametrize(
    ("step", "state"),
    [
        ("A swap: Alice has the red ball, Bob has the blue ball", {"Alice": "red ball", "Bob": "blue ball"}),
        ("Alice has red ball and Bob now has the blue ball.", {"Alice": "red ball", "Bob": "blue ball"}),
        ("Bob is playing left winger", {"Bob": "left winger"}),
        ("Bob is dancing with Karl", {"Bob": "karl"}),
        ("Alice and Bob swap balls", None),
    ],
)
def test_object_state(step, state):
    assert symbolic.step_state(step, "object_tracking") == state


def test_step_correct_compares_states():
    assert symbolic.step_correct("Bob flips: heads up", "The coin is now heads up", "coin_flip")
    assert not symbolic.step_correct("heads", "tails", "coin_flip")
    assert not symbolic.step_correct("no state", "no state", "coin_flip")


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        ("blue ball.", "blue"),
        ("left midfielder.", "leftmidfielder"),
        ("The Great Gatsby.", "GreatGatsby"),
        ("Catch-22.", "Catch"),
        ("Sam.", "Sam"),
    ],
)
def test_one_word(choice, word):
    assert symbolic.one_word(choice) == word


def test_coin_flip_solutions_are_right_by_counting_flips():
    for example in symbolic.generate_coin_flip("train", 100, 0, people=3):
        flips = len(re.findall(r"\w+ flips the coin\.", example.question))
        assert example.final_answer == ("yes" if flips % 2 == 0 else "no")
        assert len(example.steps) == 3
        last = symbolic.step_state(example.steps[-1], "coin_flip")
        assert last == {"coin": "heads" if flips % 2 == 0 else "tails"}


def test_object_tracking_solutions_are_right_by_replaying_the_swaps():
    for example in symbolic.generate_object_tracking("train", 200, 0):
        start, swaps = example.question.split("First, ")
        held = dict(
            re.findall(r"(Alice|Bob|Claire) (?:has a|gets|is playing|is dancing with) ([\w -]+?)(?=,|\.)", start)
        )
        assert len(held) == 3
        pairs = re.findall(r"(\w+) and (\w+) (?:swap|trade|switch)", swaps)
        assert len(pairs) == 3
        for (first, second), step in zip(pairs, example.steps, strict=True):
            held[first], held[second] = held[second], held[first]
            state = {who: what.lower().removeprefix("the ") for who, what in held.items()}
            assert symbolic.step_state(step, "object_tracking") == state
        asked = re.findall(r"(Alice|Bob|Claire)", swaps)[-1]
        assert example.final_answer == symbolic.one_word(held[asked])


@pytest.mark.parametrize("generate", GENERATORS.values(), ids=list(GENERATORS))
def test_splits_share_no_question_and_nothing_excluded_is_made(generate):
    train = list(generate("train", 400, 0))
    questions = {example.question for example in train}
    assert len(questions) == 400
    assert not questions & {example.question for example in generate("dev", 100, 0)}
    excluded = frozenset(list(questions)[:200])
    again = {example.question for example in generate("train", 400, 0, exclude=excluded)}
    assert not again & excluded
    assert train == list(generate("train", 400, 0))
    assert train != list(generate("train", 400, 1))


def test_too_many_questions_is_an_error():
    with pytest.raises(UserError, match="lower its count"):
        list(symbolic.generate_coin_flip("dev", 60, 0, people=1))
    with pytest.raises(UserError, match="people"):
        list(symbolic.generate_coin_flip("dev", 10, 0, people=0))
