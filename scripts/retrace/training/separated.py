"""Trainings on question, steps and answer with separators, of a language model or of networks around one."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from retrace.models.layers import compile_blocks, without_dropout
from retrace.models.share import share
from retrace.prompting.layouts import Layout
from retrace.tasks.load import load_task
from retrace.training.data import IGNORED
from retrace.training.evaluated import EarlyStop, KeepEvaluated
from retrace.training.options import SeparatedTraining
from retrace.training.separated_rows import SeparatedRows, read_rows, text_batch
from retrace.training.sft import limit_of
from retrace.training.trainer import Fingerprinted, train

Batch = dict[str, Tensor]
Collate = Callable[[Sequence[int]], Batch]
Logits = Callable[[nn.Module, Batch], Tensor]
Curve = list[dict[str, float]]


class AnswerCounts(NamedTuple):
    """Sums over a batch."""

    loss: Tensor  # cross-entropy, summed over tokens
    tokens: Tensor
    right_tokens: Tensor  # the most probable token is the wanted one
    right_rows: Tensor  # rows all of whose tokens are right: greedy decoding would write exactly this
    rows: int


def answer_counts(logits: Tensor, labels: Tensor) -> AnswerCounts:
    """Judge logits [B, L, V] by labels [B, L] (what each position shall predict; -100: left out)."""
    loss = functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    wanted = labels.ne(IGNORED)
    right = logits.argmax(-1).eq(labels) & wanted
    return AnswerCounts(loss, wanted.sum(), right.sum(), (right | ~wanted).all(1).sum(), len(labels))


def answers_loss(logits: Logits) -> Callable[[nn.Module, Batch], Tensor]:
    """The loss of a training: cross-entropy of the labels, summed over a batch's tokens. logits: of a batch, [B, L, V]."""

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        found = logits(network, batch).flatten(0, 1).float()
        return functional.cross_entropy(found, batch["labels"].flatten(), ignore_index=IGNORED, reduction="sum")

    return loss


def wanted_tokens(batch: Batch) -> Tensor:
    """How many tokens of a batch are in the loss."""
    return batch["labels"].ne(IGNORED).sum()


class OverDevelopment:
    """Development rows in batches of like length, which processes that train together share out."""

    def __init__(self, numbers: Sequence[int], collate: Collate, batch_size: int) -> None:
        self.batches = [collate(numbers[start : start + batch_size]) for start in range(0, len(numbers), batch_size)]

    def totals(self, measure: Callable[[Batch], Sequence[float]], device: torch.device) -> list[float]:
        """The sums of what `measure` says of each batch."""
        shared, found = share(), []
        for batch, counts in shared.turns(self.batches):
            one = measure({name: value.to(device) for name, value in batch.items()})
            found.append(torch.tensor([float(value) for value in one], dtype=torch.float64) * counts)
        return shared.total(torch.stack(found).sum(0)).tolist()


class AnswerEvaluation(OverDevelopment):
    """Loss a token, share of right tokens, share of rows that are right as a whole, and the score that chooses.

    score: the share of right rows; a thousandth of the share of right tokens tells equal ones apart.
    """

    def __init__(self, logits: Logits, *rest) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*rest)
        self.logits = logits

    def __call__(self, model: nn.Module) -> dict[str, float]:
        loss, tokens, right_tokens, right_rows, rows = self.totals(
            lambda batch: answer_counts(self.logits(model, batch), batch["labels"]), next(model.parameters()).device
        )
        found = {"loss": loss / tokens, "token_accuracy": right_tokens / tokens, "accuracy": right_rows / rows}
        return {**found, "score": found["accuracy"] + found["token_accuracy"] / 1000}


def by_length(rows: SeparatedRows) -> list[int]:
    return sorted(range(len(rows)), key=lambda number: (int(rows.starts[number + 1] - rows.starts[number]), number))


def prepare(model: nn.Module, options: SeparatedTraining) -> None:
    """Set dropout, the precision of products on a GPU, and compile the layers, as the options say."""
    without_dropout(model, options.dropout)
    if options.tf32:
        torch.set_float32_matmul_precision("high")
    if options.compile_layers:
        compile_blocks(model) if hasattr(model, "config") else model.compile_layers()


