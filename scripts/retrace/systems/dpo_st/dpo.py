"""Direct preference optimization (Rafailov et al. 2023, equation 7), and its training for encoder-decoder models.

TRL's trainer supports decoder-only models only (see `retrace.systems.dpo_st.dpo_causal`); this one is for T5 and
similar models. The reference model's log-probabilities are computed once before training, so only one model is in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import TrainerCallback
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.models.load import load_tokenizer
from retrace.models.share import share
from retrace.prompting.prompting import Prompting
from retrace.schemas import Preference
from retrace.systems.dpo_st.options import DpoTraining
from retrace.tasks.base import Task
from retrace.training.data import Row, collate_generator, length_of, report_long, solution_rows
from retrace.training.likelihood import log_probabilities, sequence_log_probs
from retrace.training.sft import disable_dropout, start_token
from retrace.training.trainer import train


def dpo_losses(
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    reference_chosen: torch.Tensor,
    reference_rejected: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """Loss of each pair: -log sigmoid(beta * ((chosen - its reference) - (rejected - its reference))).

    Args:
        chosen: Summed natural log-probabilities of the chosen sides, [n].
        rejected: Those of the rejected sides, [n].
        reference_chosen: Those of the chosen sides under the reference model, [n].
        reference_rejected: Those of the rejected sides under the reference model, [n].
        beta: Weight of the difference.

    Returns:
        The losses, [n].
    """
    return -functional.logsigmoid(beta * ((chosen - reference_chosen) - (rejected - reference_rejected)))


@dataclass(frozen=True)
class PreferenceRow:
    """A pair as token rows, with the reference model's log-probabilities."""

    chosen: Row
    rejected: Row
    # Equal questions and solutions have equal reference values except for rounding, so comparisons leave these out.
    reference: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    @property
    def length(self) -> int:
        return max(self.chosen.length, self.rejected.length)


def preference_rows(
    pairs: Sequence[Preference],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    family: str,
    max_length: int,
) -> tuple[list[PreferenceRow], list[Preference]]:
    """Token rows of the pairs, and the pairs that they belong to.

    A pair is left out, counted and named if one side has more than `max_length` tokens: input or output, or both
    together for a decoder-only model.
    """
    if not pairs:
        return [], []
    questions = [pair.question for pair in pairs]
    prompting = Prompting(task, family, tokenizer)
    chosen = solution_rows(prompting, questions, [pair.chosen for pair in pairs])
    rejected = solution_rows(prompting, questions, [pair.rejected for pair in pairs])
    rows, kept, dropped = [], [], []
    for pair, good, bad in zip(pairs, map(_whole, chosen), map(_whole, rejected), strict=True):
        if max(length_of(good, family), length_of(bad, family)) > max_length:
            dropped.append(pair.example_id)
        else:
            rows.append(PreferenceRow(good, bad))
            kept.append(pair)
    report_long(dropped, len(pairs), max_length, "pairs", "left out")
    return rows, kept


def _whole(row: Row) -> Row:
    """Unmask all tokens of the target, including calculator results."""
    return Row(row.ids, row.target, [False] * len(row.target))


def check_reference(policy: str | Path, reference: str | Path) -> None:
    """Raise UserError if the two models' tokenizers differ: their log-probabilities could not be compared."""
    one, other = load_tokenizer(policy), load_tokenizer(reference)
    if one.get_vocab() != other.get_vocab():
        differing = sorted(set(one.get_vocab().items()) ^ set(other.get_vocab().items()))
        raise UserError(
            f"{reference}: its tokenizer differs from that of {policy} ({len(other)} and {len(one)} tokens, "
            f"{differing[0][0]!r} differs); use the model that the training starts from as the reference, or one with "
            "the same tokenizer"
        )


def with_reference(
    rows: Sequence[PreferenceRow], model: PreTrainedModel, pad_id: int, batch_size: int, precision: str
) -> list[PreferenceRow]:
    """The rows with the reference model's log-probabilities of both sides, computed in the training's precision."""
    was_training = model.training
    model.eval()
    dtype = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    with torch.autocast(model.device.type, dtype=dtype, enabled=dtype is not None):
        sides = [*(row.chosen for row in rows), *(row.rejected for row in rows)]
        values = log_probabilities(model, pad_id, sides, batch_size)[0].tolist()
    model.train(was_training)
    half = len(rows)
    return [PreferenceRow(row.chosen, row.rejected, (values[i], values[half + i])) for i, row in enumerate(rows)]


def collate_preferences(rows: Sequence[PreferenceRow], pad_id: int, start_id: int | None) -> dict[str, torch.Tensor]:
    """A batch of `collate_generator`: all chosen sides, then all rejected ones; `reference` is a FloatTensor [2n]."""
    sides = [*(row.chosen for row in rows), *(row.rejected for row in rows)]
    reference = [*(row.reference[0] for row in rows), *(row.reference[1] for row in rows)]
    return {**collate_generator(sides, pad_id, start_id), "reference": torch.tensor(reference)}


def _scored(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    batch = dict(batch)
    reference = batch.pop("reference")
    return (*sequence_log_probs(model, batch).chunk(2), *reference.chunk(2))


def sum_dpo_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor], beta: float) -> torch.Tensor:
    """Sum of the loss over the pairs of a batch."""
    return dpo_losses(*_scored(model, batch), beta).sum()


def count_preferences(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Number of pairs in a batch."""
    return torch.tensor(len(batch["labels"]) // 2, device=batch["labels"].device)


class PreferenceEvaluation:
    """Loss, share of pairs whose chosen side gained more than the rejected side, and the mean margin (times beta)."""

    def __init__(self, rows: Sequence[PreferenceRow], collate: Any, beta: float, batch_size: int) -> None:
        ordered = sorted(rows, key=lambda row: row.length)
        self.batches = [collate(ordered[start : start + batch_size]) for start in range(0, len(rows), batch_size)]
        self.beta = beta

    def __call__(self, model: torch.nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        totals = torch.zeros(4, dtype=torch.float64)  # loss, right ones, margin, pairs
        shared = share()
        for batch, counts in shared.turns(self.batches):
            scored = _scored(model, {name: value.to(device) for name, value in batch.items()})
            margin = self.beta * ((scored[0] - scored[2]) - (scored[1] - scored[3]))
            if counts:
                parts = [dpo_losses(*scored, self.beta).sum(), (margin > 0).sum(), margin.sum()]
                totals += torch.tensor([*(part.item() for part in parts), len(margin)], dtype=torch.float64)
        loss, right, margin, pairs = shared.total(totals).tolist()
        return {"loss": loss / pairs, "accuracy": right / pairs, "margin": margin / pairs}


def train_dpo(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[PreferenceRow],
    dev_rows: Sequence[PreferenceRow],
    options: DpoTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train in place on rows that include the reference's values (`with_reference`); returns the curve.

    Works for any family, but decoder-only models use TRL's trainer (`retrace.systems.dpo_st.dpo_causal`).
    """
    if not options.dropout:
        disable_dropout(model)
    collate = partial(collate_preferences, pad_id=tokenizer.pad_token_id, start_id=start_token(model))
    return train(
        model,
        rows,
        [row.length for row in rows],
        collate,
        partial(sum_dpo_loss, beta=options.beta),
        count_preferences,
        PreferenceEvaluation(dev_rows, collate, options.beta, 2 * options.device_batch_size) if dev_rows else None,
        options,
        seed,
        state,
        best="loss" if options.keep == "best" else None,
        callbacks=callbacks,
    )
