"""What all decoders share."""

from pydantic import Field

from retrace.config_types import SPEED_ONLY, Count, Section


class Decoding(Section):
    """What all decoders share."""

    max_new_tokens: Count = 256
    batch_size: Count = Field(
        default=64,
        description="sequences decoded together; does not change the output",
        json_schema_extra=SPEED_ONLY,
    )
    calculator: bool = True
