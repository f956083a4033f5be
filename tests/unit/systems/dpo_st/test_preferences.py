"""Preference pairs and pseudo-labels: the rules, by hand, and the scripts on degenerate samples."""

import json
import random
from pathlib import Path

import pytest

import make_preferences
import make_pseudo_labels
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.models.scratch import build_tokenizer
from retrace.schemas import Example, Preference, PseudoLabel, Trajectory
from retrace.systems.dpo_st.preferences import (
    cap_at_percentile,
    gather,
    gold_solutions,
    jaccard,
    pairs_of_question,
    solutions_of_question,
    token_sets,
    unlike,
)


class Words(dict):
    """Tokens are words."""

    def __missing__(self, text: str) -> frozenset[str]:
        return frozenset(text.split())


def test_jaccard():
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5
    assert jaccard(frozenset("ab"), frozenset("cd")) == 0.0
    assert jaccard(frozenset(), frozenset()) == 1.0
    assert jaccard(frozenset(), frozenset("a")) == 0.0


def test_of_like_texts_the_first_is_kept():
    # a b c d and a b c e share 3 of 5 tokens (.6); a b c d and a b c d e 4 of 5 (.8)
    assert unlike(["a b c d", "a b c e", "a b c d e"], Words(), 0.7) == ["a b c d", "a b c e"]
    assert unlike(["a b c d e"], Words(), 0.7, ["a b c d"]) == ["a b c d"]
    assert unlike(["a b c d", "a b c e"], Words(), 0.6) == ["a b c d", "a b c e"], "equal to the limit is unlike"


def test_the_least_similar_pairs_first():
    pairs = pairs_of_question("a b", ["e f"], ["a x", "e f g h i", "a b c"], Words(), random.Random(0))
    likeness = [round(pair[2], 4) for pair in pairs]
    assert likeness == [0.0, 0.0, 0.0]
    assert {pair[:2] for pair in pairs} == {("a b", "e f g h i"), ("e f", "a x"), ("e f", "a b c")}
    everything = pairs_of_question("a b", ["e f"], ["a x", "e f g h i", "a b c"], Words(), random.Random(0), count=99)
    assert [round(pair[2], 4) for pair in everything] == [0.0, 0.0, 0.0, 0.3333, 0.4, 0.6667]


def test_degenerate_questions():
    draw = random.Random(0)
    before = draw.getstate()
    assert pairs_of_question("a", ["b"], [], Words(), draw) == []
    assert draw.getstate() == before, "where nothing is wrong no random number is drawn"
    assert pairs_of_question(None, [], ["x"], Words(), draw) == []
    assert pairs_of_question("a b", [], ["x", "x", "x"], Words(), draw) == [("a b", "x", 0.0)]
    # A reference that was graded wrong never stands on both sides.
    assert pairs_of_question("a b", [], ["a b"], Words(), draw) == []
    assert solutions_of_question(None, [], Words()) == []
    assert solutions_of_question(None, ["b", "b"], Words()) == ["b"]
    assert solutions_of_question("z", ["z"], Words()) == ["z"]
    assert solutions_of_question("z y", ["b", "a"], Words()) == ["z y", "a", "b"]


def test_the_cap():
    assert cap_at_percentile([["a"]] * 8 + [["a", "b"], ["a", "b", "c"]]) == 2  # 90th percentile 2.1
    assert cap_at_percentile([[], ["a"], ["a"]]) == 1, "questions without a solution do not count"
    assert cap_at_percentile([[], []]) == 0
    assert cap_at_percentile([["a"] * 500]) == 100


def example(number: int, answer: str = "1+1=<<1+1=2>>2\n#### 2") -> Example:
    steps = answer.split("\n")[:-1]
    return Example(
        id=f"q{number}",
        question=f"Q{number}?",
        answer=answer,
        steps=steps,
        final_answer="2",
        split="train",
        source="here",
    )


def sample(number: int, text: str, correct: bool) -> Trajectory:
    row = {"example_id": f"q{number}", "text": text, "correct": correct, "final_answer": None}
    return Trajectory(**row, steps=[], tokens=3, logprob=-1.0, sampling_seed=0)


def test_samples_of_all_rounds_come_together():
    first, second = [sample(0, "a", True), sample(0, " ", False)], [sample(0, "a", True), sample(0, "b", False)]
    one = gather([example(0), example(1)], [("one", first), ("two", second)])["q0"]
    assert (one.right, one.wrong, one.empty, one.repeated) == (["a", "a"], ["b"], 1, 1)
    with pytest.raises(UserError, match="two:1: example_id 'q7' is not in the data"):
        gather([example(0)], [("one", first), ("two", [sample(7, "a", True)])])


def test_references_that_are_known():
    rows = [example(0), example(1), example(2, "#### 2")]
    assert gold_solutions(rows, -1, lambda row: row.id) == {"q0": "q0", "q1": "q1"}, "an answer alone is no solution"
    assert gold_solutions(rows, 1, lambda row: row.id) == {"q0": "q0"}
    assert gold_solutions(rows, 0, lambda row: row.id) == {}


