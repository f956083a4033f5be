"""Losses and trainings of implicit chain of thought: baselines, student, emulator, and both coupled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from retrace.training.evaluated import EarlyStop
from retrace.training.trainer import train

States = CachedStates | ComputedStates
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

    def __init__(self, logits: Logits, *rest) -> None:  # type: ignore[no-untyped-def]
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


def _text_logits(model: nn.Module, batch: Batch) -> Tensor:
    return model(input_ids=batch["input_ids"], use_cache=False).logits


def train_text(model: nn.Module, training: Training, layout: Layout) -> Curve:
    """Train a model in place to write what the layout has behind the question; the best checkpoint is kept."""

    def collate(rows: SeparatedRows, numbers: Sequence[int]) -> Batch:
        return text_batch(rows, numbers, layout, training.pad_id)

    collates = partial(collate, training.rows), partial(collate, training.dev_rows)
    return _train_answers(model, training, layout, collates, (_text_logits, _text_logits))


def train_student(student: Student, training: Training, states: States, dev_states: States) -> Curve:
    """Train the student in place to answer from the teacher's states (section 3.1)."""

    def collate(rows: SeparatedRows, source: States, numbers: Sequence[int]) -> Batch:
        positions = question_batch(rows, numbers, training.pad_id)["positions"]
        return {**text_batch(rows, numbers, "no_cot", training.pad_id), "positions": positions, **source.batch(numbers)}

    def logits(source: States, model: nn.Module, batch: Batch) -> Tensor:
        ids = batch["input_ids"]
        return model(ids, batch["positions"], source(batch, ids.device))

    collates = partial(collate, training.rows, states), partial(collate, training.dev_rows, dev_states)
    both = partial(logits, states), partial(logits, dev_states)
    return _train_answers(student, training, "no_cot", collates, both, also=(states, dev_states))


def train_emulator(emulator: Emulator, training: Training, states: States, dev_states: States) -> Curve:
    """Train the emulator in place to predict the teacher's states from the question (section 3.2)."""
    prepare(emulator, training.options)

    def collate(rows: SeparatedRows, source: States, numbers: Sequence[int]) -> Batch:
        return {**question_batch(rows, numbers, training.pad_id), **source.batch(numbers)}

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        ids = batch["question_ids"]
        return states_loss(model(ids, batch["positions"]), states(batch, ids.device))

    dev_collate = partial(collate, training.dev_rows, dev_states)
    return train(
        emulator,
        training.rows,
        training.rows.lengths(None),
        partial(collate, training.rows, states),
        loss,
        lambda batch: torch.tensor(len(batch["positions"])),
        StatesEvaluation(dev_states, _by_length(training.dev_rows), dev_collate, training.dev_batch_size),
        training.options,
        training.seed,
        training.state,
        callbacks=_stopping(training, "loss"),
        also=(states, training.dev_rows, dev_states),
    )


def train_coupled(coupled: Coupled, training: Training) -> Curve:
    """Train emulator and student in place, as one model, on the answer (section 3.3)."""

    def collate(rows: SeparatedRows, numbers: Sequence[int]) -> Batch:
        return {
            **text_batch(rows, numbers, "no_cot", training.pad_id),
            **question_batch(rows, numbers, training.pad_id),
        }

    def logits(model: nn.Module, batch: Batch) -> Tensor:
        return model(batch["input_ids"], batch["question_ids"], batch["positions"])

    collates = partial(collate, training.rows), partial(collate, training.dev_rows)
    return _train_answers(coupled, training, "no_cot", collates, (logits, logits))


def _train_answers(
    model: nn.Module,
    training: Training,
    layout: Layout,
    collates: tuple[Collate, Collate],
    logits: tuple[Logits, Logits],
    also: Sequence[States] = (),
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

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        found = logits[0](network, batch).flatten(0, 1).float()
        return functional.cross_entropy(found, batch["labels"].flatten(), ignore_index=IGNORED, reduction="sum")

    best = "loss" if training.options.keep_best == "loss" else "score"
    return train(
        model,
        training.rows,
        training.rows.lengths(layout),
        collates[0],
        loss,
        lambda batch: batch["labels"].ne(IGNORED).sum(),
        AnswerEvaluation(logits[1], _by_length(training.dev_rows), collates[1], training.dev_batch_size),
        training.options,
        training.seed,
        training.state,
        best=best,
        callbacks=_stopping(training, best),
        also=(training.dev_rows, *also),
    )


def _stopping(training: Training, metric: str) -> list[TrainerCallback]:
    """The callbacks, and the early stop where there is one."""
    patience = training.options.patience
    return [*([EarlyStop(patience, metric)] if patience > 0 else []), *training.callbacks]
