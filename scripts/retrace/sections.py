"""Base class of configuration sections."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
BatchSize = Count | Literal["auto"]  # auto: as many sequences as fit in device memory
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
NAME_PATTERN = r"^[a-z0-9]+(_[a-z0-9]+)*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


# Marks an option that changes speed or safety but not results: changing it reruns nothing.
SPEED_ONLY: dict[str, Any] = {"changes_results": False}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)


def speed_options(section: BaseModel) -> set[str]:
    """Names of the fields that do not change results."""
    return set(speed_options_of(type(section)))


@cache
def speed_options_of(kind: type[BaseModel]) -> frozenset[str]:
    """`speed_options` of a section's class."""
    return frozenset(name for name, field in kind.model_fields.items() if field.json_schema_extra == SPEED_ONLY)
