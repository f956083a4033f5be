"""Seeds of each system, or one list for all systems."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, create_model

from retrace.sections import Section
from retrace.systems.registry import all_systems

LARGEST_SEED = 2**32 - 1  # numpy's maximum


def _all_different(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("each seed counts once; leave out the repeated ones")
    return seeds


SeedList = Annotated[
    list[Annotated[int, Field(ge=0, le=LARGEST_SEED)]], Field(min_length=1), AfterValidator(_all_different)
]


class _SeedsOfSystems(Section):
    """Seeds of each system: everything runs once per seed. A list in place of this section applies to all systems."""

    default: SeedList = Field(default=[0], description="of every system that is not named")

    def of(self, system: str) -> list[int]:
        """The seeds of the methods of a system."""
        own = getattr(self, system)
        return self.default if own is None else own


SeedsOfSystems = create_model(
    "SeedsOfSystems",
    __base__=_SeedsOfSystems,
    __doc__=_SeedsOfSystems.__doc__,
    **dict.fromkeys(all_systems(), (SeedList | None, None)),
)


def written_out(seeds: Any) -> Any:
    """Expand a list of seeds to all systems, overriding earlier layers."""
    if isinstance(seeds, list):
        return {name: seeds if name == "default" else None for name in SeedsOfSystems.model_fields}
    if isinstance(seeds, Mapping | _SeedsOfSystems):
        return seeds
    raise ValueError("give a list, [0, 1, 2], or a list for each system, {default: [0], grace: [0, 1, 2]}")


Seeds = Annotated[SeedsOfSystems, BeforeValidator(written_out, json_schema_input_type=list[int] | SeedsOfSystems)]
