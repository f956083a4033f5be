"""Building blocks of LaTRO (arXiv 2411.04282, section 4): packed rows, rewards, advantages and losses.

A rationale is sampled from the policy after the prompt and cut where the answer would begin. Its reward is
log p(answer | prompt, rationale) under the same policy, so one forward pass over the concatenation of the three parts
gives both the rationale's and the answer's likelihood.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from retrace.training.data import mask_of, pad


@dataclass(frozen=True)
class Rationale:
    """One sampled rationale with its question and the reference answer, as token ids."""

    prompt: list[int]
    ids: list[int]  # the rationale, cut before its stop; may be empty
    answer: list[int]
    sampled: list[bool]  # for each token of the rationale: written by the policy, not by the calculator
    finished: bool  # whether a stop was found within the limit


def cut_rationale(
    ids: Sequence[int], surfaces: Sequence[str], stops: Sequence[str], end_ids: Collection[int]
) -> tuple[list[int], bool]:
    """The tokens before the first stop or end token, and whether there is one; if not, the limit ended the rationale.

    Args:
        ids: The generated tokens.
        surfaces: The text of each token id.
        stops: Texts that end a rationale; a token that contains the start of a stop is cut, too.
        end_ids: Tokens that end a text.
    """
    ended = next((place for place, token in enumerate(ids) if token in end_ids), None)
    kept = list(ids if ended is None else ids[:ended])
    pieces = [surfaces[token] for token in kept]
    text = "".join(pieces)
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    if not places:
        return kept, ended is not None
    first, length = min(places), 0
    for number, piece in enumerate(pieces):
        length += len(piece)
        if length > first:
            return kept[:number], True
    raise AssertionError("a stop that was found begins in some token")


@dataclass(frozen=True)
class Packed:
    """Rows of prompt, rationale and answer, concatenated and padded only on the right.

    Attributes:
        input_ids: [B, T].
        attention_mask: [B, T].
        scored: Positions in the flattened [B, T] that predict the scored tokens, [n].
        targets: Ids of the scored tokens, [n].
        parts: 2 * row for a rationale's token, 2 * row + 1 for an answer's token, [n].
    """

    input_ids: Tensor
    attention_mask: Tensor
    scored: Tensor
    targets: Tensor
    parts: Tensor

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device | str) -> "Packed":
        """Copy to another device."""
        return Packed(**{name: value.to(device) for name, value in vars(self).items()})


def pack(rows: Sequence[Rationale], pad_id: int, answers: bool = True, official: bool = False) -> Packed:
    """Pack rows without padding between prompt, rationale and answer.

    Args:
        rows: The rationales.
        pad_id: Id of the padding token.
        answers: Whether to include the answers; the reference's likelihood of the rationales does not need them.
        official: Whether the token before the answer counts as part of the answer, as in the authors' code.
    """
    texts, places, targets, parts = [], [], [], []
    width = max(len(row.prompt) + len(row.ids) + (len(row.answer) if answers else 0) for row in rows)
    for number, row in enumerate(rows):
        text = [*row.prompt, *row.ids, *(row.answer if answers else [])]
        start, end = len(row.prompt), len(row.prompt) + len(row.ids)
        wanted = [(place, 0) for place, own in zip(range(start, end), row.sampled, strict=True) if own]
        wanted += [(place, 1) for place in range(end - official, len(text))] if answers else []
        wanted = [(place, part) for place, part in wanted if place > 0]  # nothing predicts the first token
        places += [number * width + place - 1 for place, _ in wanted]
        targets += [text[place] for place, _ in wanted]
        parts += [2 * number + part for _, part in wanted]
        texts.append(text)
    return Packed(pad(texts, pad_id), mask_of(texts), *map(torch.tensor, (places, targets, parts)))


def likelihoods(model: PreTrainedModel, packed: Packed) -> tuple[Tensor, Tensor]:
    """(log p(rationale | prompt), log p(answer | prompt, rationale)), each float32 [B]; 0 for a part without tokens.

    The model is called even if there is nothing to score, because processes that divide a model gather its weights
    together, layer by layer.

    model: has `retrace.systems.latro.token_logprobs.add_scorer` applied, or wraps such a model.
    """
    found = model(
        input_ids=packed.input_ids,
        attention_mask=packed.attention_mask,
        scored=packed.scored.long(),
        targets=packed.targets.long(),
    )
    sums = torch.zeros(2 * len(packed), device=found.device).index_add(0, packed.parts.long(), found)
    rationales, answers = sums.view(-1, 2).unbind(1)
    return rationales, answers


def penalize_unfinished(rewards: Tensor, finished: Tensor, factor: float, batch: Tensor | None = None) -> Tensor:
    """Replace rewards of unfinished rationales by `factor` times the batch's mean, as the authors do.

    Args:
        rewards: [n].
        finished: BoolTensor [n].
        factor: Factor of the mean. The mean is taken before the replacement and includes unfinished rationales.
        batch: Rewards of the whole batch if other processes have parts of it; None if `rewards` are all.

    Returns:
        The rewards, [n].
    """
    return torch.where(finished, rewards, factor * (rewards if batch is None else batch).mean())


def leave_one_out(values: Tensor, k: int) -> Tensor:
    """Each value [n] minus the mean of the k - 1 others in its group of k neighbors (equation 3)."""
    groups = values.view(-1, k)
    others = (groups.sum(1, keepdim=True) - groups) / (k - 1)
    return (groups - others).flatten()


def advantages_of(rewards: Tensor, kl: Tensor, kl_coef: float, k: int) -> Tensor:
    """Leave-one-out advantages [n] of the rewards minus `kl_coef` times the log-ratio of policy and reference."""
    return leave_one_out(rewards - kl_coef * kl, k)


def policy_loss(rationales: Tensor, advantages: Tensor) -> Tensor:
    """Mean of -advantage * log p(rationale | prompt): the first term of the gradient (equation 4)."""
    return -(advantages * rationales).mean()


def latro_loss(rationales: Tensor, answers: Tensor, advantages: Tensor, sft_penalty: float) -> Tensor:
    """The policy loss plus `sft_penalty` times the mean of -log p(answer | prompt, rationale), equation 4's second term."""
    loss = policy_loss(rationales, advantages)
    return loss - sft_penalty * answers.mean() if sft_penalty else loss
