"""Progress lines of a running training."""

import sys
from typing import Any

from transformers import TrainerCallback

from retrace.machine.progress import Pace


class ProgressCallback(TrainerCallback):
    """Prints progress lines: step, loss, remaining seconds."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.loss = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.pace.start(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
        if "loss" in (logs or {}):
            self.loss = f"  loss {float(logs['loss']):.4f}"  # TRL logs text
            self._say(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not control.should_log:  # the loss of this step is about to be logged
            self._say(state)

    def _say(self, state: Any) -> None:
        if state.is_world_process_zero and self.pace.due():
            left = self.pace.left(state.global_step, state.max_steps)
            print(f"step {state.global_step}/{state.max_steps}{self.loss}{left}", file=sys.stderr, flush=True)
