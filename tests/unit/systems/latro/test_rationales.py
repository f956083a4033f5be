"""LaTRO's pieces with values worked out by hand, and their corner cases."""

import math

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from retrace.systems.latro.rationales import (
    Rationale,
    advantages_of,
    cut_rationale,
    latro_loss,
    leave_one_out,
    likelihoods,
    pack,
    penalize_unfinished,
    policy_loss,
)
from retrace.systems.latro.token_logprobs import add_scorer


def row(prompt, ids, answer, sampled=None) -> Rationale:
    return Rationale(prompt, ids, answer, [True] * len(ids) if sampled is None else sampled, True)


def model():
    torch.manual_seed(0)
    built = GPT2LMHeadModel(GPT2Config(vocab_size=23, n_embd=16, n_layer=2, n_head=2, n_positions=32)).eval()
    add_scorer(built)
    return built


def by_hand(network, text, first, last) -> float:
    """Sum of log p(token | all before) over text[first:last], one row alone, without padding."""
    logits = network(input_ids=torch.tensor([text])).logits[0].log_softmax(-1)
    return sum(logits[place - 1, text[place]].item() for place in range(first, last))


SURFACES = ["", "a", "b", "c", "b c", "</s>"]


@pytest.mark.parametrize(
    ("ids", "stops", "kept", "finished"),
    [
        ([1, 2, 3], ["c", "b"], [1], True),  # the first of several
        ([1, 2, 3], ["bc"], [1], True),  # over two tokens
        ([1, 4, 1], [" c"], [1], True),  # a token that holds its beginning goes, too
        ([1, 2], ["bc"], [1, 2], False),  # half a stop is none
        ([1, 5, 2], ["b"], [1], True),  # behind the end token nothing counts
        ([2, 1], ["b"], [], True),
        ([], ["b"], [], False),
        ([1, 2], [], [1, 2], False),
    ],
)
def test_a_rationale_is_cut_at_its_first_stop_or_end(ids, stops, kept, finished) -> None:
    assert cut_rationale(ids, SURFACES, stops, end_ids=[5]) == (kept, finished)


def test_no_padding_lies_between_prompt_rationale_and_answer() -> None:
    packed = pack([row([1, 2], [3], [4, 5]), row([6, 7, 8], [9, 10], [11, 12]), row([13], [], [14])], pad_id=0)
    assert packed.input_ids.tolist() == [
        [1, 2, 3, 4, 5, 0, 0],
        [6, 7, 8, 9, 10, 11, 12],
        [13, 14, 0, 0, 0, 0, 0],
    ]
    assert packed.attention_mask.sum(1).tolist() == [5, 7, 2]
    # Each scored token: what predicts it stands one place before it.
    assert packed.targets.tolist() == [3, 4, 5, 9, 10, 11, 12, 14]
    assert packed.scored.tolist() == [1, 2, 3, 9, 10, 11, 12, 14]
    assert packed.parts.tolist() == [0, 1, 1, 2, 2, 3, 3, 5]


def test_a_pad_id_among_the_tokens_stays_visible() -> None:
    packed = pack([row([1, 0], [0], [2])], pad_id=0)
    assert packed.attention_mask.tolist() == [[1, 1, 1, 1]]
    assert packed.targets.tolist() == [0, 2]


def test_the_calculators_tokens_are_read_and_not_scored() -> None:
    packed = pack([row([1], [2, 3, 4], [5], [True, False, True])], pad_id=0)
    assert packed.input_ids.tolist() == [[1, 2, 3, 4, 5]]
    assert packed.targets.tolist() == [2, 4, 5]


def test_official_reward_counts_the_token_before_the_answer_too() -> None:
    packed = pack([row([1, 2], [3], [4]), row([5, 6], [], [7])], pad_id=0, official=True)
    assert packed.targets.tolist() == [3, 3, 4, 6, 7]
    assert packed.parts.tolist() == [0, 1, 1, 3, 3]


def test_likelihoods_are_those_of_each_row_alone() -> None:
    network = model()
    rows = [row([1, 2], [3, 4, 5], [6]), row([7, 8, 9, 10], [11], [12, 13, 14]), row([15], [], [16, 17])]
    with torch.no_grad():
        rationales, answers = likelihoods(network, pack(rows, 0))
    for number, one in enumerate(rows):
        text = one.prompt + one.ids + one.answer
        start, end = len(one.prompt), len(one.prompt) + len(one.ids)
        assert rationales[number].item() == pytest.approx(by_hand(network, text, start, end), abs=1e-4)
        assert answers[number].item() == pytest.approx(by_hand(network, text, end, len(text)), abs=1e-4)
    assert rationales[2] == 0


def test_likelihoods_of_rows_without_scored_tokens_are_zero() -> None:
    with torch.no_grad():
        rationales, answers = likelihoods(model(), pack([row([1, 2], [], [3])], 0, answers=False))
    assert (rationales.tolist(), answers.tolist()) == ([0.0], [0.0])


def test_leave_one_out_by_hand() -> None:
    """(1, 2, 6): the others' means are 4, 3.5 and 1.5. The second group's values do not touch the first."""
    found = leave_one_out(torch.tensor([1.0, 2.0, 6.0, 100.0, 100.0, 100.0]), 3)
    assert found.tolist() == [-3.0, -1.5, 4.5, 0.0, 0.0, 0.0]


def test_equal_rewards_give_no_advantage() -> None:
    assert advantages_of(torch.full((4,), -2.5), torch.zeros(4), 0.05, 4).tolist() == [0.0] * 4


def test_kl_lowers_the_reward_of_what_left_the_reference() -> None:
    """Rewards 0 and 0, log-ratios 2 and 0 at weight 0.5: values -1 and 0."""
    assert advantages_of(torch.zeros(2), torch.tensor([2.0, 0.0]), 0.5, 2).tolist() == [-1.0, 1.0]


def test_unfinished_rationales_get_a_multiple_of_the_mean() -> None:
    """Mean of (-1, -2, -3) is -2, twice it -4; the replaced one is part of the mean."""
    found = penalize_unfinished(torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([True, True, False]), 2.0)
    assert found.tolist() == [-1.0, -2.0, -4.0]


def test_losses_by_hand() -> None:
    rationales, answers = torch.tensor([-2.0, -4.0]), torch.tensor([-1.0, -3.0])
    advantages = torch.tensor([0.5, -0.5])
    # -(0.5 * -2 - 0.5 * -4) / 2 = -0.5
    assert policy_loss(rationales, advantages).item() == -0.5
    assert latro_loss(rationales, answers, advantages, 0.0).item() == -0.5
    assert latro_loss(rationales, answers, advantages, 0.25).item() == 0.0  # + 0.25 * (1 + 3) / 2


def test_the_gradient_raises_better_rationales_and_the_answers() -> None:
    rationales = torch.tensor([-2.0, -4.0], requires_grad=True)
    answers = torch.tensor([-1.0, -3.0], requires_grad=True)
    latro_loss(rationales, answers, torch.tensor([1.0, -1.0]), 1.0).backward()
    assert rationales.grad.tolist() == [-0.5, 0.5]
    assert answers.grad.tolist() == [-0.5, -0.5]


def test_without_the_supervised_term_an_infinite_answer_spoils_no_gradient() -> None:
    rationales = torch.tensor([-2.0, -4.0], requires_grad=True)
    latro_loss(rationales, torch.tensor([-math.inf, -1.0]), torch.tensor([1.0, -1.0]), 0.0).backward()
    assert rationales.grad.tolist() == [-0.5, 0.5]
