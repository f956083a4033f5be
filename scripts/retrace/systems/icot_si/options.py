"""Options of stepwise internalization (arXiv 2405.14838). Defaults are those of the authors' command for multiplication.

"code" means da03/Internalize_CoT_Step_by_Step@c2e3891.
"""

from typing import Literal

from pydantic import Field

from retrace.sections import Count, Name, Section
from retrace.training.options import SeparatedTraining


class StepwiseData(Section):
    """Which examples stepwise internalization is trained on."""

    splits: Literal["icot", "task"] = Field(
        default="icot",
        description="icot: the splits of the task for implicit chain of thought, where it has some, because both papers "
        "share their data; task: the plain ones",
    )
    train: Name | None = Field(default=None, description="split of the task; none: the train split of `splits`")


class StepwiseTraining(SeparatedTraining):
    """Training a model while its chain of thought is removed (train_icot_si.py; code: src/train.py)."""

    epochs: float = Field(default=200, gt=0, description="code: README, 9 x 9 digits")
    explicit_epochs: float = Field(
        default=0, ge=0, description="epochs with all steps, before the first token is removed (code: pretrain_epochs)"
    )
    remove_per_epoch: float = Field(
        default=8,
        gt=0,
        description="tokens of the steps that are removed in an epoch, one at a time; less than 1: slower",
    )
    remove_all_beyond: Count | None = Field(
        default=None, description="as soon as so many tokens are to be removed, all are; none: never"
    )
    smoothing_lambda: float = Field(
        default=4,
        ge=0,
        description="each example loses o more tokens with a probability in proportion to exp(-lambda o); 0: none does",
    )
    side: Literal["left", "right"] = Field(default="left", description="where the removal begins")
    reset_optimizer: bool = Field(
        default=True, description="the optimizer forgets its moments with each removed token, until no token is left"
    )
