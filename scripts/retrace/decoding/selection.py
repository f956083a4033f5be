"""Selection of a candidate step by a mixture of language model and discriminator. GRACE section 3.3.

The official code mixes probabilities, (1 - beta) * exp(mean log p) + beta * softmax(discriminator), and not the log
probabilities of the paper's equation 7; so does this module. All functions take many questions at once: tensors are
[questions, candidates], and a mask says which places hold a candidate.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def language_model_scores(logprobs: Tensor, lengths: Tensor) -> Tensor:
    """Geometric mean of the token probabilities of each candidate, [..., candidates].

    logprobs: [..., candidates, tokens], of the distribution that was sampled from; what is not finite (pads, and
    forced tokens outside the nucleus) adds 0. lengths: [..., candidates], tokens other than pads, forced ones included.
    """
    total = torch.where(logprobs.isfinite(), logprobs, 0.0).sum(-1)
    return torch.exp(total / lengths.clamp(min=1))


def beam_scores(scores: Tensor, exists: Tensor | None = None) -> Tensor:
    """Beams are compared by a softmax over their scores (mean log-probabilities), [..., beams]."""
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
    """Final scores [questions, candidates]; -inf where no candidate is.

    language_model: of `language_model_scores` or `beam_scores`. discriminator: raw scores, or None where beta is 0.
    normalize: softmax of the discriminator's scores over a question's candidates. all_answers: bool [questions];
    where every candidate holds the answer marker, the language model decides alone.
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

    numbers: None for the best one (the first of equals); uniform in [0, 1) [questions] to draw one in proportion to
    its score (scores below 0, which unnormalized discriminator scores can bring about, count as 0; if none is above
    0, the best one is taken).
    """
    best = final.argmax(-1)
    if numbers is None:
        return best
    mass = final.double().clamp(min=0).cumsum(-1)
    total = mass[:, -1:]
    drawn = torch.searchsorted(mass, numbers.to(mass)[:, None] * total, right=True)[:, 0]
    last = final.shape[-1] - 1 - (final > 0).flip(-1).int().argmax(-1)  # rounding may aim behind the end
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

    candidates: token ids without pads. As in the official code pads stay behind a candidate that is shorter than the
    longest; the attention mask leaves them out.
    """
    longest = max((len(candidate) for candidate in candidates), default=0)
    return [
        [start, *question, *prefix, separator, *candidate, *([pad] * (longest - len(candidate)))]
        for candidate in candidates
    ]


def _only(scores: Tensor, exists: Tensor | None) -> Tensor:
    return scores if exists is None else scores.masked_fill(~exists, -torch.inf)
