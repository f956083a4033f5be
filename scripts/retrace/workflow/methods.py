"""Methods: checkpoint and decoder under the name that results carry (config/methods/NAME.yaml)."""

from pydantic import Field

from retrace.sections import Name
from retrace.systems.declaration import Variant


class MethodConfig(Variant):
    """A checkpoint and a decoder: config/methods/NAME.yaml."""

    checkpoint: Name = Field(description="`generator` (the model's own choice), a checkpoint's name, or NAME_last")
    decoder: Name
    paper: Name = Field(default="grace", description="the system whose seeds it has")
    votes: Name | None = Field(
        default=None, description="a decoder whose samples of the same checkpoint give the result's maj@k and pass@k"
    )
    paper_names: list[str] = Field(default=[], description="this method's names in the paper's tables")
