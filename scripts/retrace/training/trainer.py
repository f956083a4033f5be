"""One trainer for all networks: Hugging Face's, set up so that batches, losses and restarts are exact.

- The loss is the sum over all items (tokens, pairs, solutions) of an optimizer step divided by their number, however
  the step is split into accumulated batches and processes. Trainer would not divide T5's mean loss, because T5's
  forward accepts any keyword and therefore seems to support `num_items_in_batch`; four accumulated batches would then
  give four times the loss and gradient.
- The order of all examples is drawn before training; a killed run resumes from its last saved step and ends
  with the same weights as an uninterrupted one.
"""

import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from torch.utils.data import Dataset, SequentialSampler
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback
from transformers.utils import logging as transformers_logging

from retrace.errors import UserError
from retrace.machine.storage import refusal
from retrace.models.share import from_first, measuring_together, share
from retrace.sections import speed_options
from retrace.training import parallel
from retrace.training.adapters import saved_weights
from retrace.training.arguments import arguments_of_training, milestones, steps_of
from retrace.training.data import bucketed_order
from retrace.training.follow import ProgressCallback
from retrace.training.options import Training
from retrace.training.restarts import OwnCheckpoints, Owner, TimedSaves, check_room, kept_besides, last_checkpoint

Loss = Callable[[torch.nn.Module, dict[str, torch.Tensor]], torch.Tensor]
Count = Callable[[dict[str, torch.Tensor]], torch.Tensor]
Evaluation = Callable[[torch.nn.Module], dict[str, float]]


class Fingerprinted(Protocol):
    """Data with a short fingerprint."""

    def fingerprint(self) -> str: ...


COLUMNS = ("loss", "learning_rate", "grad_norm")  # columns of a training step in the curve


class Ordered(Dataset):
    """Rows in the order of a whole training, all epochs concatenated."""

    def __init__(self, rows: Sequence[Any], order: np.ndarray) -> None:
        self.rows = rows
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> Any:
        return self.rows[self.order[place]]


