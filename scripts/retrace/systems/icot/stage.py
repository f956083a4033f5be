"""Shared code of the stages of implicit chain of thought: rows, checkpoints, and training of one part."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.evaluation.model_card import Trained, write_card
from retrace.machine.storage import atomic_path
from retrace.models.layers import blocks_of
from retrace.models.load import load_model
from retrace.systems.icot.files import write_parts
from retrace.systems.icot.networks import Coupled, Emulator, Student
from retrace.systems.icot.options import TeacherStates
from retrace.systems.icot.states import open_states
from retrace.systems.icot.train import train_coupled, train_emulator, train_student
from retrace.training.evaluated import bring_each
from retrace.training.options import SeparatedTraining
from retrace.training.separated import Curve, Training, best_metric, keeps_each, kept_row, read_both
from retrace.training.trainer import finish, is_first_process, set_seed, write_curve

PARTS: dict[str, tuple[Callable[[PreTrainedModel, Any], nn.Module], Callable[..., Curve]]] = {
    "student": (lambda base, options: Student(base), train_student),
    "emulator": (
        lambda base, options: Emulator(base, options.mixture_size, options.softmax_temperature),
        train_emulator,
    ),
}


def train_part(part: str, args: argparse.Namespace, options: SeparatedTraining, of_states: TeacherStates) -> None:
    """Train the student or the emulator from the teacher's states and write its checkpoint.

    Args:
        part: `student` or `emulator`.
        args: the arguments of the programs (`part_program`).
        options: of the training.
        of_states: which states the teacher gives.

    Raises:
        UserError: what the arguments name does not fit together.
    """
    if of_states.cached and not args.states:
        raise UserError("--states: name the folder that cache_states.py made, or give --cached false")
    set_seed(args.seed)
    start = args.teacher if getattr(options, "start", "base") == "teacher" else args.model
    # Weights are trained in full precision; `precision` is that of the computation.
    base, tokenizer = load_model(start, "decoder_only", "float32")
    rows, dev_rows = read_both(args, base, tokenizer, options)
    sources = open_states(
        args.states if of_states.cached else None,
        args.teacher,
        {"train": rows, "dev": dev_rows},
        of_states,
        len(blocks_of(base)),
        base.config.hidden_size,
        tokenizer,
    )
    make, train = PARTS[part]
    network = make(base, options)
    keeping = keeps_each(options, args.state, lambda folder: write_parts(folder, tokenizer, **{part: network}))
    training = Training(rows, dev_rows, tokenizer.pad_token_id, options, args.seed, args.state, keeping)
    curve = train(network, training, sources["train"], sources["dev"])
    trained = Trained(
        args,
        {"examples": len(rows)},
        options,
        network=part,
        loader=f"retrace.systems.icot.files.load_{part}",
        part_of="icot",
    )
    accuracy = kept_row(curve, best_metric(options))["dev_accuracy"] if part == "student" else None
    write_stage(args.output, args.state, tokenizer, curve, trained=trained, accuracy=accuracy, **{part: network})


def told_of_pair(args: argparse.Namespace, options: SeparatedTraining, on: dict[str, int]) -> Trained:
    """What the model card of emulator and student together says. on: what they were trained on."""
    return Trained(
        args,
        on,
        options,
        network="emulator and student",
        loader="retrace.systems.icot.files.load_coupled",
        asked="It writes only the answer, after the question and a separator, with `decode.py implicit`.",
    )


def train_pair(
    args: argparse.Namespace,
    options: SeparatedTraining,
    coupled: Coupled,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Train emulator and student together on the answer and write the checkpoint."""
    student, emulator = coupled.student, coupled.emulator
    rows, dev_rows = read_both(args, student.base_model, tokenizer, options)
    keeping = keeps_each(options, args.state, lambda folder: write_parts(folder, tokenizer, student, emulator))
    training = Training(rows, dev_rows, tokenizer.pad_token_id, options, args.seed, args.state, keeping)
    curve = train_coupled(coupled, training)
    trained = told_of_pair(args, options, {"examples": len(rows)})
    write_stage(args.output, args.state, tokenizer, curve, student, emulator, trained)


def write_stage(
    output: str | Path,
    state: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    curve: Sequence[dict[str, float]],
    student: Student | None = None,
    emulator: Emulator | None = None,
    trained: Trained | None = None,
    accuracy: float | None = None,
) -> None:
    """Write a checkpoint's folder atomically (in the first process), and end the training.

    trained: what its model card says; None: it gets none. accuracy: of a student, see `write_parts`.
    """
    if is_first_process():
        with atomic_path(output) as folder:
            folder.mkdir()
            write_parts(folder, tokenizer, student, emulator, accuracy)
            write_curve(folder / "curves.jsonl", curve)
            bring_each(state, folder)
            if trained is not None:
                write_card(folder, trained)
    finish(state)
