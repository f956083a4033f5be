"""Losses and trainings of implicit chain of thought: baselines, student, emulator, and both coupled."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from retrace.systems.icot.networks import Coupled, Emulator, Student
from retrace.systems.icot.states import CachedStates, ComputedStates
from retrace.training.separated import (
    Batch,
    Curve,
    OverDevelopment,
    Training,
    by_length,
    prepare,
    stopping,
    train_answers,
)
from retrace.training.separated_rows import SeparatedRows, question_batch, text_batch
from retrace.training.trainer import train

States = CachedStates | ComputedStates


def states_loss(states: Tensor, targets: Tensor) -> Tensor:
    """Half the squared distance of emulated states [B, N, H] from the teacher's, summed over all (section 3.2)."""
    return (states.float() - targets.float()).square().sum() / 2


class StatesEvaluation(OverDevelopment):
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
    return train_answers(student, training, "no_cot", collates, both, also=(states, dev_states))


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
        StatesEvaluation(dev_states, by_length(training.dev_rows), dev_collate, training.dev_batch_size),
        training.options,
        training.seed,
        training.state,
        callbacks=stopping(training, "loss"),
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
    return train_answers(coupled, training, "no_cot", collates, (logits, logits))
