"""Learn-to-Reason's two losses, and one pass that reads a question once for three rationales (arXiv 2310.13332).

A row is a question with a rationale to learn (the sample) and, if the student missed the question, another correct
rationale (the positive) and one of the student's mistakes (the negative). The language-model loss is computed on question
and sample; the triplet loss moves the sample's representation toward the positive's and away from the negative's.

Decoder-only models read `question | sample | positive | negative` as one row, in which each rationale attends only to the
question and itself. Encoder-decoders encode the question once and decode the three rationales in parallel. Both give the
same result as three passes over question and rationale. Models whose attention depends on the distance between columns
use three passes.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from retrace.errors import UserError
from retrace.training import parallel
from retrace.training.data import IGNORED, Row, mask_of, pad

PARTS = 4  # question, sample, positive, negative


@dataclass(frozen=True)
class ReflectionRow:
    """One visit of a question.

    Attributes:
        sample: The question and the rationale to learn.
        positive, negative: Token ids; both empty if nothing is contrasted.
        learn: Whether the language-model loss is computed; not in the contrastive steps of alternating training.
    """

    sample: Row
    positive: list[int]
    negative: list[int]
    learn: bool = True

    @property
    def contrasts(self) -> bool:
        return (
            min(len(self.sample.target), len(self.positive), len(self.negative)) > 1
        )  # the end token alone is not a text

    @property
    def length(self) -> int:
        return self.sample.length + len(self.positive) + len(self.negative)


# ---------------------------------------------------------------- losses


def prompt_weights(prompt: int, length: int, prompt_weight: float, official: bool = False) -> list[float]:
    """Weight of each of the `length - 1` predictions of a row whose first `prompt` tokens are the question.

    Prediction p is for token p + 1. The question's tokens have weight `prompt_weight`, the rationale's have 1.
    official: as in the authors' code, the rationale's first token has the question's weight.
    """
    light = min(prompt if official else prompt - 1, length - 1)
    return [prompt_weight] * light + [1.0] * (length - 1 - light)


def weighted_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weighted cross-entropy in float32. logits [B, T, V]; labels, weights [B, T]; skips IGNORED labels."""
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return (losses * weights.flatten()).sum()


def last_state(hidden: Tensor, mask: Tensor) -> Tensor:
    """Hidden state [B, width] of each row's last real token. hidden [B, T, width]; mask [B, T], ones then zeros."""
    place = mask.sum(1).long() - 1
    return hidden[torch.arange(len(hidden), device=hidden.device), place]  # a row without tokens gives its last column


