"""Training the outcome verifier on correct and wrong sampled solutions. GRACE section 4.2; Cobbe et al. 2021."""

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional
from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.models.verifier import Verifier
from retrace.schemas import Example, Trajectory
from retrace.systems.grace.networks import merge_adapters
from retrace.systems.grace.options import VerifierTraining
from retrace.systems.grace.pairs import development_questions
from retrace.training.data import mask_of, pad, report_long
from retrace.training.trainer import train

DEVELOPMENT_SHARE = 0.15  # share of questions, as for the discriminator


@dataclass(frozen=True)
class SolutionRow:
    """Token ids of `[CLS] question [SEP] solution`, and whether the solution is correct."""

    ids: list[int]
    correct: bool


def split_solutions(
    trajectories: Sequence[Trajectory],
    examples: Mapping[str, Example],
    options: VerifierTraining,
    seed: int,
    source: str,
) -> tuple[list[Trajectory], list[Trajectory]]:
    """Split solutions into (training, development) without shared questions.

    Each distinct solution of a question is used once, and training has at most `max_samples` of each label. Raises
    UserError if training or development lacks a label, unless `one_label` is set.
    """
    unknown = next((row.example_id for row in trajectories if row.example_id not in examples), None)
    if unknown:
        raise UserError(f"{source}: question {unknown!r} is not in the data; sample from the same split again")
    distinct = list({(row.example_id, row.text): row for row in trajectories}.values())
    held_out = development_questions(sorted({row.example_id for row in distinct}), DEVELOPMENT_SHARE, seed)
    dev = [row for row in distinct if row.example_id in held_out]
    rest = [row for row in distinct if row.example_id not in held_out]
    random.Random(f"verifier {seed}").shuffle(rest)
    training = []
    for label in (True, False):
        part = [row for row in rest if row.correct == label]
        training += part[: options.max_samples] if options.max_samples >= 0 else part
        for name, rows in (("training", part), ("development", [row for row in dev if row.correct == label])):
            if not rows:
                fault = f"{source}: no {'correct' if label else 'wrong'} solution among the {name} questions"
                if not options.one_label:
                    raise UserError(f"{fault}; sample more, or at a different temperature")
                print(f"{fault}: the verifier cannot learn to tell correct from wrong", file=sys.stderr)
    return training, dev


def solution_rows(
    network: Verifier, examples: Mapping[str, Example], trajectories: Sequence[Trajectory]
) -> list[SolutionRow]:
    """Token rows. Rows over the limit lose the start of their question; stderr says how many."""
    questions = [" ".join(examples[row.example_id].question.split()) for row in trajectories]
    solutions = [row.text for row in trajectories]
    names = [trajectories[index].example_id for index in network.too_long(questions, solutions)]
    report_long(names, len(trajectories), network.max_length, "solutions", "cut at the start of the question")
    rows = network.encode(questions, solutions)
    return [SolutionRow(ids, row.correct) for ids, row in zip(rows, trajectories, strict=True)]


def collate_solutions(rows: Sequence[SolutionRow], pad_id: int) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask [n, longest]; labels [n]: 1 for correct."""
    ids = [row.ids for row in rows]
    labels = torch.tensor([int(row.correct) for row in rows])
    return {"input_ids": pad(ids, pad_id), "attention_mask": mask_of(ids), "labels": labels}


def sum_label_loss(network: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the cross-entropy over a batch's solutions."""
    logits = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return functional.cross_entropy(logits.float(), batch["labels"], reduction="sum")


def count_solutions(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Number of solutions in a batch."""
    return torch.tensor(len(batch["labels"]), device=batch["labels"].device)


def macro_f1(predicted: torch.Tensor, correct: torch.Tensor) -> float:
    """Mean of the F1 scores of both labels; arguments are BoolTensor [n]. A label that never occurs scores 0."""
    scores = []
    for label in (True, False):
        hits = int(((predicted == label) & (correct == label)).sum())
        total = int((predicted == label).sum()) + int((correct == label).sum())
        scores.append(2 * hits / total if total else 0.0)
    return sum(scores) / 2


class SolutionEvaluation:
    """Loss, accuracy and macro-F1 over the development solutions."""

    def __init__(self, rows: Sequence[SolutionRow], batch_size: int) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.correct = torch.tensor([row.correct for row in rows])

    def __call__(self, network: Verifier) -> dict[str, float]:
        logits = network.infer([row.ids for row in self.rows], self.batch_size)
        predicted = logits[:, 1] > logits[:, 0]
        return {
            "loss": functional.cross_entropy(logits, self.correct.long()).item(),
            "accuracy": (predicted == self.correct).float().mean().item(),
            "macro_f1": macro_f1(predicted, self.correct),
        }


def train_verifier(
    network: Verifier,
    rows: Sequence[SolutionRow],
    dev_rows: Sequence[SolutionRow],
    options: VerifierTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train in place, keep the checkpoint with the best development macro-F1, and return the curve."""
    curve = train(
        network,
        rows,
        [len(row.ids) for row in rows],
        partial(collate_solutions, pad_id=network.tokenizer.pad_token_id),
        sum_label_loss,
        count_solutions,
        SolutionEvaluation(dev_rows, 4 * options.device_batch_size),
        options,
        seed,
        state,
        best="macro_f1",
        callbacks=callbacks,
    )
    merge_adapters(network)
    return curve
