"""Selection of a candidate step by a mixture of language model and discriminator. GRACE section 3.3.

Like the official code, this module mixes probabilities, (1 - beta) * exp(mean log p) + beta * softmax(discriminator),
rather than the log-probabilities of the paper's equation 7. All functions process many questions at once: tensors are
[questions, candidates], and a mask marks the places with a candidate.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def language_model_scores(logprobs: Tensor, lengths: Tensor) -> Tensor:
    """Geometric mean of the token probabilities of each candidate, [..., candidates].

    Args:
        logprobs: [..., candidates, tokens], under the distribution that was sampled from; values that are not finite
            (pads, and forced tokens outside the nucleus) add 0.
        lengths: [..., candidates], number of tokens without pads, including forced ones.
    """
    total = torch.where(logprobs.isfinite(), logprobs, 0.0).sum(-1)
    return torch.exp(total / lengths.clamp(min=1))


def beam_scores(scores: Tensor, exists: Tensor | None = None) -> Tensor:
    """Softmax over the beams' scores (mean log-probabilities), [..., beams]."""
    return torch.softmax(_only(scores, exists), -1)


def mixed_scores(
    language_model: Tensor,
    discriminator: Tensor | None,
    beta: float,
    *,
    normalize: bool = True,
    all_answers: Tensor | None = None,
    exists: Tensor | None = None,
) -> Tensor:
    """Final scores [questions, candidates]; -inf where there is no candidate.

    Args:
        language_model: From `language_model_scores` or `beam_scores`.
        discriminator: Raw scores, or None if beta is 0.
        beta: Weight of the discriminator.
        normalize: Whether to apply softmax to the discriminator's scores over a question's candidates.
        all_answers: bool [questions]: every candidate contains the answer marker, so only the language model counts.
        exists: bool [questions, candidates]: where there is a candidate; None: everywhere.
    """
    if beta == 0 or discriminator is None:
        return _only(language_model, exists)
    judged = discriminator.to(language_model)
    if normalize:
        judged = torch.softmax(_only(judged, exists), -1)
    final = (1 - beta) * language_model + beta * judged
    if all_answers is not None:
        final = torch.where(all_answers[:, None], language_model, final)
    return _only(final, exists)


def select(final: Tensor, numbers: Tensor | None = None) -> Tensor:
    """The chosen candidate of each question, LongTensor [questions].

    numbers: None selects the best one (the first of equals). Uniform numbers in [0, 1) [questions] draw one in proportion
    to its score. Negative scores, possible with unnormalized discriminator scores, count as 0; if no score is positive,
    the best one is selected.
    """
    best = final.argmax(-1)
    if numbers is None:
        return best
    mass = final.double().clamp(min=0).cumsum(-1)
    total = mass[:, -1:]
    drawn = torch.searchsorted(mass, numbers.to(mass)[:, None] * total, right=True)[:, 0]
    last = final.shape[-1] - 1 - (final > 0).flip(-1).int().argmax(-1)  # rounding may select a position past the end
    return torch.where(total[:, 0] > 0, torch.minimum(drawn, last), best)


def discriminator_rows(
    question: Sequence[int],
    prefix: Sequence[int],
    candidates: Sequence[Sequence[int]],
    *,
    start: int,
    separator: int,
    pad: int,
) -> list[list[int]]:
    """Token ids `[CLS] question prefix [SEP] candidate` for each candidate of one question.

    candidates: token ids without pads. As in the official code, candidates shorter than the longest are followed by pads,
    which the attention mask leaves out.
    """
    longest = max((len(candidate) for candidate in candidates), default=0)
    return [
        [start, *question, *prefix, separator, *candidate, *([pad] * (longest - len(candidate)))]
        for candidate in candidates
    ]


def _only(scores: Tensor, exists: Tensor | None) -> Tensor:
    return scores if exists is None else scores.masked_fill(~exists, -torch.inf)
