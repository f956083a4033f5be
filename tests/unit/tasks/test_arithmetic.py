"""The generated task: sound solutions, disjoint splits, the same rows everywhere."""

import hashlib
import re
from itertools import combinations

import pytest

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import arithmetic
from retrace.tasks.arithmetic import generate, normalized, split_of
from retrace.tasks.load import load_task

CORPUS = {"unfamiliar": 0.0, "min_clauses": 1, "distractors": 0.25}
STEP = re.compile(r"<<(\d+)([-+*])(\d+)=(\d+)>>")
DAY = re.compile(r"On (\w+) (\w+) (\w+) (?:(\d+)|(\d+) boxes of (\d+))\.")
GAINS = set("finds buys gets wins earns collects picks makes bakes borrows".split())
LOSSES = set("loses sells eats gives drops breaks donates spends burns lends".split())


def solve(question: str) -> int:
    """The answer, read from the question's words alone and not from what the generator wrote as a solution."""
    name, thing = re.search(r"How many (\w+) does (\w+) have\?$", question).group(2, 1)
    factor = 1
    if many := re.search(rf"{name} has (\d+) times as many\.", question):
        factor = int(many[1])
        name = re.match(r"(\w+) has", question)[1]
    total = int(re.search(rf"^{name} has (\d+) {thing}\.", question)[1])
    for _, who, verb, plain, boxes, size in DAY.findall(question):
        assert who == name
        assert (verb in GAINS) != (verb in LOSSES)
        amount = int(plain) if plain else int(boxes) * int(size)
        total += amount if verb in GAINS else -amount
    return total * factor


@pytest.mark.parametrize("settings", [{}, CORPUS, {"boxes": 0.6}, {"max_clauses": 4, "max_steps": 6, "boxes": 0.3}])
def test_solutions_are_right_whole_and_small(settings: dict[str, float]):
    for example in generate("test", 400, 7, **settings):
        *lines, last = example.answer.split("\n")
        assert lines == example.steps
        assert last == f"#### {example.final_answer}"
        assert int(example.final_answer) == solve(example.question)
        for step in example.steps:
            left, sign, right, result = STEP.fullmatch(step).groups()
            a, b, c = int(left), int(right), int(result)
            assert c == {"+": a + b, "-": a - b, "*": a * b}[sign]
            assert all(0 <= value <= 99 for value in (a, b, c))
        assert STEP.fullmatch(example.steps[-1])[4] == example.final_answer


def test_reference_solves_a_known_question():
    question = (
        "Tom has 33 pens. On Monday Tom finds 5. Ann has 7 pens. On Tuesday Tom loses 14. How many pens does Tom have?"
    )
    assert solve(question) == 24


def test_target_problems_have_two_to_four_steps_and_the_shift():
    examples = list(generate("test", 2000, 3))
    assert {len(example.steps) for example in examples} == {2, 3, 4}
    verbs = [verb for example in examples for _, _, verb, *_ in DAY.findall(example.question)]
    familiar = set(f"{arithmetic.FAMILIAR_GAINS} {arithmetic.FAMILIAR_LOSSES}".split())
    assert sum(verb not in familiar for verb in verbs) / len(verbs) == pytest.approx(0.75, abs=0.03)
    # A little more gains than losses: a draw that falls below nothing is thrown away.
    assert sum(verb in GAINS for verb in verbs) / len(verbs) == pytest.approx(0.54, abs=0.04)
    # A distractor is one more "has" sentence without a day and without "times".
    spare = [len(re.findall(r"has \d+ (?!times)", example.question)) - 1 for example in examples]
    assert set(spare) == {0, 1}
    assert sum(spare) / len(spare) == pytest.approx(0.5, abs=0.04)


def test_corpus_uses_its_own_verbs_only():
    verbs = {
        verb for example in generate("corpus", 500, 4, **CORPUS) for _, _, verb, *_ in DAY.findall(example.question)
    }
    assert verbs == set(f"{arithmetic.FAMILIAR_GAINS} {arithmetic.FAMILIAR_LOSSES}".split())


def test_own_verbs_replace_the_unfamiliar_ones():
    settings = {"unfamiliar": 1.0, "gains": "plants rents", "losses": "mails"}
    verbs = {
        verb for example in generate("train", 100, 0, **settings) for _, _, verb, *_ in DAY.findall(example.question)
    }
    assert verbs == {"plants", "rents", "mails"}


def test_a_tail_makes_verbs_as_frequent_as_zipfs_law_says():
    settings = {"unfamiliar": 1.0, "gains": "plants rents earns makes", "losses": "mails", "tail": 1.0}
    verbs = [
        verb for example in generate("train", 3000, 0, **settings) for _, _, verb, *_ in DAY.findall(example.question)
    ]
    gains = [verbs.count(verb) for verb in settings["gains"].split()]
    assert [count / sum(gains) for count in gains] == pytest.approx([0.48, 0.24, 0.16, 0.12], abs=0.02)
    with pytest.raises(UserError, match="arithmetic: tail is -1; give an exponent from 0 to 10"):
        next(generate("train", 1, 0, tail=-1))


