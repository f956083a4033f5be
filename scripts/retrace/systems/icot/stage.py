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
from retrace.systems.icot.networks import Emulator, Student
from retrace.systems.icot.options import TeacherStates
from retrace.systems.icot.states import open_states
from retrace.systems.icot.train import train_emulator, train_student
from retrace.training.evaluated import bring_each
from retrace.training.options import SeparatedTraining
from retrace.training.separated import Curve, Training, keeps_each, read_both
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
    write_stage(args.output, args.state, tokenizer, curve, trained=trained, **{part: network})


def write_stage(
    output: str | Path,
    state: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    curve: Sequence[dict[str, float]],
    student: Student | None = None,
    emulator: Emulator | None = None,
    trained: Trained | None = None,
) -> None:
    """Write a checkpoint's folder atomically (in the first process), and end the training.

    trained: what its model card says; None: it gets none.
    """
    if is_first_process():
        with atomic_path(output) as folder:
            folder.mkdir()
            write_parts(folder, tokenizer, student, emulator)
            write_curve(folder / "curves.jsonl", curve)
            bring_each(state, folder)
            if trained is not None:
                write_card(folder, trained)
    finish(state)
