"""YAML files of the configuration, read into their typed sections; every fault names file, line, key and mend."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from retrace.config import MethodConfig, ModelConfig, Section
from retrace.errors import UserError

SectionType = TypeVar("SectionType", bound=Section)

# The C loader reads the same safe subset, ten times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UserError naming file, line and fault."""
    try:
        value = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_LOADER)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: should hold `key: value` lines, holds {type(value).__name__}")
    return value


def closest(name: str, valid: Iterable[str]) -> str:
    """The end of an error message: the valid names, and the likeliest one that was meant."""
    names = sorted(valid)
    guess = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {guess[0]!r}? " if guess else "") + "valid: " + ", ".join(names)


def validated(section: type[SectionType], values: Mapping[str, Any], where: str) -> SectionType:
    """`values` as a section. Raises UserError naming `where`, the key, the valid keys or the limits."""
    try:
        return section.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            owner: Any = section
            for part in fault["loc"][:-1]:
                field = getattr(owner, "model_fields", {}).get(part)
                owner = field.annotation if field else None
                # Of `Section | None` the section.
                owner = next((part for part in get_args(owner) if hasattr(part, "model_fields")), owner)
            valid = getattr(owner, "model_fields", {})
            raise UserError(f"{where}: unknown key {place!r}; {closest(str(fault['loc'][-1]), valid)}") from None
        raise UserError(f"{where}: {place}: {fault['msg']} (got {fault.get('input')!r})") from None


def read_named(section: type[SectionType], path: str | Path) -> SectionType:
    """A section whose `name` must be its file's name, since targets are built from it."""
    path = Path(path)
    value = validated(section, read_yaml(path), str(path))
    if value.name != path.stem:  # type: ignore[attr-defined]
        raise UserError(f"{path}: its name is {value.name!r}; make it {path.stem!r}")  # type: ignore[attr-defined]
    return value


def load_model_config(path: str | Path) -> ModelConfig:
    """A model's YAML; exactly one of hub, file and scratch says where it comes from."""
    model = read_named(ModelConfig, path)
    if sum(value is not None for value in (model.hub, model.file, model.scratch)) != 1:
        raise UserError(f"{path}: give exactly one of `hub`, `file` and `scratch`")
    return model


def load_method_config(path: str | Path) -> MethodConfig:
    """A method's YAML: a named checkpoint and decoder pair."""
    return read_named(MethodConfig, path)
