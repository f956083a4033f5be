"""Methods: checkpoint and decoder under the name that results carry (config/methods/NAME.yaml)."""

from typing import Annotated, Literal

from pydantic import Field

from retrace.discovery import OneOf
from retrace.sections import Name
from retrace.systems.declaration import Variant
from retrace.tasks.graders import PAPER, grader_names


class MethodConfig(Variant):
    """A checkpoint and a decoder: config/methods/NAME.yaml."""

    checkpoint: Name = Field(description="`generator` (the model's own choice), a checkpoint's name, or NAME_last")
    decoder: Name
    paper: Name = Field(default="grace", description="the system whose seeds it has")
    split: Literal["test", "dev"] = Field(
        default="test", description="the questions that it is scored on; METHOD_on_dev: those for development"
    )
    votes: Name | None = Field(
        default=None, description="a decoder whose samples of the same checkpoint give the result's maj@k and pass@k"
    )
    accuracy: Annotated[str, OneOf(grader_names)] = Field(
        default=PAPER,
        description="the grader that a result's `accuracy` is by: the paper's, the strict one, math_verify or a system's; "
        "where it is another than the paper's, the paper's accuracy stands beside it",
    )
    paper_names: list[str] = Field(default=[], description="this method's names in the paper's tables")
