"""Decoders by name: an algorithm with the section of the configuration that holds its options (config/decoders).

A decoder may extend another one: it is then decoded as that one is, with what it sets itself.
"""

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from retrace.decoding.algorithms import Algorithm
from retrace.errors import UserError
from retrace.sections import Name, Section
from retrace.systems.algorithms import algorithms
from retrace.workflow.configuration import Configuration
from retrace.yaml_files import closest, read_named

SHIPPED = Path(__file__).resolve().parents[3] / "config" / "decoders"
WITHOUT_CALCULATOR = "_no_calculator"  # behind a decoder's name: the same with its calculator switched off


class DecoderConfig(Section):
    """A decoder: config/decoders/NAME.yaml."""

    name: Name
    title: str
    about: str = ""
    algorithm: Name | None = Field(
        default=None, description="of `decode.py --help`; none: that of the decoder it extends"
    )
    section: str | None = Field(
        default=None,
        description="the configuration's section with its options, for instance dpo_st.samples; none: that of the decoder "
        "it extends, or else the one called as the algorithm",
    )
    guide: Literal["discriminator", "verifier"] | None = Field(
        default=None, description="a network trained beside the checkpoint that chooses among steps, or among samples"
    )
    never_calculates: str | None = Field(
        default=None, description=f"why it has no calculator to switch off, and no NAME{WITHOUT_CALCULATOR} beside it"
    )
    extends: Name | None = Field(default=None, description="another decoder; what is not said here is as there")
    set: dict[str, float | int | str | bool | list | None] = Field(
        default={},
        description="dotted names of options and their values for this decoder, for instance grace.candidates",
    )

    def options_in(self, values: Configuration) -> Any:
        """The options of a resolved decoder: its section of a configuration."""
        found: Any = values
        for part in str(self.section).split("."):
            found = getattr(found, part)
        return found


class Decoders(Mapping[str, DecoderConfig]):
    """The decoders of some folders by name, each with what it takes from those that it extends."""

    def __init__(self, *folders: Path) -> None:
        """Raises UserError for a name that two folders have."""
        self.files: dict[str, Path] = {}
        for path in sorted((path for folder in folders for path in folder.glob("*.yaml")), key=lambda path: path.stem):
            if path.stem in self.files:
                raise UserError(f"{path}: {self.files[path.stem]} has that name, too; give it another one")
            self.files[path.stem] = path
        self._resolved: dict[str, DecoderConfig] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, name: object) -> bool:
        return name in self.files

    def __getitem__(self, name: str) -> DecoderConfig:
        """As `resolved`, with the KeyError of a mapping."""
        if name not in self.files:
            raise KeyError(name)
        return self.resolved(name)

    def resolved(self, name: str) -> DecoderConfig:
        """A decoder with algorithm and section; what it does not say is taken from the one that it extends, and `set`
        holds what all of them set, its own over that.

        Raises UserError naming file, value and mend: an unknown decoder, algorithm or section, a circle of `extends`.
        """
        if name not in self.files:
            raise UserError(f"decoder {name!r} is unknown; {closest(name, self.files)}")
        if name not in self._resolved:
            self._resolved[name] = self._checked(self._joined(name, ()))
        return self._resolved[name]

    def lineage(self, name: str) -> list[str]:
        """A decoder, the one that it extends, and so on."""
        return [name, *(self.lineage(parent) if (parent := self.resolved(name).extends) else [])]

    def algorithm(self, name: str) -> Algorithm:
        """The algorithm of a decoder."""
        return algorithms()[str(self.resolved(name).algorithm)]

    @cached_property
    def in_steps(self) -> tuple[str, ...]:
        """The decoders that write step by step, guided or not."""
        return tuple(name for name in self if self.algorithm(name).in_steps)

    @cached_property
    def with_demonstrations(self) -> tuple[str, ...]:
        """The decoders whose options put worked examples into the prompt."""
        return tuple(name for name in self if "demonstrations" in self.algorithm(name).options.model_fields)

    @cached_property
    def never_calculate(self) -> dict[str, str]:
        """The decoders without a calculator to switch off, and why."""
        return {name: why for name in self if (why := self[name].never_calculates) is not None}

    def _joined(self, name: str, seen: tuple[str, ...]) -> DecoderConfig:
        """The decoder with what it takes over. seen: the decoders that led to it."""
        path = self.files[name]
        own = read_named(DecoderConfig, path)
        if own.extends is None:
            return own
        if own.extends not in self.files:
            raise UserError(f"{path}: extends: decoder {own.extends!r} is unknown; {closest(own.extends, self.files)}")
        if own.extends in (*seen, name):
            circle = " -> ".join((*seen, name, own.extends))
            raise UserError(
                f"{path}: extends: decoders extend each other in a circle: {circle}; leave one `extends` out"
            )
        above = self._joined(own.extends, (*seen, name))
        said = {field: getattr(own, field) for field in own.model_fields_set}
        # Another algorithm does not have its parent's section.
        taken = {"section": None} if said.get("algorithm", above.algorithm) != above.algorithm else {}
        return above.model_copy(update={"about": "", **taken, **said, "set": {**above.set, **own.set}})

    def _checked(self, decoder: DecoderConfig) -> DecoderConfig:
        """The decoder with its section written out. Raises UserError for an algorithm or section that does not fit."""
        path, known = self.files[decoder.name], algorithms()
        if decoder.algorithm is None:
            raise UserError(f"{path}: algorithm is missing; {closest('', known)}; or let it extend another decoder")
        if decoder.algorithm not in known:
            raise UserError(f"{path}: algorithm {decoder.algorithm!r} is unknown; {closest(decoder.algorithm, known)}")
        algorithm = known[decoder.algorithm]
        fitting = sections_for(algorithm)
        section = decoder.section or (decoder.algorithm if decoder.algorithm in fitting else None)
        if section is None or section not in fitting:
            named = f"section {section!r} holds no options of" if section else "section is missing, with the options of"
            raise UserError(f"{path}: {named} {decoder.algorithm}; {closest(section or '', fitting)}")
        return decoder.model_copy(update={"section": section})


@cache
def sections_for(algorithm: Algorithm) -> dict[str, type[BaseModel]]:
    """The configuration's sections whose options are those of an algorithm, by dotted name (`dpo_st.samples`)."""
    options = set(algorithm.options.model_fields)

    def within(owner: type[BaseModel], prefix: str) -> dict[str, type[BaseModel]]:
        found: dict[str, type[BaseModel]] = {}
        for name, field in owner.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= (
                    {prefix + name: kind} if set(kind.model_fields) == options else within(kind, f"{prefix}{name}.")
                )
        return found

    return within(Configuration, "")


@cache
def shipped() -> Decoders:
    """The decoders of this checkout."""
    return Decoders(SHIPPED)
