"""The training of stepwise internalization: a language model learns to answer while its steps are taken away."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback

from retrace.systems.icot_si.options import StepwiseTraining
from retrace.systems.icot_si.removal import Removal, Shortened, ShorterRows, plan_removal, without
from retrace.training import parallel
from retrace.training.arguments import steps_of
from retrace.training.data import bucketed_order
from retrace.training.separated import (
    AnswerEvaluation,
    Batch,
    Curve,
    Training,
    answers_loss,
    best_metric,
    by_length,
    prepare,
    stopping,
    text_logits,
    wanted_tokens,
)
from retrace.training.separated_rows import SeparatedRows, labelled, text_batch
from retrace.training.trainer import train


def shortened_batch(rows: SeparatedRows, items: Sequence[Shortened], options: StepwiseTraining, pad_id: int) -> Batch:
    """input_ids, labels [B, L - 1] of rows without some tokens of their steps."""
    tokens = [
        without(rows.row(number), int(rows.first[number]), int(rows.second[number]), removed, options.side)
        for number, removed in items
    ]
    return labelled(tokens, [int(rows.first[number]) for number, _ in items], pad_id)


class Forgetting(TrainerCallback):
    """Resets the optimizer before some steps: its moments and its step count are cleared.

    It depends on the step alone, so that a training that goes on from a saved state forgets as an uninterrupted one.
    """

    def __init__(self, resets: frozenset[int]) -> None:
        self.resets = resets

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        if state.global_step in self.resets:
            forget(optimizer)


def forget(optimizer: Any) -> None:
    """Set an optimizer's state back to that of a new one."""
    moments = optimizer.state
    if not parallel.is_sharded():
        moments.clear()
        return
    # In place: where processes divide the model, DeepSpeed and FSDP hold these tensors, too.
    for values in moments.values():
        for name, value in values.items():
            values[name] = value.zero_() if isinstance(value, Tensor) else type(value)(0)


class RemainingEvaluation:
    """The answers without steps, whose score chooses; and, while steps are left, the texts with those."""

    def __init__(self, answers: AnswerEvaluation, training: Training, options: StepwiseTraining) -> None:
        self.answers, self.training, self.options = answers, training, options
        self.removed = 0

    def __call__(self, model: nn.Module) -> dict[str, float]:
        found = self.answers(model)
        numbers = by_length(self.training.dev_rows)

        def collate(part: Sequence[int]) -> Batch:
            items = [Shortened(number, self.removed) for number in part]
            return shortened_batch(self.training.dev_rows, items, self.options, self.training.pad_id)

        left = AnswerEvaluation(text_logits, numbers, collate, self.training.dev_batch_size)(model)
        return {**found, "removed_tokens": float(self.removed), "accuracy_with_steps_left": left["accuracy"]}


class _Follow(TrainerCallback):
    """Tells the evaluation how many tokens are removed by now."""

    def __init__(self, evaluation: RemainingEvaluation, removal: Removal) -> None:
        self.evaluation, self.removal = evaluation, removal

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.evaluation.removed = self.removal.at(state.global_step - 1)


def train_stepwise(model: PreTrainedModel, training: Training, options: StepwiseTraining) -> Curve:
    """Train a model in place; the checkpoint that answers best without any step is kept.

    Raises UserError where the training ends before all tokens of the steps are removed.
    """
    prepare(model, options)
    rows, pad_id = training.rows, training.pad_id
    steps = steps_of(options, len(rows))
    visited = bucketed_order(rows.lengths("explicit_cot"), options.batch_size, steps, training.seed)
    removal = plan_removal(rows, visited, options, training.seed)

    def collate(items: Sequence[Shortened]) -> Batch:
        return shortened_batch(rows, items, options, pad_id)

    def dev_collate(numbers: Sequence[int]) -> Batch:
        return text_batch(training.dev_rows, numbers, "no_cot", pad_id)

    answers = AnswerEvaluation(text_logits, by_length(training.dev_rows), dev_collate, training.dev_batch_size)
    evaluation = RemainingEvaluation(answers, training, options)
    best = best_metric(options)
    return train(
        model,
        ShorterRows(rows),
        rows.lengths("explicit_cot"),
        collate,
        answers_loss(text_logits),
        wanted_tokens,
        evaluation,
        options,
        training.seed,
        training.state,
        best=best,
        callbacks=[
            Forgetting(removal.resets),
            _Follow(evaluation, removal),
            *stopping(training, best, removal.complete),
        ],
        order=removal.order,
        also=(training.dev_rows,),
    )