def test_the_student_of_the_rare_verbs_knows_the_frequent_ones():
    splits = load_task("config/tasks/arithmetic_tail.yaml").config.splits
    for kind in ("gains", "losses"):
        known = str(splits["corpus"].settings[kind]).split()
        assert str(splits["train"].settings[kind]).split()[: len(known)] == known
        assert len(known) == 0.75 * len(str(splits["test"].settings[kind]).split())


def test_splits_share_no_question_even_with_one_seed_and_many_small_problems():
    narrow = {"unfamiliar": 0.0, "min_clauses": 1, "max_clauses": 1, "distractors": 0.0}
    made = {
        split: {normalized(example.question) for example in generate(split, 600, 0, **narrow)}
        for split in arithmetic.SHARES
    }
    assert all(len(questions) == 600 for questions in made.values()), "a split repeats a question"
    for one, other in combinations(made, 2):
        assert not made[one] & made[other]


def test_a_question_belongs_to_one_split_whatever_its_spacing_and_case():
    assert split_of("Tom has  3 pens. ") == split_of("tom has 3 PENS.")
    low, high = zip(*sorted(arithmetic.SHARES.values()), strict=True)
    assert (*low, 100) == (0, *high)  # the ranges cover 0 to 99 once


def test_the_same_arguments_give_the_same_rows_and_other_seeds_others():
    first = list(generate("train", 50, 1))
    assert first == list(generate("train", 50, 1))
    assert first == list(generate("train", 80, 1))[:50]
    assert not {example.question for example in first} & {example.question for example in generate("train", 50, 2)}


def test_multiples_can_be_read_in_one_way_only():
    """ "Ann has 3 times as many" follows the counted person's own clause, and Ann has no things of that kind before."""
    examples = generate("test", 1000, 3, multiples=1.0, distractors=1.0)
    for example in examples:
        sentences = re.findall(r"[^.?]+[.?]", example.question)
        owner = re.search(r"does (\w+) have", example.question)[1]
        assert sentences[-2].split()[0] == owner
        assert sentences[-3].startswith(" On ")
        assert sum(owner in sentence for sentence in sentences) == 2


def test_rows_are_pinned():
    """Rows must not change between Python versions or edits: results of different machines would not compare."""
    (example,) = generate("test", 1, 3)
    assert example == Example(
        id="arithmetic-test-3-0",
        question="Mia has 19 balls. On Monday Mia collects 9. On Tuesday Mia borrows 7. On Wednesday Mia spends 9. "
        "How many balls does Mia have?",
        answer="<<19+9=28>>\n<<28+7=35>>\n<<35-9=26>>\n#### 26",
        steps=["<<19+9=28>>", "<<28+7=35>>", "<<35-9=26>>"],
        final_answer="26",
        split="test",
        source="generator arithmetic, split test, seed 3",
    )
    rows = "".join(example.model_dump_json() for example in generate("train", 1000, 1))
    assert (
        hashlib.sha256(rows.encode()).hexdigest() == "a832d4abc6734559dcf2e721092b3a00b163cbf0ffb858ee35d6b3c13354bc0e"
    )


def test_the_task_grades_its_own_solutions():
    task = load_task("arithmetic")
    for example in generate("dev", 100, 2):
        text = task.solution_text(example)
        assert task.grade(text, example.answer)
        assert task.grade_strict(text, example.answer)
        assert task.split_steps(text) == example.steps
        for number, step in enumerate(example.steps):
            assert task.step_correct(step, example.steps[number], example.steps[:number])


@pytest.mark.parametrize(
    ("split", "settings", "message"),
    [
        ("exam", {}, "split 'exam' is unknown; it makes train, dev, test, corpus, corpus_dev"),
        ("test", {"boxes": 1.5}, "boxes is 1.5"),
        ("test", {"distractors": -0.1}, "distractors is -0.1"),
        ("test", {"min_clauses": 4}, "min_clauses 4, max_clauses 3"),
        ("test", {"max_clauses": 9, "max_steps": 12}, "max_clauses 9"),
        ("test", {"gains": " "}, "at least one verb"),
    ],
)
def test_bad_settings_are_named(split: str, settings: dict[str, float | int | str], message: str):
    with pytest.raises(UserError, match=re.escape(message)):
        next(generate(split, 5, 0, **settings))


def test_too_narrow_settings_end_with_the_number_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arithmetic, "NAMES", ("Tom", "Ann", "Ben"))
    monkeypatch.setattr(arithmetic, "THINGS", ("pens", "cups"))
    monkeypatch.setattr(arithmetic, "ATTEMPTS", 500)
    settings = {"unfamiliar": 0.0, "min_clauses": 1, "max_clauses": 1, "multiples": 0.0, "distractors": 0.0}
    with pytest.raises(UserError, match=r"found only \d+ different problems of the 100000 asked for in split dev"):
        list(generate("dev", 100000, 0, **settings))