def test_token_sets(tmp_path):
    tokenizer = build_tokenizer(["apples and pears", "1 + 1 = 2"], "|", 300)
    tokenizer.save_pretrained(tmp_path)
    texts = ["apples and apples", "", "1 + 1"]
    for text, tokens in token_sets(tmp_path, texts).items():
        assert tokens == set(tokenizer.tokenize(text))
    with pytest.raises(UserError, match=r"tokenizer.json: the tokenizer cannot be read \(no such file\)"):
        token_sets(tmp_path / "elsewhere", texts)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="the tokenizer cannot be read"):
        token_sets(tmp_path, texts)


# ---------------------------------------------------------------- the scripts


@pytest.fixture
def run(tmp_path):
    """Run both scripts on rounds of samples; their rows and reports."""
    build_tokenizer(["apples pears plums 1 + 1 = 2"], "|", 300).save_pretrained(tmp_path / "model")
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ntitle: Mine\nfamily: word_problems\nformat: question_answer\nsplits: {test: {file: x.jsonl}}\n"
    )
    (tmp_path / "tiny.yaml").write_text("name: tiny\ntitle: Tiny\nfamily: encoder_decoder\nscratch: {}\n")

    def both(examples: list[Example], *rounds: list[Trajectory], options: list[str] = []) -> dict:  # noqa: B006
        write_jsonl(tmp_path / "train.jsonl", examples)
        for number, rows in enumerate(rounds):
            write_jsonl(tmp_path / f"round{number}.jsonl", rows)
        files = [str(tmp_path / f"round{number}.jsonl") for number in range(len(rounds))]
        words = ["--task-file", str(tmp_path / "mine.yaml"), "--model-file", str(tmp_path / "tiny.yaml")]
        words += ["--tokenizer", str(tmp_path / "model"), "--data", str(tmp_path / "train.jsonl"), "--form", "dpo_st"]
        words += ["--trajectories", *files, *options]
        found = {}
        for name, script, more, row in (
            ("pairs", make_preferences, ["--seed", "0"], Preference),
            ("labels", make_pseudo_labels, [], PseudoLabel),
        ):
            out = {"output": tmp_path / f"{name}.jsonl", "report": tmp_path / f"{name}.json"}
            script.main([*words, *more, *(word for key, path in out.items() for word in (f"--{key}", str(path)))])
            found[name] = read_jsonl(out["output"], row, allow_empty=True), json.loads(out["report"].read_text())
        return found

    return both


GOLD = "1 + 1 = [ 1 + 1 = 2] 2. #### 2"


def test_pairs_and_labels_of_a_round(run):
    examples = [example(0), example(1), example(2)]
    rows = [
        sample(0, "apples apples #### 2", True),
        sample(0, "pears #### 3", False),
        sample(0, "pears #### 3", False),
        sample(1, "plums #### 2", True),
        sample(2, "", False),
        sample(2, "pears #### 3", False),
    ]
    found = run(examples, rows)
    pairs, report = found["pairs"]
    assert [(pair.example_id, pair.chosen, pair.rejected) for pair in pairs if pair.example_id == "q2"] == [
        ("q2", GOLD, "pears #### 3")
    ]
    assert {pair.chosen for pair in pairs if pair.example_id == "q0"} == {GOLD, "apples apples #### 2"}
    assert report == {
        "samples_of_this_round": 6,
        "correct_samples_of_this_round": 2,
        "questions": 3,
        "samples": 6,
        "correct_samples": 2,
        "empty_samples": 1,
        "repeated_samples": 1,
        "questions_without_correct_sample": 1,
        "questions_without_incorrect_sample": 1,
        "references_graded_wrong": 0,
        "questions_with_pairs": 2,
        "pairs": 3,
        "development_pairs": 0,
    }
    labels, report = found["labels"]
    assert [(row.example_id, row.solution, row.origin) for row in labels] == [
        ("q0", GOLD, "gold"),
        ("q0", "apples apples #### 2", "sampled"),
        ("q1", GOLD, "gold"),
        ("q1", "plums #### 2", "sampled"),
        ("q2", GOLD, "gold"),
    ]
    assert (report["cap"], report["gold"], report["pseudo_labels"], report["new_in_this_round"]) == (2, 3, 2, 2)


def test_the_cap_cuts_and_never_the_reference(run):
    texts = ["apples #### 2", "plums ( ) ; ! #### 2", "? : % & @ * #### 2"]
    rows = [sample(0, text, True) for text in texts] + [sample(n, "x #### 3", False) for n in range(1, 20)]
    labels, report = run([example(n) for n in range(20)], rows)["labels"]
    assert [row.solution for row in labels if row.example_id == "q0"] == [GOLD]
    assert (report["cap"], report["dropped_by_the_cap"]) == (1, 3)