class ExactTrainer(OwnCheckpoints, Trainer):
    """Trainer whose loss is a sum over items, divided once by the number of items of the optimizer step.

    A loss with several terms gives a vector of sums and a vector of counts; each term is divided by its own count.
    """

    def __init__(
        self, *args: Any, loss: Loss, count: Count, evaluation: Evaluation | None, owner: Owner, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.owner = owner
        self.sum_loss = loss
        self.count_items = count
        self.evaluation = evaluation
        # Our loss is complete: Trainer must not divide it by the number of accumulated batches.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Stop before the first step if necessary: Trainer checks only after a step, but a resumed run may have to."""
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor:
        items = torch.stack([self.count_items(batch).to(device) for batch in batch_samples]).sum(0)
        if self.args.world_size > 1:
            items = self.accelerator.gather(items[None] if items.dim() else items)
            return items.sum(0)
        return items

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        items = self.count_items(inputs) if num_items_in_batch is None else num_items_in_batch
        loss = (self.sum_loss(model, inputs) / items.clamp(min=1)).sum()
        # Data parallelism averages gradients over the processes; the items were counted over all of them.
        return loss * self.args.world_size

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """Keep T5's shared embedding in one group of weights, as torch requires.

        accelerate would put the embedding that encoder, decoder and output share into two groups; if it does not know the
        embedding, it leaves it in the outermost group.
        """
        network = self.model
        hidden = parallel.strategy() == "fsdp" and getattr(
            getattr(network, "config", None), "is_encoder_decoder", False
        )
        names = ("get_input_embeddings", "get_output_embeddings") if hidden else ()
        for name in names:
            setattr(network, name, lambda: None)
        try:
            return super()._prepare_for_training(*args, **kwargs)
        finally:
            for name in names:
                delattr(network, name)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Metrics of the development rows, divided among the processes. Raises UserError if the loss is not finite."""
        self.model.eval()
        with (
            measuring_together(self.args.device),
            share().quietly(),
            self.accelerator.autocast(),
            self._model_to_measure() as model,
        ):
            measured = self.evaluation(model)
        # All processes must agree on which checkpoint is the best.
        metrics = {f"eval_{name}": value for name, value in from_first(measured).items()}
        if not all(map(math.isfinite, metrics.values())):
            raise not_finite("development", self.state.global_step)
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _model_to_measure(self) -> AbstractContextManager[Any]:
        """The model; if an evaluation decodes, one that each process can use independently of the others."""
        if not getattr(self.evaluation, "decodes", False) or not parallel.is_sharded():
            return nullcontext(self.model)
        from trl.models import unwrap_model_for_generation

        return unwrap_model_for_generation(self.model_wrapped, self.accelerator)


class Milestones(TrainerCallback):
    """Evaluates and saves at the given steps, prints progress, and stops at a loss that is not finite."""

    def __init__(self, steps: set[int], evaluates: bool) -> None:
        self.steps = steps
        self.evaluates = evaluates
        self.started = 0.0
        self.first = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started, self.first = time.monotonic(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.steps:
            control.should_log = control.should_save = True
            control.should_evaluate = self.evaluates
        elif state.global_step == state.max_steps:
            control.should_log = True  # Trainer itself evaluates and saves at the end

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
        logs = logs or {}
        if "loss" in logs and not math.isfinite(logs["loss"]):
            raise not_finite("training", state.global_step)
        if any(key.startswith("eval_") for key in logs) and state.is_world_process_zero:
            speed = (state.global_step - self.first) / max(time.monotonic() - self.started, 1e-9)
            shown = "  ".join(f"{key[5:]} {value:.4f}" for key, value in logs.items() if key.startswith("eval_"))
            left = (state.max_steps - state.global_step) / speed if speed else 0
            print(f"step {state.global_step}/{state.max_steps}  development {shown}  {left:.0f} s left", flush=True)


def not_finite(where: str, step: int) -> UserError:
    return UserError(
        f"the {where} loss is not finite at step {step}; lower learning_rate or max_grad_norm, "
        "or use precision float32 or bfloat16"
    )


def world_size() -> int:
    """Number of processes of this training, as set by torchrun and accelerate."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process writes the results."""
    return int(os.environ.get("RANK", "0")) == 0


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and torch: new weights and dropout."""
    transformers.set_seed(seed)


def train(
    model: torch.nn.Module,
    rows: Sequence[Any],
    lengths: Sequence[int],
    collate: Callable[[Sequence[Any]], dict[str, torch.Tensor]],
    loss: Loss,
    count: Count,
    evaluation: Evaluation | None,
    options: Training,
    seed: int,
    state: str | Path,
    best: str | None = "loss",
    callbacks: Sequence[TrainerCallback] = (),
    order: np.ndarray | None = None,
    also: Sequence[Fingerprinted] = (),
) -> list[dict[str, float]]:
    """Train `model` in place and return the curve, one dict per logged step.

    With several processes, each trains on its part of every batch. If they divide the model, only the first process has
    all of it at the end, on the CPU.

    Args:
        model: The network.
        rows, lengths: Training rows and their lengths; rows of similar length share a batch.
        collate: Makes a batch of rows.
        loss, count: loss(model, batch) is the SUM of the loss over a batch's items, count(batch) their number.
        evaluation: Gives development metrics, including `best`; None: no evaluations, and the last weights are kept.
        options: Options of the training.
        seed: Seed of all random choices.
        state: Folder for restarts; `finish` removes it once the result is written.
        best: Metric whose best checkpoint is kept ("loss": the lowest; any other: the highest); None: the last weights.
        callbacks: Further callbacks.
        order: IntArray [steps * batch_size], the rows in the order of visits; None: shuffled epochs.
        also: Other data that the training reads; if it differs, a saved state is not resumed.

    Raises:
        UserError: For no rows, an impossible batch size, a full disk, and a loss that is not finite.
    """
    state = Path(state)
    if not rows:
        raise UserError("nothing to train on: no rows")
    if getattr(evaluation, "decodes", False) and parallel.strategy() == "fsdp":
        raise UserError(
            "launch.strategy fsdp does not support decoding answers, which `keep: accuracy` needs; use zero3, zero2 or "
            "ddp, or choose the checkpoint by the loss"
        )
    device_batch, passes = parallel.accumulation_of(options, world_size())
    if order is None:
        order = bucketed_order(lengths, options.batch_size, steps_of(options, len(rows)), seed)
    total = len(order) // options.batch_size
    evaluates = evaluation is not None
    arguments = arguments_of_training(options, seed, state, device_batch, passes, total, best, evaluates)
    # An encoder may have parts that we do not use (ELECTRA none, RoBERTa its pooler).
    arguments.ddp_find_unused_parameters = not isinstance(model, PreTrainedModel)

    def build(owner: Owner) -> Trainer:
        return ExactTrainer(
            model=model,
            args=arguments,
            data_collator=collate,
            train_dataset=Ordered(rows, order),
            eval_dataset=Ordered(rows, order[:1]) if evaluation else None,  # Trainer requires one; we use `evaluation`
            callbacks=[
                Milestones(milestones(options, total), evaluates),
                TimedSaves(60 * options.save_minutes),
                *callbacks,
            ],
            loss=loss,
            count=count,
            evaluation=evaluation,
            owner=owner,
        )

    trainer = run_trainer(build, model, rows, options, seed, state, evaluates, also)
    return curve_of(trainer, options.batch_size, len(rows))


def run_trainer(
    build: Callable[[Owner], Trainer],
    model: torch.nn.Module,
    rows: Sequence[Any],
    options: Training,
    seed: int,
    state: Path,
    evaluates: bool,
    also: Sequence[Fingerprinted] = (),
) -> Trainer:
    """Build a trainer and train, resuming from the last step saved in `state` if it belongs to this training.

    Args:
        build: Makes the trainer.
        model: The network, trained in place; if processes divide it, only the first has all of it at the end, on the CPU.
        rows, also: All data that the training depends on.
        options, seed, state: See `train`.
        evaluates: Whether there are evaluations, so a best checkpoint is kept in addition to the last.

    Raises:
        UserError: For a full disk.
    """
    owner, checkpoint = Owner(state), None
    if is_first_process():
        owner.claim(_fingerprint(model, rows, options, seed, also))
        check_room(state, saved_weights(model, options), evaluates, kept_besides(model, options))
        checkpoint = last_checkpoint(state)
    checkpoint = from_first(checkpoint)
    outline = parallel.outline_of(model) if parallel.is_sharded() and is_first_process() else None
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        trainer = build(owner)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(ProgressCallback())
        if world_size() > 1:
            torch.manual_seed(seed + trainer.args.process_index)  # dropout must differ between processes
        if checkpoint:
            print(f"resuming at {checkpoint}", file=sys.stderr)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.accelerator.wait_for_everyone()  # all must read the best checkpoint before `finish` removes it
        if outline is not None:
            folder = trainer.state.best_model_checkpoint or state / f"checkpoint-{trainer.state.max_steps}"
            parallel.restore_whole(model, outline, Path(folder))
        parallel.leave(trainer)
    except Exception as error:
        if fault := refusal(error, state):
            raise UserError(f"{state}: {fault}; training will resume from its last saved step") from None
        raise
    finally:
        transformers_logging.set_verbosity(verbosity)
    model.eval()
    return trainer


def finish(state: str | Path) -> None:
    """Remove the state folder once the result is written."""
    if is_first_process():
        shutil.rmtree(state, ignore_errors=True)


def _fingerprint(
    model: torch.nn.Module, rows: Sequence[Any], options: Training, seed: int, also: Sequence[Fingerprinted]
) -> str:
    """Fingerprint that a saved state must match to be resumed: options, seed, data and the initial weights."""
    values = options.model_dump_json(exclude=speed_options(options))
    about = f"{type(options).__name__} {values} {seed} {len(rows)}"
    if parallel.is_sharded():  # each process saved its own part
        about += f" {parallel.strategy()} {world_size()}"
    digest = hashlib.sha256(about.encode())
    if hasattr(rows, "fingerprint"):
        digest.update(rows.fingerprint().encode())
    else:
        for row in rows:
            digest.update(repr(row).encode())
    for one in also:
        digest.update(one.fingerprint().encode())
    for name, weight in model.named_parameters():
        digest.update(f"{name} {tuple(weight.shape)} {weight.detach().double().sum().item():.10e}".encode())
    return digest.hexdigest()


def curve_of(
    trainer: Trainer, batch_size: int, count: int, columns: Sequence[str] = COLUMNS, split: str = "dev"
) -> list[dict[str, float]]:
    """The trainer's log as rows {step, epoch, loss, learning_rate, ... | dev_*}.

    count: number of training rows, of which a step uses `batch_size`. columns: columns of a training step. split: prefix
    of the evaluations' columns.
    """
    rows = []
    for entry in trainer.state.log_history:
        row = {"step": entry["step"], "epoch": round(entry["step"] * batch_size / count, 4)}
        row |= {key: float(f"{entry[key]:.6g}") for key in columns if entry.get(key) is not None}
        row |= {f"{split}_{key[5:]}": float(f"{entry[key]:.6g}") for key in entry if key.startswith("eval_")}
        if len(row) > 2:
            rows.append(row)
    return rows


def write_curve(path: str | Path, curve: Sequence[dict[str, float]]) -> None:
    """Write curves.jsonl, one line per logged step."""
    with open(path, "w", encoding="utf-8") as handle:
        for row in curve:
            handle.write(json.dumps(row) + "\n")
