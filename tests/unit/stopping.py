"""What stands for a kill in tests of trainings: an exception behind a step."""

from transformers import TrainerCallback


class Stop(Exception):
    """Stands for a kill."""


class StopAt(TrainerCallback):
    """Stops a training behind so many optimiser steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == self.step:
            raise Stop
