"""Configuration section on experiment tracking: where training curves are sent."""

from typing import Literal, get_args

from pydantic import Field

from retrace.sections import SPEED_ONLY, Section

Tracker = Literal["tensorboard", "wandb", "trackio"]
TRACKERS: tuple[str, ...] = get_args(Tracker)


class Logging(Section):
    """Experiment tracking. Switching it on or off reruns nothing."""

    to: list[Tracker] = Field(
        default=[],
        description="experiment trackers that each training reports to (tensorboard, wandb, trackio); a run bears the "
        "name of its target, for instance gsm8k/tiny_t5/seed0/sft",
        json_schema_extra=SPEED_ONLY,
    )