def pooled_state(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean hidden state [B, width] over each row's real tokens, in float32."""
    weights = mask.float()[..., None]
    return (hidden.float() * weights).sum(1) / weights.sum(1)


def triplet_losses(sample: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Triplet loss of each row [B] in float32, with negative cosine similarity as distance; NaN counts as 0."""
    sample, positive, negative = sample.float(), positive.float(), negative.float()
    near = functional.cosine_similarity(sample, positive, dim=-1, eps=1e-8)
    far = functional.cosine_similarity(sample, negative, dim=-1, eps=1e-8)
    return torch.nan_to_num((far - near + margin).clamp(min=0), nan=0.0)


# ---------------------------------------------------------------- batches


def collate_reflection(
    rows: Sequence[ReflectionRow],
    pad_id: int,
    prompt_weight: float,
    start_id: int | None = None,
    official: bool = False,
    ends: bool = False,
) -> dict[str, Tensor]:
    """A batch for `reflection_sums`; its `contrast` is a LongTensor of the rows with a positive and a negative.

    Args:
        rows, pad_id: The rows, and the id of the padding token.
        prompt_weight, official: See `prompt_weights`; an encoder-decoder does not predict the question.
        start_id: First input of an encoder-decoder's decoder; None for a decoder-only model.
        ends: Whether the token that ends a rationale is read, and so can represent it.
    """
    if start_id is not None:
        batch = _seq2seq_batch(rows, pad_id, start_id, ends)
    else:
        batch = _causal_batch(rows, pad_id, prompt_weight, official, ends)
    batch["contrast"] = torch.tensor([index for index, row in enumerate(rows) if row.contrasts], dtype=torch.long)
    return batch


def _targets(row: ReflectionRow, masked: int) -> list[int]:
    """The sample's tokens as labels, IGNORED where not learned, preceded by the `masked` tokens before the sample."""
    if not row.learn:
        return [IGNORED] * (masked + len(row.sample.target))
    target = [IGNORED if out else token for token, out in zip(row.sample.target, row.sample.ignored, strict=True)]
    return row.sample.ids[1:] + target if masked else target


def _causal_batch(
    rows: Sequence[ReflectionRow], pad_id: int, prompt_weight: float, official: bool, ends: bool
) -> dict[str, Tensor]:
    """Blocks side by side, each padded on the right to its longest row: question, sample, positive, negative.

    A rationale's last token, which ends the text, is read only with `ends`. Returns input_ids, part, position_ids [B, T],
    where part is the number of the block, or PARTS for padding; labels, weights [B, T'] for question and sample.
    """
    sides = [[row.sample.target for row in rows], [row.positive for row in rows], [row.negative for row in rows]]
    blocks = [[row.sample.ids for row in rows], *([_read(ids, ends) for ids in side] for side in sides)]
    ids, parts, positions = [], [], []
    for number, block in enumerate(blocks):
        mask = mask_of(block)
        ids.append(pad(block, pad_id))
        parts.append(torch.where(mask.bool(), number, PARTS))
        start = torch.tensor([len(row.sample.ids) if number else 0 for row in rows])[:, None]
        positions.append((start + torch.arange(mask.shape[1])) * mask)
    questions, samples = ids[0].shape[1], ids[1].shape[1]
    labels = torch.full((len(rows), questions + samples), IGNORED)
    weights = torch.zeros(len(rows), questions + samples)
    for index, row in enumerate(rows):
        head = len(row.sample.ids)
        wanted = torch.tensor(_targets(row, head - 1))
        given = torch.tensor(prompt_weights(head, row.sample.length, prompt_weight, official))
        # The question's own columns hold its predictions, including that of the sample's first token.
        for whole, part in ((labels, wanted), (weights, given)):
            whole[index, :head] = part[:head]
            whole[index, questions : questions + len(part) - head] = part[head:]
    return {
        "input_ids": torch.cat(ids, 1),
        "part": torch.cat(parts, 1),
        "position_ids": torch.cat(positions, 1),
        "labels": labels,
        "weights": weights,
    }


def _read(ids: list[int], ends: bool) -> list[int]:
    """The part of a rationale that is read: nothing needs to be predicted after its last token."""
    return ids if ends else ids[:-1]


def _seq2seq_batch(rows: Sequence[ReflectionRow], pad_id: int, start_id: int, ends: bool) -> dict[str, Tensor]:
    """Each question once [B, input]; decoder rows: all samples, then positives and negatives of contrasted rows."""
    contrasting = [row for row in rows if row.contrasts]
    written = [row.sample.target for row in rows]
    written += [row.positive for row in contrasting] + [row.negative for row in contrasting]
    fed = [[start_id, *_read(target, ends)] for target in written]
    labels = pad([_targets(row, 0) for row in rows], IGNORED)
    return {
        "input_ids": pad([row.sample.ids for row in rows], pad_id),
        "attention_mask": mask_of([row.sample.ids for row in rows]),
        "decoder_input_ids": pad(fed, pad_id),
        "decoder_mask": mask_of(fed),
        "labels": labels,
        "weights": torch.ones(labels.shape),
    }


def attention_of(part: Tensor, implementation: str | None, dtype: torch.dtype) -> Tensor:
    """Attention mask [B, 1, T, T] over the blocks of `_causal_batch`, in the format of the model's attention.

    Each token sees the tokens of the question and of its own block, up to itself. Raises UserError if the attention does
    not accept a mask.
    """
    columns = torch.arange(part.shape[1], device=part.device)
    mine, other = part[:, :, None], part[:, None, :]
    seen = ((mine == other) | (other == 0)) & (columns[None, :] <= columns[:, None]) & (other < PARTS)
    seen = seen | torch.eye(part.shape[1], dtype=torch.bool, device=part.device)  # padding sees itself
    if implementation == "sdpa":
        return seen[:, None]
    if implementation == "eager":
        return torch.where(seen, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]
    raise UserError(
        f"attention {implementation!r} does not accept the mask that is needed to read a question once; load the model "
        "with attention sdpa or eager"
    )


# ---------------------------------------------------------------- one pass


def bare(model: torch.nn.Module) -> Any:
    """The model itself inside the wrappers of data parallelism and DeepSpeed."""
    while hasattr(model, "module"):
        model = model.module
    return model


def reflection_sums(
    model: torch.nn.Module, batch: dict[str, Tensor], pooled: bool, margin: float, longest: int | None = None
) -> Tensor:
    """[sum of the weighted language-model loss, sum of the triplet losses] of a batch from `collate_reflection`.

    Args:
        model, batch: The student, and the batch.
        pooled: Whether the mean hidden state represents a rationale; otherwise its last one does.
        margin: Margin of the triplet loss.
        longest: Number of the sample's tokens that represent it; positives and negatives were already cut.
    """
    forward = _seq2seq_states if "decoder_input_ids" in batch else _causal_states
    logits, states = forward(model, batch, pooled, longest)
    language = weighted_loss(logits, batch["labels"], batch["weights"])
    if len(batch["contrast"]):
        triplet = triplet_losses(*states, margin).sum()
    else:
        triplet = sum((0 * state.float().sum() for state in states), start=language.new_zeros(()))
    return torch.stack([language, triplet])


def _needs_states(batch: dict[str, Tensor]) -> bool:
    """Whether a pass must return hidden states: for contrasts, and always if processes divide the weights.

    In that case all processes must run the same forward and backward pass, even if one has no contrasted rows.
    """
    return len(batch["contrast"]) > 0 or parallel.is_sharded()


def reflection_counts(batch: dict[str, Tensor]) -> Tensor:
    """[number of learned tokens (unweighted), number of contrasted rows] in a batch."""
    learned = batch["labels"].ne(IGNORED).sum()
    return torch.stack([learned, learned.new_tensor(len(batch["contrast"]))])


def _causal_states(
    model: Any, batch: dict[str, Tensor], pooled: bool, longest: int | None
) -> tuple[Tensor, list[Tensor]]:
    """Logits of question and sample [B, T', V]; representations [contrasts, width] of sample, positive and negative."""
    rows = batch["contrast"]
    part, ids, positions = batch["part"], batch["input_ids"], batch["position_ids"]
    if not len(rows):  # nothing after the sample is needed
        used = batch["labels"].shape[1]
        part, ids, positions = part[:, :used], ids[:, :used], positions[:, :used]
    config = bare(model).config
    if not reads_together(config, int(positions.max()) + 1):
        return _apart_states(model, batch, pooled, longest)
    outputs = model(
        input_ids=ids,
        attention_mask=attention_of(part, config._attn_implementation, bare(model).dtype),
        position_ids=positions,
        logits_to_keep=torch.arange(batch["labels"].shape[1], device=ids.device),
        output_hidden_states=_needs_states(batch),
        use_cache=False,
    )
    if not len(rows):
        return outputs.logits, list(outputs.hidden_states[-1:] if outputs.hidden_states else [])
    hidden = outputs.hidden_states[-1].index_select(0, rows)
    part = part.index_select(0, rows)
    states = []
    for number in range(1, PARTS):
        columns = torch.nonzero((part == number).any(0))[:, 0][: longest if number == 1 else None]
        block = hidden[:, columns[0] : columns[-1] + 1]
        states.append(_represent(block, part[:, columns[0] : columns[-1] + 1] == number, pooled))
    return outputs.logits, states


def reads_together(config: Any, length: int) -> bool:
    """Whether a model can read several rationales in one row, each at positions below `length`.

    It cannot if it derives positions from the distance between columns (ALiBi) or sees only the nearest columns, because
    other rationales are between a question and its negative.
    """
    if config.model_type in ("bloom", "mpt") or getattr(config, "alibi", False):
        return False
    windows = [getattr(config, name, None) for name in ("sliding_window", "window_size")]
    return all(window is None or window >= length for window in windows)


def _apart_states(
    model: Any, batch: dict[str, Tensor], pooled: bool, longest: int | None
) -> tuple[Tensor, list[Tensor]]:
    """Like `_causal_states`, with a separate row of the batch for the question and each kind of rationale."""
    rows, part = batch["contrast"], batch["part"]
    kinds = range(1, PARTS if len(rows) else 2)
    seen = [(part == 0) | (part == number) for number in kinds]
    seen = torch.cat(
        [mask if number == 1 else mask.index_select(0, rows) for number, mask in zip(kinds, seen, strict=True)]
    )
    ids = torch.cat(
        [batch["input_ids"] if number == 1 else batch["input_ids"].index_select(0, rows) for number in kinds]
    )
    # Move real tokens to the left, in order.
    lengths = seen.sum(1)
    width = int(lengths.max())
    order = torch.sort((~seen).int(), dim=1, stable=True).indices[:, :width]
    outputs = model(
        input_ids=ids.gather(1, order),
        attention_mask=(torch.arange(width, device=ids.device)[None] < lengths[:, None]).long(),
        output_hidden_states=_needs_states(batch),
        use_cache=False,
    )
    total, used = len(part), batch["labels"].shape[1]
    # Back to the columns of question and sample.
    place = (seen[:total, :used].cumsum(1) - 1).clamp(min=0)
    logits = outputs.logits[:total].gather(1, place[..., None].expand(-1, -1, outputs.logits.shape[-1]))
    if not len(rows):
        return logits, list(outputs.hidden_states[-1:] if outputs.hidden_states else [])
    hidden, states = outputs.hidden_states[-1], []
    blocks = [rows, *torch.arange(total, len(ids), device=ids.device).split(len(rows))]
    heads = (part == 0).index_select(0, rows).sum(1)
    for number, block in zip(kinds, blocks, strict=True):
        count = (part == number).index_select(0, rows).sum(1)
        count = count if longest is None or number > 1 else count.clamp(max=longest)
        columns = torch.arange(int(count.max()), device=ids.device)[None]
        index = (heads[:, None] + columns).clamp(max=width - 1)
        found = hidden[block].gather(1, index[..., None].expand(-1, -1, hidden.shape[-1]))
        states.append(_represent(found, columns < count[:, None], pooled))
    return logits, states


def share_questions(model: Any) -> None:
    """Let an encoder-decoder accept `asked=rows`, the question that each decoder row answers, to encode it only once.

    The call goes through the model's own forward, so wrappers for several processes see all of it. Without `asked`, and
    for a decoder-only model, nothing changes.
    """
    if not model.config.is_encoder_decoder or hasattr(model.forward, "takes_asked"):
        return
    plain = model.forward

    @functools.wraps(plain)
    def forward(*args: Any, asked: Tensor | None = None, **given: Any) -> Any:
        if asked is None:
            return plain(*args, **given)
        mask = given.pop("attention_mask")
        encoded = model.get_encoder()(input_ids=given.pop("input_ids"), attention_mask=mask).last_hidden_state
        return plain(
            *args,
            encoder_outputs=(encoded.index_select(0, asked),),
            attention_mask=mask.index_select(0, asked),
            **given,
        )

    forward.takes_asked = True  # type: ignore[attr-defined]
    model.forward = forward


def _seq2seq_states(
    model: Any, batch: dict[str, Tensor], pooled: bool, longest: int | None
) -> tuple[Tensor, list[Tensor]]:
    """Like `_causal_states`, for the decoder of a model with `share_questions`."""
    rows, total = batch["contrast"], len(batch["input_ids"])
    asked = torch.cat([torch.arange(total, device=rows.device), rows, rows])
    outputs = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"],
        asked=asked,
        output_hidden_states=_needs_states(batch),
        use_cache=False,
    )
    logits = outputs.logits[:total, : batch["labels"].shape[1]]
    if not len(rows):
        return logits, list(outputs.decoder_hidden_states[-1:] if outputs.decoder_hidden_states else [])
    hidden, mask = outputs.decoder_hidden_states[-1], batch["decoder_mask"]
    blocks = [rows, torch.arange(total, total + len(rows)), torch.arange(total + len(rows), len(asked))]
    first = None if longest is None else 1 + longest  # the start token comes before the rationale
    widths = (first, None, None)
    return logits, [
        _represent(hidden[block, :width], mask[block, :width], pooled)
        for block, width in zip(blocks, widths, strict=True)
    ]


def _represent(hidden: Tensor, mask: Tensor, pooled: bool) -> Tensor:
    return pooled_state(hidden, mask) if pooled else last_state(hidden, mask)
