"""Callbacks at evaluations: early stopping, and keeping every evaluated checkpoint."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.training import parallel

EACH = (
    "each"  # folder with the checkpoints of all evaluations, first in the state folder, then in the checkpoint's folder
)


class EarlyStop(TrainerCallback):
    """Stops after `patience` consecutive evaluations that did not improve on the best one before them.

    metric: `loss` (lower is better), or any other (higher is better). first: the step from which evaluations count.
    Earlier values are read from the trainer's own history, so a resumed training stops at the same step as an
    uninterrupted one.
    """

    def __init__(self, patience: int, metric: str, first: int = 0) -> None:
        self.patience = patience
        self.metric = metric
        self.first = first

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._look(state, control)  # evaluations before a restart

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._look(state, control) and state.is_world_process_zero:
            print(f"stopped at step {state.global_step}: {self.patience} evaluations without a better {self.metric}")

    def _look(self, state: Any, control: Any) -> bool:
        rows = [row for row in state.log_history if f"eval_{self.metric}" in row and row["step"] >= self.first]
        values = [row[f"eval_{self.metric}"] for row in rows]
        if not values:
            return False
        best = values.index(min(values) if self.metric == "loss" else max(values))
        stops = len(values) - 1 - best >= self.patience
        if stops:
            control.should_training_stop = True
        return stops


class KeepEvaluated(TrainerCallback):
    """Writes the checkpoint of each evaluation into the state folder. write: writes the model into an empty folder."""

    def __init__(self, state: str | Path, write: Callable[[Path], None]) -> None:
        if parallel.is_sharded():
            raise UserError(
                "keep_each: no process has the whole model while it is divided; set launch.strategy to ddp, or keep only "
                "the best checkpoint"
            )
        self.folder = Path(state) / EACH
        self.write = write

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        place = self.folder / f"step{state.global_step}"
        unfinished = place.with_suffix(".part")
        for folder in (place, unfinished):
            shutil.rmtree(folder, ignore_errors=True)
        unfinished.mkdir(parents=True)
        self.write(unfinished)
        unfinished.rename(place)


def bring_each(state: str | Path, folder: str | Path) -> None:
    """Put the checkpoints that `KeepEvaluated` wrote, if any, into a checkpoint's folder."""
    for place in sorted((Path(state) / EACH).glob("step*[0-9]")):
        shutil.copytree(place, Path(folder) / EACH / place.name, copy_function=_linked)


def _linked(source: str, target: str) -> None:
    """Link the same file under another name, which takes no space; copy it if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
