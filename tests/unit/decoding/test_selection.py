"""Hand-computed choices among candidate steps."""

import math

import pytest
import torch

from retrace.decoding.selection import beam_scores, discriminator_rows, language_model_scores, mixed_scores, select

NONE = -math.inf


def test_language_model_score_is_the_geometric_mean_over_tokens_that_are_no_pads():
    logprobs = torch.tensor([[math.log(0.5), math.log(0.125), NONE], [math.log(0.2), 0.0, 0.0]])
    scores = language_model_scores(logprobs, torch.tensor([2, 3]))
    # sqrt(.5 * .125) = .25; a forced token counts with probability 1: the cube root of .2
    assert scores.tolist() == pytest.approx([0.25, 0.2 ** (1 / 3)])


def test_an_underflow_adds_nothing_but_counts_in_the_length():
    scores = language_model_scores(torch.tensor([[NONE, math.log(0.25)]]), torch.tensor([2]))
    assert scores.tolist() == pytest.approx([0.5])


def test_mixture_of_two_questions_with_different_numbers_of_candidates():
    exists = torch.tensor([[True, True, False], [True, True, True]])
    lm = torch.tensor([[0.6, 0.2, 0.9], [0.3, 0.3, 0.3]])
    disc = torch.tensor([[0.0, math.log(3.0), 5.0], [0.0, 0.0, 0.0]])
    final = mixed_scores(lm, disc, 0.5, exists=exists)
    # softmax of (0, ln 3) = (1/4, 3/4): the missing third candidate has no part in it
    assert final[0].tolist() == pytest.approx([0.425, 0.475, NONE])
    assert final[1].tolist() == pytest.approx([0.15 + 1 / 6] * 3)
    assert select(final).tolist() == [1, 0]  # the first of equals


def test_raw_scores_without_normalisation():
    final = mixed_scores(torch.tensor([[0.5, 0.1]]), torch.tensor([[-1.0, 1.0]]), 0.25, normalize=False)
    assert final[0].tolist() == pytest.approx([0.125, 0.325])


def test_all_answers_leave_the_choice_to_the_language_model():
    lm, disc = torch.tensor([[0.6, 0.2]] * 2), torch.tensor([[0.0, 4.0]] * 2)
    final = mixed_scores(lm, disc, 0.9, all_answers=torch.tensor([True, False]))
    assert select(final).tolist() == [0, 1]
    assert final[0].tolist() == pytest.approx([0.6, 0.2])


def test_beta_zero_ignores_the_discriminator():
    lm = torch.tensor([[0.6, 0.2]])
    assert torch.equal(mixed_scores(lm, None, 0.0), lm)
    assert torch.equal(mixed_scores(lm, torch.tensor([[0.0, 9.0]]), 0.0), lm)


def test_beams_are_compared_by_a_softmax():
    scores = beam_scores(torch.tensor([[0.0, math.log(3.0), 7.0]]), torch.tensor([[True, True, False]]))
    assert scores[0].tolist() == pytest.approx([0.25, 0.75, 0.0])


def test_drawing_in_proportion_to_the_score():
    final = torch.tensor([[0.1, 0.3, 0.6]]).repeat(5, 1)
    numbers = torch.tensor([0.0, 0.0999, 0.1001, 0.41, 0.9999999999], dtype=torch.float64)
    assert select(final, numbers).tolist() == [0, 0, 1, 2, 2]


def test_drawing_never_takes_a_missing_or_negative_candidate():
    final = torch.tensor([[-0.5, 0.2, NONE], [-0.5, -0.2, NONE]])
    for number in (0.0, 0.5, 1 - 1e-16):
        assert select(final, torch.full((2,), number, dtype=torch.float64)).tolist() == [1, 1]


def test_pads_stay_behind_a_short_candidate():
    rows = discriminator_rows([7], [8], [[1], [2, 3]], start=90, separator=91, pad=0)
    assert rows == [[90, 7, 8, 91, 1, 0], [90, 7, 8, 91, 2, 3]]
