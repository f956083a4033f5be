"""What decoders share, and the two plainest ones."""

from pydantic import Field

from retrace.config_types import SPEED_ONLY, BatchSize, Count, Section


class Decoding(Section):
    """What all decoders share."""

    max_new_tokens: Count = 256
    batch_size: BatchSize = Field(
        default=64,
        description="sequences decoded together, or auto: as many as the device's memory holds; does not change the output",
        json_schema_extra=SPEED_ONLY,
    )
    calculator: bool = True


class Greedy(Decoding):
    """The most probable token each time."""


class SelfConsistency(Decoding):
    """Several samples, majority vote over their answers."""

    samples: Count = Field(default=40, description="40 for FLAN-T5, 20 for LLaMA (GRACE p. 6)")
    temperature: float = Field(default=0.7, gt=0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