def test_all_right_all_wrong_and_nothing_new(run):
    examples = [example(0), example(1)]
    right = [sample(n, f"{fruit} #### 2", True) for n, fruit in ((0, "apples"), (1, "pears"))]
    wrong = [sample(n, "plums #### 3", False) for n in range(2)]
    pairs, report = run(examples, right)["pairs"]
    assert pairs == []
    assert report["questions_without_incorrect_sample"] == 2
    pairs, report = run(examples, wrong)["pairs"]
    assert [pair.chosen for pair in pairs] == [GOLD, GOLD]
    assert report["questions_without_correct_sample"] == 2
    labels, report = run(examples, right, right)["labels"]
    assert (report["pseudo_labels"], report["new_in_this_round"], report["repeated_samples"]) == (2, 0, 2)
    labels, report = run(examples, wrong)["labels"]
    assert (report["gold"], report["pseudo_labels"]) == (2, 0)
    assert [row.origin for row in labels] == ["gold", "gold"]


def test_a_reference_that_was_graded_wrong_is_counted_and_makes_no_pair_of_equal_sides(run):
    pairs, report = run([example(0)], [sample(0, GOLD, False), sample(0, "pears #### 3", False)])["pairs"]
    assert report["references_graded_wrong"] == 1
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [(GOLD, "pears #### 3")]


def test_only_so_many_references_are_used(run):
    rows = [
        sample(n, text, right) for n in range(2) for text, right in (("pears #### 2", True), ("plums #### 3", False))
    ]
    found = run([example(0), example(1)], rows, options=["--labelled", "1"])
    assert {pair.chosen for pair in found["pairs"][0] if pair.example_id == "q1"} == {"pears #### 2"}
    labels, report = found["labels"]
    assert [(row.example_id, row.origin) for row in labels] == [("q0", "gold"), ("q1", "sampled")]
    assert (report["cap"], report["dropped_by_the_cap"]) == (1, 1)  # the 90th percentile of 2 and 1 is 1.9
    with pytest.raises(UserError, match="no correct solution and no reference"):
        run([example(0)], [sample(0, "plums #### 3", False)], options=["--labelled", "0"])


def test_only_so_many_questions_are_sampled(run):
    rows = [sample(0, "pears #### 2", True), sample(0, "plums #### 3", False)]
    examples, options = [example(0), example(1)], ["--max-questions", "1"]
    found = run(examples, rows, options=options)
    for _, report in found.values():
        assert (report["questions"], report["questions_without_correct_sample"]) == (1, 0)
    labels = [(row.example_id, row.origin) for row in found["labels"][0]]
    assert ("q1", "gold") in labels, "known references count, sampled or not"
    assert found["pairs"] == run([example(0)], rows)["pairs"]
    with pytest.raises(UserError, match="example_id 'q1' is not in the data"):
        run(examples, [*rows, sample(1, "pears #### 2", True)], options=options)


def test_pairs_do_not_depend_on_other_questions(run):
    def rows(numbers):
        return [
            sample(n, f"{fruit} {n} #### {2 + wrong}", not wrong)
            for n in numbers
            for fruit in ("apples", "pears ( )", "plums ! ? :")
            for wrong in (0, 1)
        ]

    whole = run([example(n) for n in range(6)], rows(range(6)))["pairs"][0]
    part = run([example(n) for n in range(3, 6)], rows(range(3, 6)))["pairs"][0]
    assert part == [pair for pair in whole if pair.example_id in ("q3", "q4", "q5")]


def test_held_out_pairs_are_whole_questions(tmp_path, run):
    rows = [sample(n, f"{fruit} #### {2 + n % 2}", n % 2 == 0) for n in range(40) for fruit in ("apples", "pears ( )")]
    labels = ["--labelled", "-1"]
    assert {pair.split for pair in run([example(n) for n in range(40)], rows, options=labels)["pairs"][0]} == {"train"}
    words = ["--task-file", str(tmp_path / "mine.yaml"), "--model-file", str(tmp_path / "tiny.yaml")]
    words += ["--tokenizer", str(tmp_path / "model"), "--data", str(tmp_path / "train.jsonl"), "--seed", "0"]
    words += ["--trajectories", str(tmp_path / "round0.jsonl"), "--development-share", "0.3"]
    words += ["--output", str(tmp_path / "held.jsonl"), "--report", str(tmp_path / "held.json")]
    make_preferences.main(words)
    pairs = read_jsonl(tmp_path / "held.jsonl", Preference)
    sides: dict[str, set[str]] = {}
    for pair in pairs:
        sides.setdefault(pair.example_id, set()).add(pair.split)
    assert all(len(splits) == 1 for splits in sides.values())
    assert set.union(*sides.values()) == {"train", "dev"}
    report = json.loads(Path(tmp_path / "held.json").read_text())
    assert report["development_pairs"] == sum(pair.split == "dev" for pair in pairs)
