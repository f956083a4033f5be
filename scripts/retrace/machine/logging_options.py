"""The configuration's section on following a training: where its curves are sent while it runs."""

from typing import Literal, get_args

from pydantic import Field

from retrace.sections import SPEED_ONLY, Section

Tracker = Literal["tensorboard", "wandb", "trackio"]
TRACKERS: tuple[str, ...] = get_args(Tracker)


class Logging(Section):
    """Following a training while it runs. Switching this on or off redoes nothing."""

    to: list[Tracker] = Field(
        default=[],
        description="experiment trackers that each training reports to (tensorboard, wandb, trackio); a run bears the "
        "name of its target, for instance gsm8k/tiny_t5/seed0/sft",
        json_schema_extra=SPEED_ONLY,
    )
