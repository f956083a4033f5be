"""Saved states of a training that may be killed: how often they are written, and by whom.

A node that lost its network goes on with a training that a cluster has long started again elsewhere, in the same
folder. So each run writes its name there when it starts, and a run that finds another name stops before it writes.
"""

import os
import secrets
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from retrace.errors import UserError

SECONDS = 600.0  # of training that a kill may cost ...
TIMES = 20.0  # ... or so many times what saving takes, if that is longer


class SavesInTime(TrainerCallback):
    """Saves the state where the last save is too long ago, at a step that is logged: so a run that goes on from there
    logs what it would have logged."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.asked = self.saved = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % state.logging_steps or control.should_save:
            return
        due = torch.tensor(int(time.monotonic() - self.saved >= self.seconds), device=args.device)
        if args.world_size > 1:  # all processes save together, or none: the first one's clock counts
            torch.distributed.broadcast(due, 0)
        if due:
            control.should_save = True
            self.asked = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        if self.asked > self.saved:
            self.seconds = max(self.seconds, TIMES * (now - self.asked))
        self.saved = now


class Owner:
    """This run's name in the state folder."""

    def __init__(self, state: str | Path) -> None:
        self.state = Path(state)
        self.file = self.state / "owner"
        self.name = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"

    def claim(self, fingerprint: str) -> None:
        """Make the folder this run's; a state of other options or data, by its fingerprint, is thrown away."""
        known = self.state / "fingerprint"
        if self.state.exists() and (not known.exists() or known.read_text() != fingerprint):
            if any(self.state.glob("checkpoint-*")):
                print(f"note: {self.state} belongs to other options or data; training starts anew", file=sys.stderr)
            shutil.rmtree(self.state)
        self.state.mkdir(parents=True, exist_ok=True)
        known.write_text(fingerprint)
        self.file.write_text(self.name, encoding="utf-8")

    def check(self) -> None:
        """Raise UserError if another run has claimed the folder since."""
        found = self.file.read_text(encoding="utf-8") if self.file.exists() else "none any more"
        if found != self.name:
            raise UserError(
                f"{self.state}: this training was started again elsewhere ({' '.join(found.split()[:2])}), so this "
                "run stops and leaves the folder to the other one"
            )
