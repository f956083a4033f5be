"""Saved states for resuming a killed training: when they are written, and by which run.

A node that lost its network may continue a training that the cluster has restarted elsewhere in the same folder.
Each run therefore writes its name there at the start, and a run that finds a different name stops before writing.
"""

import json
import os
import secrets
import shutil
import socket
import struct
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel, TrainerCallback

from retrace.errors import UserError
from retrace.machine.storage import disk_of, sync_to_disk, write_text
from retrace.training import parallel
from retrace.training.options import Training

TIMES = 20.0  # minimum interval between saves, as a multiple of the duration of a save
KEPT = 2  # number of saved states to keep


class TimedSaves(TrainerCallback):
    """Saves the state if the last save was too long ago.

    It saves only at a logged step, so a run that resumes there logs the same values as an uninterrupted one.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = self.saved = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % state.logging_steps or control.should_save:
            return
        due = torch.tensor(int(time.monotonic() - self.saved >= self.seconds), device=args.device)
        if args.world_size > 1:  # all processes or none must save, so the first one's clock decides
            torch.distributed.broadcast(due, 0)
        if due:
            control.should_save = True
            self.asked = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        if self.asked > self.saved:
            self.seconds = max(self.seconds, TIMES * (now - self.asked))
        self.saved = now


def checkpoints_in(state: Path) -> list[Path]:
    """The saved states, oldest first. Ordered by step, because file times may be wrong after a clock was changed."""
    found = [path for path in state.glob("checkpoint-*") if path.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def last_checkpoint(state: Path) -> Path | None:
    """The newest complete saved state; incomplete or damaged ones are skipped."""
    for path in reversed(checkpoints_in(state)):
        if is_whole(path):
            return path
        print(f"note: {path} is incomplete or damaged; skipped", file=sys.stderr)
    return None


def is_whole(checkpoint: Path) -> bool:
    """Whether a saved state can be read: the trainer's own file, which is written last, and all other parts."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        for part in checkpoint.glob("*.safetensors"):
            with open(part, "rb") as handle:
                (length,) = struct.unpack("<Q", handle.read(8))
                spans = [
                    row["data_offsets"] for row in json.loads(handle.read(length)).values() if "data_offsets" in row
                ]
            if part.stat().st_size != 8 + length + max((end for _, end in spans), default=0):
                return False
        # torch's files are archives with a checksum for each member.
        for part in [*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")]:
            with zipfile.ZipFile(part) as archive:
                if archive.testzip() is not None:
                    return False
    except (OSError, ValueError, struct.error, zipfile.BadZipFile, AttributeError, TypeError):
        return False
    return True


def drop_old(state: Path, best: str | None) -> None:
    """Keep the newest saved states and the best one."""
    found = checkpoints_in(state)
    kept = {path.name for path in found[-1:]} | ({Path(best).name} if best else set())
    for path in reversed(found):
        if len(kept) < KEPT:
            kept.add(path.name)
    for path in found:
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def kept_besides(model: nn.Module, options: Training) -> int:
    """Number of weights in the checkpoints that `keep_each` keeps (retrace.training.evaluated), at most one each."""
    if not getattr(options, "keep_each", False):
        return 0
    return options.evaluations * sum(weight.numel() for weight in model.parameters())


def check_room(state: Path, weights: int, keeps_best: bool, besides: int = 0) -> None:
    """Raise UserError before the training if its saved states cannot fit on the disk.

    weights: number of weights in a saved state. besides: number in other checkpoints that stay in the folder.
    """
    state.mkdir(parents=True, exist_ok=True)
    size = 4 * weights
    # Weights and two moments, for a divided model in addition to the whole one; best, last and the one being written.
    needed = (4 if parallel.is_sharded() else 3) * size * (3 if keeps_best else 2) + 4 * besides
    # Files from a killed run count toward the total.
    room = shutil.disk_usage(state).free + sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
    if needed > room:
        raise UserError(
            f"{state}: the trainer's saved states need up to {needed / 1e6:,.1f} MB, but the disk has too little space "
            f"({disk_of(state)}); free some space and run again" + (", or set keep_each to false" if besides else "")
        )


class Owner:
    """Records this run's name in the state folder."""

    def __init__(self, state: str | Path) -> None:
        self.state = Path(state)
        self.file = self.state / "owner"
        self.name = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"

    def claim(self, fingerprint: str) -> None:
        """Claim the folder for this run; discard a state with a different fingerprint (different options or data)."""
        known = self.state / "fingerprint"
        if self.state.exists() and (not known.exists() or known.read_text() != fingerprint):
            if any(self.state.glob("checkpoint-*")):
                print(f"note: {self.state} is from different options or data; training starts over", file=sys.stderr)
            shutil.rmtree(self.state)
        self.state.mkdir(parents=True, exist_ok=True)
        if not known.exists():  # a kill while rewriting it would lose everything that was saved
            write_text(known, fingerprint)
        write_text(self.file, self.name)

    def check(self) -> None:
        """Raise UserError if another run has claimed the folder since."""
        found = self.file.read_text(encoding="utf-8") if self.file.exists() else "no longer any"
        if found != self.name:
            raise UserError(
                f"{self.state}: this training was started again elsewhere ({' '.join(found.split()[:2])}), so this "
                "run stops in favor of the other one"
            )


def own_names(model: Any) -> dict[str, bool]:
    """Options of `save_pretrained` that keep a network's own names for its weights; adapters have no other names."""
    return {"save_original_format": False} if isinstance(model, PreTrainedModel) else {}


class OwnCheckpoints:
    """Our trainers' changes to how Trainer saves its state; must come before Trainer in the list of bases.

    owner: this run's claim on the state folder.
    """

    owner: Owner

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # counting parameters at every step costs a tiny model several percent

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        if self.is_world_process_zero():
            self.owner.check()
        super()._save_checkpoint(*args, **kwargs)
        if self.is_world_process_zero():
            drop_old(Path(self.args.output_dir), self.state.best_model_checkpoint)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Save only the model, as safetensors; Trainer would also pickle its arguments."""
        if not self.args.should_save:
            return
        os.makedirs(output_dir, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model)
        if isinstance(model, PreTrainedModel) or hasattr(model, "peft_config"):
            # Use the network's own names, under which Trainer reads the weights back. Published files of some
            # architectures (GPT-NeoX) use other names.
            model.save_pretrained(output_dir, state_dict=state_dict, **own_names(model))
        else:
            weights = model.weights(state_dict)
            save_file(weights, os.path.join(output_dir, "model.safetensors"), metadata={"format": "pt"})

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # The state file, which Trainer writes next, marks a checkpoint as complete. The parts of all processes must
        # therefore be on disk first, not only in memory that a failing machine would lose.
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            sync_to_disk(Path(output_dir))

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        if load_result.unexpected_keys:
            raise UserError(f"the saved state has unknown weights ({load_result.unexpected_keys[0]}); delete it")
