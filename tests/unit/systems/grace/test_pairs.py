"""Pairs: stitching by hand-made alignments, the limit a prefix, and the development split."""

from collections import Counter

import pytest

from retrace.errors import UserError
from retrace.schemas import Alignment, Example
from retrace.systems.grace.options import Pairing
from retrace.systems.grace.pairs import Triple, development_questions, limit_negatives, make_pairs, stitch


def same_letter(step, reference, prefix):
    """A step 'a1' is right where the reference is 'a...'."""
    return step[0] == reference[0]


def triples(trajectory, reference, **options):
    made = stitch(trajectory.split(), reference.split(), same_letter, **options)
    return [(" ".join(triple.prefix), triple.positive, triple.negative) for triple in made]


def test_wrong_step_after_a_right_one_gives_both_prefixes():
    assert triples("a1 x1 c1", "a b c") == [("a1", "b", "x1"), ("a", "b", "x1")]


def test_wrong_first_step_gives_one():
    assert triples("x1 b1", "a b") == [("", "a", "x1")]


def test_missing_step_enters_the_prefix_from_the_reference():
    assert triples("_ x1", "a b") == [("a", "b", "x1")]


def test_extra_step_is_a_negative_and_stays_out():
    assert triples("a x1 y1 b1 z1", "a _ _ b c") == [
        ("a", "b", "x1"),
        ("a", "b", "y1"),
        ("a b1", "c", "z1"),
        ("a b", "c", "z1"),
    ]
    assert triples("a x1 y1 b1 z1", "a _ _ b c", break_after_extra_step=True) == [("a", "b", "x1")]


def test_extra_step_at_the_end_has_no_positive():
    assert triples("a x1", "a _") == []


def test_double_gap_and_no_error():
    assert triples("a _ b", "a _ b") == []


def test_first_error_only_gives_one():
    assert triples("a1 x1 y1", "a b c", first_error_only=True) == [("a1", "b", "x1")]
    assert triples("a x1 b1 z1", "a _ b c", first_error_only=True) == [("a", "b", "x1")]
    assert triples("_ x1", "a b", first_error_only=True) == [("a", "b", "x1")]


def test_invalid_prefix_lets_the_wrong_step_in_and_goes_on():
    draws = iter([0.05, 0.5])
    made = triples("a x1 y1 d1", "a b c d", invalid_prefix_prob=0.1, draw=lambda: next(draws))
    assert made == [("a x1", "c", "y1"), ("a b", "c", "y1")]


def test_prefix_reaches_the_judge():
    seen = []

    def judge(step, reference, prefix):
        seen.append(list(prefix))
        return True

    list(stitch(["a", "b"], ["a", "b"], judge))
    assert seen == [[], ["a"]]


def test_unequal_lists_are_refused():
    with pytest.raises(UserError, match="2 and 1 entries"):
        list(stitch(["a", "b"], ["a"], same_letter))


def test_most_frequent_negatives_stay():
    a, b, c = (Triple((), "p", name) for name in "abc")
    other = Triple(("x",), "p", "a")
    drawn = [a, b, c, c, other, b]
    assert limit_negatives(drawn, 2) == [b, c, other]
    assert limit_negatives(drawn, 1) == [b, other]
    assert limit_negatives(drawn, -1) == drawn
    assert limit_negatives(drawn, 0) == []


def test_development_questions():
    ids = [f"q{number}" for number in range(200)]
    held_out = development_questions(ids, 0.15, seed=0)
    assert len(held_out) == 30
    assert held_out == development_questions(ids[::-1], 0.15, seed=0)
    assert held_out != development_questions(ids, 0.15, seed=1)
    assert len(development_questions(["a", "b"], 0.01, seed=0)) == 1
    assert len(development_questions(["a", "b"], 0.99, seed=0)) == 1
    with pytest.raises(UserError, match="1 of the questions can be used"):
        development_questions(["a"], 0.5, seed=0)


def example(name):
    return Example(
        id=name,
        question=f"Q {name}?",
        answer="#### 1",
        steps=["a", "b"],
        final_answer="1",
        split="train",
        source="test",
    )


def many(questions=20, repeats=3):
    return [
        Alignment(example_id=f"q{q}", trajectory=["a", f"x{r // 2}"], reference=["a", "b"], cost=0.4)
        for q in range(questions)
        for r in range(repeats)
    ]


EXAMPLES = {f"q{number}": example(f"q{number}") for number in range(20)}


def test_pairs_of_a_question_share_a_split():
    pairs, counts = make_pairs(EXAMPLES, many(), same_letter, Pairing(development_share=0.25), seed=3)
    assert len(pairs) == 60
    assert counts["questions"] == 20
    assert counts["dev"] == 15
    by_question = {}
    for pair in pairs:
        by_question.setdefault(pair.example_id, set()).add(pair.split)
        assert pair.question == f"Q {pair.example_id}?"
        assert (pair.prefix, pair.positive) == (["a"], "b")
    assert all(len(splits) == 1 for splits in by_question.values())
    assert Counter(next(iter(splits)) for splits in by_question.values()) == {"train": 15, "dev": 5}


def test_repetitions_stay_unless_limited():
    pairs, _ = make_pairs(EXAMPLES, many(), same_letter, Pairing(max_per_prefix=1), seed=3)
    assert [pair.negative for pair in pairs] == ["x0"] * 20


def test_invalid_prefixes_are_drawn_by_seed_and_question():
    rows = [Alignment(example_id=f"q{q}", trajectory=["x", "y"], reference=["a", "b"], cost=1) for q in range(20)]
    options = Pairing(invalid_prefix_prob=0.5)
    first, _ = make_pairs(EXAMPLES, rows, same_letter, options, seed=0)
    again, _ = make_pairs(EXAMPLES, rows[::-1], same_letter, options, seed=0)
    other, _ = make_pairs(EXAMPLES, rows, same_letter, options, seed=1)
    assert {pair.negative for pair in first} == {"x", "y"}
    assert sorted(map(str, first)) == sorted(map(str, again))
    assert [pair.negative for pair in first] != [pair.negative for pair in other]


def test_equal_steps_make_no_pair():
    rows = [
        Alignment(example_id=f"q{q}", trajectory=["b  b", "b b", "x"], reference=["_", "b b", "c"], cost=1)
        for q in range(2)
    ]
    pairs, counts = make_pairs(EXAMPLES, rows, same_letter, Pairing(), seed=0)
    assert counts["same_text"] == 2
    assert {pair.negative for pair in pairs} == {"x"}


def test_no_pairs_at_all_says_what_to_relax():
    rows = [Alignment(example_id="q0", trajectory=["a", "b"], reference=["a", "b"], cost=0)]
    with pytest.raises(UserError, match=r"1 have no wrong step.*align\.max_cost"):
        make_pairs(EXAMPLES, rows, same_letter, Pairing(), seed=0)
