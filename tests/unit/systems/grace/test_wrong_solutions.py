"""The search for wrong solutions: blocks and their passes, what each pass shows, and what cannot be found at all."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.prompting.prompting import Prompting
from retrace.systems.grace.options import Sampling
from retrace.systems.grace.reach import unreachable_note
from retrace.systems.grace.wrong_solutions import Examples, Search, blocks_of
from retrace.tasks.load import load_task
from unit.tiny_models import arithmetic_task, problems

CONFIG = Path(__file__).parents[4] / "config"
POOL = problems(8)
QUESTIONS = [example.question for example in problems(12, "dev")]


def test_blocks_share_the_target():
    assert blocks_of(10, 4, 7) == [(0, 4, 2), (4, 8, 3), (8, 10, 2)]
    assert blocks_of(0, 4, 7) == []
    assert [block.wanted for block in blocks_of(4, 64, 7)] == [7]


def test_a_block_ends_with_its_share_or_when_it_has_no_more_to_give():
    search = Search(blocks_of(12, 4, 9), Sampling(idle_passes=2))
    assert (search.wanted, search.reached) == (9, False)
    search.finish_pass([3, 1, 0])
    assert search.going() == {1, 2}  # the first has its three
    search.finish_pass([0, 0, 0])
    assert search.going() == {1}  # the third found nothing twice
    search.finish_pass([0, 1, 0])
    assert search.going() == {1}  # a new one: its count starts again
    search.finish_pass([0, 0, 0])
    search.finish_pass([0, 0, 0])
    assert search.going() == set()
    assert search.found == [3, 2, 0]
    assert search.shortfall().startswith(
        "5 of 9 wrong solutions were found: 2 of 3 blocks found nothing new in 2 passes"
    )


def test_no_limit_on_passes_unless_one_is_set():
    endless, limited = (Search(blocks_of(4, 4, 1000), Sampling(max_passes=most)) for most in (-1, 60))
    for number in range(60):
        assert endless.going() == limited.going() == {0}, number
        endless.finish_pass([1])
        limited.finish_pass([1])
    assert endless.going() == {0}
    assert limited.going() == set()
    assert "1 of 1 blocks ended at sample.max_passes 60" in limited.shortfall()


def test_each_pass_shows_other_examples_and_the_same_to_whoever_asks():
    task = arithmetic_task()
    shown = Examples(Prompting(task, "decoder_only", None), POOL, 3, 5, "shown.jsonl")
    first = shown.prompts(QUESTIONS, 0)
    assert shown.prompts(QUESTIONS[7:9], 0) == first[7:9], "a shard sees what the whole sees"
    assert all(prompt.count("####") == 3 for prompt in first)
    heads = {prompt.partition(QUESTIONS[0])[0] for prompt in (shown.prompts(QUESTIONS[:1], n)[0] for n in range(9))}
    assert len(heads) == 9
    assert {example.id for example in POOL if any(example.question in head for head in heads)} == {
        example.id for example in POOL
    }
    other = Examples(Prompting(task, "decoder_only", None), POOL, 3, 6, "shown.jsonl")
    assert other.prompts(QUESTIONS, 0) != first


def test_a_question_is_never_shown_its_own_solution():
    shown = Examples(Prompting(arithmetic_task(), "decoder_only", None), POOL, 7, 0, "shown.jsonl")
    for number in range(5):
        for example, prompt in zip(POOL, shown.prompts([example.question for example in POOL], number), strict=True):
            assert prompt.count(example.question) == 1
            assert prompt.count("####") == 7


def test_no_examples_where_the_texts_have_no_room():
    task = arithmetic_task().in_form("dpo_st", "decoder_only")
    with pytest.raises(
        UserError, match=r"sample\.demonstrations_per_pass: the checkpoint was trained on texts without"
    ):
        Examples(Prompting(task, "decoder_only", None), POOL, 3, 0, "shown.jsonl")


@pytest.mark.parametrize(
    ("task", "options", "limit", "most"),
    [
        ("multiarith", {"max_passes": 50}, -1, "50 passes (sample.max_passes) and 4 solutions per pass give at most 57,800"),
        ("multiarith", {"max_passes": 50, "samples_per_pass": 6}, -1, None),
        ("multiarith", {}, -1, None),  # no limit: nobody knows before
        ("gsm8k", {"max_passes": 50}, -1, None),
        ("gsm8k", {"max_passes": 1, "max_questions": 100}, -1, "100 questions, 1 passes"),
        ("gsm8k", {"max_passes": 1}, 7, "7 questions, 1 passes"),
        ("coin_flip", {"max_passes": 9}, -1, "2,000 questions, 9 passes"),
        ("tso", {"max_passes": 10}, -1, None),
    ],
)  # fmt: skip
def test_what_no_sampling_can_find_is_known_before(task, options, limit, most):
    config = load_task(task, CONFIG).config
    note = unreachable_note(config, "train", limit, Sampling(**options))
    assert (note is None) == (most is None)
    assert most is None or most in note
