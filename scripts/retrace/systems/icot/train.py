"""Losses and trainings of implicit chain of thought: baselines, student, emulator, and both coupled."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import TrainerCallback

from retrace.models.share import share
from retrace.prompting.layouts import Layout
from retrace.systems.icot.layers import compile_blocks
from retrace.systems.icot.networks import Coupled, Emulator, Student, without_dropout
from retrace.systems.icot.options import SeparatedTraining
from retrace.systems.icot.rows import SeparatedRows, question_batch, text_batch
from retrace.systems.icot.states import CachedStates, ComputedStates
from retrace.training.data import IGNORED
from retrace.training.evaluated import StopsEarly
from retrace.training.trainer import train

States = CachedStates | ComputedStates
Batch = dict[str, Tensor]
Collate = Callable[[Sequence[int]], Batch]
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


def states_loss(states: Tensor, targets: Tensor) -> Tensor:
    """Half the squared distance of emulated states [B, N, H] from the teacher's, summed over all (section 3.2)."""
    return (states.float() - targets.float()).square().sum() / 2


class _OverDevelopment:
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


class AnswerEvaluation(_OverDevelopment):
    """Loss a token, share of right tokens, share of rows that are right as a whole, and the score that chooses.

    score: the share of right rows; a thousandth of the share of right tokens tells equal ones apart.
    """

    def __init__(self, logits: Callable[[nn.Module, Batch], Tensor], *rest) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*rest)
        self.logits = logits

    def __call__(self, model: nn.Module) -> dict[str, float]:
        loss, tokens, right_tokens, right_rows, rows = self.totals(
            lambda batch: answer_counts(self.logits(model, batch), batch["labels"]), next(model.parameters()).device
        )
        found = {"loss": loss / tokens, "token_accuracy": right_tokens / tokens, "accuracy": right_rows / rows}
        return {**found, "score": found["accuracy"] + found["token_accuracy"] / 1000}