@dataclass(frozen=True)
class Training:
    """What every training here is given, whatever the network.

    Attributes:
        rows, dev_rows: training and development rows.
        pad_id: of the tokenizer.
        options: of the stage.
        seed: of the order of the rows.
        state: folder for restarts.
        callbacks: further ones of the trainer.
    """

    rows: SeparatedRows
    dev_rows: SeparatedRows
    pad_id: int
    options: SeparatedTraining
    seed: int
    state: str | Path
    callbacks: Sequence[TrainerCallback] = ()

    @property
    def dev_batch_size(self) -> int:
        """Rows of a development batch: no gradients need room."""
        return 2 * self.options.device_batch_size


def text_logits(model: nn.Module, batch: Batch) -> Tensor:
    return model(input_ids=batch["input_ids"], use_cache=False).logits


def train_text(model: nn.Module, training: Training, layout: Layout) -> Curve:
    """Train a model in place to write what the layout has behind the question; the best checkpoint is kept."""

    def collate(rows: SeparatedRows, numbers: Sequence[int]) -> Batch:
        return text_batch(rows, numbers, layout, training.pad_id)

    collates = partial(collate, training.rows), partial(collate, training.dev_rows)
    return train_answers(model, training, layout, collates, (text_logits, text_logits))


def train_answers(
    model: nn.Module,
    training: Training,
    layout: Layout,
    collates: tuple[Collate, Collate],
    logits: tuple[Logits, Logits],
    also: Sequence[Fingerprinted] = (),
) -> Curve:
    """A training whose loss is the cross-entropy of answers, and whose best checkpoint the options choose.

    Args:
        model: the network.
        training: what every training is given.
        layout: of the rows' texts, which says how long they are.
        collates: batches of the numbers of training and of development rows.
        logits: of a batch of training and of development rows, [B, L, V].
        also: what the training depends on beside its rows.
    """
    prepare(model, training.options)

    best = best_metric(training.options)
    return train(
        model,
        training.rows,
        training.rows.lengths(layout),
        collates[0],
        answers_loss(logits[0]),
        wanted_tokens,
        AnswerEvaluation(logits[1], by_length(training.dev_rows), collates[1], training.dev_batch_size),
        training.options,
        training.seed,
        training.state,
        best=best,
        callbacks=stopping(training, best),
        also=(training.dev_rows, *also),
    )


def best_metric(options: SeparatedTraining) -> str:
    """The development figure of `AnswerEvaluation` that chooses the checkpoint."""
    return "loss" if options.keep_best == "loss" else "score"


def kept_row(curve: Curve, best: str) -> dict[str, float]:
    """The row of a curve at which the kept weights were measured. best: the development figure that chose them."""
    measured = [row for row in curve if f"dev_{best}" in row]
    return (min if best == "loss" else max)(measured, key=lambda row: row[f"dev_{best}"])


def stopping(training: Training, metric: str, first: int = 0) -> list[TrainerCallback]:
    """The callbacks, and the early stop where there is one. first: the step from which evaluations count for it."""
    patience = training.options.patience
    return [*([EarlyStop(patience, metric, first)] if patience > 0 else []), *training.callbacks]


def read_both(
    args: argparse.Namespace, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, options: SeparatedTraining
) -> tuple[SeparatedRows, SeparatedRows]:
    """The training and the development rows of a stage, no longer than its options and the base model allow."""
    task, limit = load_task(args.task_file), limit_of(base, options.max_length)
    rows, dev_rows = (
        read_rows(path, task, tokenizer, limit, options.leave_out_long) for path in (args.train, args.dev)
    )
    return rows, dev_rows


def keeps_each(options: SeparatedTraining, state: str | Path, write: Callable[[Path], None]) -> list[TrainerCallback]:
    """Callbacks that keep every evaluated checkpoint, if configured."""
    return [KeepEvaluated(state, write)] if options.keep_each else []
