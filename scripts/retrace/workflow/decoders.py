"""Decoders by name: an algorithm with the section of the configuration that holds its options (config/decoders).

A decoder may extend another one and override its options.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from retrace.decoding.algorithms import Algorithm
from retrace.errors import UserError
from retrace.sections import Name
from retrace.systems.algorithms import algorithms
from retrace.systems.declaration import Variant
from retrace.workflow.configuration import Configuration
from retrace.workflow.library import Library
from retrace.workflow.names import FOLDERS_OF_CHECKPOINTS, WITHOUT_CALCULATOR, check_comparable
from retrace.yaml_files import closest


class DecoderConfig(Variant):
    """A decoder: config/decoders/NAME.yaml."""

    algorithm: str = Field(default="", description="of `decode.py --help`; inherited from `extends`")
    section: str = Field(
        default="",
        description="the configuration's section with its options, for instance dpo_st.samples; default: the one called as "
        "the algorithm",
    )
    guide: Name | None = Field(
        default=None, description="a network trained beside the checkpoint that chooses among steps, or among samples"
    )
    reranks: Name | None = Field(
        default=None, description="the decoder among whose samples the guide chooses; nothing is decoded then"
    )
    never_calculates: str | None = Field(
        default=None, description="why it has no calculator to switch off, and no NAME_no_calculator beside it"
    )


class Decoders(Library[DecoderConfig]):
    """Decoders by name, with inherited values resolved."""

    def __init__(self, folders: Sequence[Path]) -> None:
        super().__init__(DecoderConfig, "decoder", folders)
        self.check(self._complete)

    def _complete(self, name: str) -> None:
        self._check_name(name, self.path(name))
        self._check(self[name])

    def add(self, value: DecoderConfig, path: Path) -> None:
        """See Library. UserError also for a name that no decoder can have."""
        self._check_name(value.name, path)
        super().add(value, path)

    @staticmethod
    def _check_name(name: str, path: Path) -> None:
        """Raise UserError for a name that a target or a folder would read as something else."""
        check_comparable(name, path)
        if name.endswith(WITHOUT_CALCULATOR):
            raise UserError(
                f"{path}: names that end in {WITHOUT_CALCULATOR} are those of decoders without it; rename it"
            )
        if name in FOLDERS_OF_CHECKPOINTS:
            raise UserError(f"{path}: {name} is a folder of every checkpoint; rename it")

    def names(self) -> list[str]:
        """Names of decoders, including those without calculator."""
        return [*self, *(name + WITHOUT_CALCULATOR for name in self if not self[name].never_calculates)]

    def algorithm(self, name: str) -> Algorithm:
        """The algorithm of a decoder."""
        return algorithms()[self[name].algorithm]

    def _inherited(self, own: Mapping[str, Any], parents: dict[str, Any]) -> dict[str, Any]:
        """The parent's section is not inherited if the algorithm differs."""
        changed = own.get("algorithm", parents.get("algorithm")) != parents.get("algorithm")
        return {name: value for name, value in parents.items() if name != "section"} if changed else parents

    def _check(self, decoder: DecoderConfig) -> None:
        """Fill in the section. Raises UserError for an algorithm, section or decoder that is unknown or does not fit."""
        path, known = self.path(decoder.name), algorithms()
        if not decoder.algorithm:
            raise UserError(f"{path}: algorithm is missing; {closest('', known)}; or let it extend another decoder")
        if decoder.algorithm not in known:
            raise UserError(f"{path}: algorithm {decoder.algorithm!r} is unknown; {closest(decoder.algorithm, known)}")
        fitting = sections_for(known[decoder.algorithm])
        section = decoder.section or (decoder.algorithm if decoder.algorithm in fitting else "")
        if section not in fitting:
            named = f"section {section!r} holds no options of" if section else "section is missing, with the options of"
            raise UserError(f"{path}: {named} {decoder.algorithm}; {closest(section, fitting)}")
        if decoder.reranks in self.faults:
            raise UserError(f"{path}: reranks: {self.faults[decoder.reranks].message}")
        if decoder.reranks and (decoder.reranks not in self or not decoder.guide):
            raise UserError(
                f"{path}: reranks: needs another decoder and a `guide` that chooses; {closest(decoder.reranks, self)}"
            )
        self.replace(decoder.model_copy(update={"section": section}))


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