class StatesEvaluation(_OverDevelopment):
    """Half the squared distance of the emulated states from the teacher's, a row."""

    def __init__(self, states: States, *rest) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*rest)
        self.states = states

    def __call__(self, model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device

        def measure(batch: Batch) -> tuple[Tensor, int]:
            emulated = model(batch["question_ids"], batch["positions"])
            return states_loss(emulated, self.states(batch, device)), len(emulated)

        total, rows = self.totals(measure, device)
        return {"loss": total / rows}


def _by_length(rows: SeparatedRows) -> list[int]:
    return sorted(range(len(rows)), key=lambda number: (int(rows.starts[number + 1] - rows.starts[number]), number))


def prepare(model: nn.Module, options: SeparatedTraining) -> None:
    """Set dropout, the precision of products on a GPU, and compile the layers, as the options say."""
    without_dropout(model, options.dropout)
    if options.tf32:
        torch.set_float32_matmul_precision("high")
    if options.compile_layers:
        compile_blocks(model) if hasattr(model, "config") else model.compile_layers()


def _text_logits(model: nn.Module, batch: Batch) -> Tensor:
    return model(input_ids=batch["input_ids"], use_cache=False).logits


def train_text(
    model: nn.Module,
    rows: SeparatedRows,
    dev_rows: SeparatedRows,
    layout: Layout,
    pad_id: int,
    options: SeparatedTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> Curve:
    """Train a model in place to write what the layout has behind the question; the best checkpoint is kept."""
    prepare(model, options)
    return _train_answers(
        model,
        _text_logits,
        rows,
        rows.lengths(layout),
        partial(text_batch, rows, layout=layout, pad_id=pad_id),
        partial(text_batch, dev_rows, layout=layout, pad_id=pad_id),
        dev_rows,
        options,
        seed,
        state,
        callbacks,
    )


def train_student(
    student: Student,
    rows: SeparatedRows,
    dev_rows: SeparatedRows,
    states: States,
    dev_states: States,
    pad_id: int,
    options: SeparatedTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> Curve:
    """Train the student in place to answer from the teacher's states (section 3.1)."""
    prepare(student, options)

    def collate(data: SeparatedRows, source: States, numbers: Sequence[int]) -> Batch:
        positions = question_batch(data, numbers, pad_id)["positions"]
        return {**text_batch(data, numbers, "no_cot", pad_id), "positions": positions, **source.batch(numbers)}

    def logits(source: States, model: nn.Module, batch: Batch) -> Tensor:
        ids = batch["input_ids"]
        return model(ids, batch["positions"], source(batch, ids.device))

    return _train_answers(
        student,
        partial(logits, states),
        rows,
        rows.lengths("no_cot"),
        partial(collate, rows, states),
        partial(collate, dev_rows, dev_states),
        dev_rows,
        options,
        seed,
        state,
        callbacks,
        partial(logits, dev_states),
        also=(states, dev_states),
    )


def train_emulator(
    emulator: Emulator,
    rows: SeparatedRows,
    dev_rows: SeparatedRows,
    states: States,
    dev_states: States,
    pad_id: int,
    options: SeparatedTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> Curve:
    """Train the emulator in place to predict the teacher's states from the question (section 3.2)."""
    prepare(emulator, options)

    def collate(data: SeparatedRows, source: States, numbers: Sequence[int]) -> Batch:
        return {**question_batch(data, numbers, pad_id), **source.batch(numbers)}

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        ids = batch["question_ids"]
        return states_loss(model(ids, batch["positions"]), states(batch, ids.device))

    return train(
        emulator,
        rows,
        rows.lengths(None),
        partial(collate, rows, states),
        loss,
        lambda batch: torch.tensor(len(batch["positions"])),
        StatesEvaluation(
            dev_states, _by_length(dev_rows), partial(collate, dev_rows, dev_states), 2 * options.device_batch_size
        ),
        options,
        seed,
        state,
        callbacks=_stopping(options, "loss", callbacks),
        also=(states, dev_rows, dev_states),
    )


def train_coupled(
    coupled: Coupled,
    rows: SeparatedRows,
    dev_rows: SeparatedRows,
    pad_id: int,
    options: SeparatedTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> Curve:
    """Train emulator and student in place, as one model, on the answer (section 3.3)."""
    prepare(coupled, options)

    def collate(data: SeparatedRows, numbers: Sequence[int]) -> Batch:
        return {**text_batch(data, numbers, "no_cot", pad_id), **question_batch(data, numbers, pad_id)}

    def logits(model: nn.Module, batch: Batch) -> Tensor:
        return model(batch["input_ids"], batch["question_ids"], batch["positions"])

    return _train_answers(
        coupled,
        logits,
        rows,
        rows.lengths("no_cot"),
        partial(collate, rows),
        partial(collate, dev_rows),
        dev_rows,
        options,
        seed,
        state,
        callbacks,
    )


def _train_answers(
    model: nn.Module,
    logits: Callable[[nn.Module, Batch], Tensor],
    rows: SeparatedRows,
    lengths: Sequence[int],
    collate: Collate,
    dev_collate: Collate,
    dev_rows: SeparatedRows,
    options: SeparatedTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback],
    dev_logits: Callable[[nn.Module, Batch], Tensor] | None = None,
    also: Sequence[States] = (),
) -> Curve:
    """A training whose loss is the cross-entropy of answers, and whose best checkpoint the options choose."""

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        found = logits(network, batch).flatten(0, 1).float()
        return functional.cross_entropy(found, batch["labels"].flatten(), ignore_index=IGNORED, reduction="sum")

    best = "loss" if options.keep_best == "loss" else "score"
    return train(
        model,
        rows,
        lengths,
        collate,
        loss,
        lambda batch: batch["labels"].ne(IGNORED).sum(),
        AnswerEvaluation(dev_logits or logits, _by_length(dev_rows), dev_collate, 2 * options.device_batch_size),
        options,
        seed,
        state,
        best=best,
        callbacks=_stopping(options, best, callbacks),
        also=(dev_rows, *also),
    )


def _stopping(options: SeparatedTraining, metric: str, callbacks: Sequence[TrainerCallback]) -> list[TrainerCallback]:
    """The callbacks, and the early stop where there is one."""
    return [*([StopsEarly(options.patience, metric)] if options.patience > 0 else []), *callbacks]
