"""Read YAML configuration files into typed sections; errors name file, line, key and fix."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import ValidationError

from retrace.errors import UserError
from retrace.sections import Section

SectionType = TypeVar("SectionType", bound=Section)

# The C version of SafeLoader is ten times as fast and just as safe; yaml.safe_load uses the slow one.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file with a mapping. Raises UserError naming file, line and problem."""
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
    """End of an error message: the valid names, and the closest match."""
    names = sorted(valid)
    guess = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {guess[0]!r}? " if guess else "") + "valid: " + ", ".join(names)


def validated(section: type[SectionType], values: Mapping[str, Any], where: str) -> SectionType:
    """Validate `values` as a section. Raises UserError naming `where`, the key, and valid keys or limits."""
    try:
        return section.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        names, owner = _place(section, fault["loc"])
        place = ".".join(names)
        if fault["type"] == "extra_forbidden":
            valid = getattr(owner, "model_fields", {})
            raise UserError(f"{where}: unknown key {place!r}; {closest(names[-1], valid)}") from None
        said = ": ".join(part for part in (where, place, fault["msg"].removeprefix("Value error, ")) if part)
        # Of a fault between several keys the input is all of the section.
        got = "" if isinstance(fault.get("input"), Mapping) else f" (got {fault.get('input')!r})"
        raise UserError(said + got) from None


def _place(section: type[Section], location: Iterable[str | int]) -> tuple[list[str], Any]:
    """The keys and positions that lead to a fault, and the type of what holds the last of them."""
    names: list[str] = []
    kind: Any = section
    owner = kind
    for part in location:
        fields = getattr(kind, "model_fields", None)
        if fields is None and get_origin(kind) not in (list, dict):
            continue  # pydantic names the members of a union, too
        names.append(str(part))
        owner = kind
        kind = get_args(kind)[-1] if fields is None else getattr(fields.get(part), "annotation", None)
        # Of `Section | None` the section.
        members = [member for member in get_args(kind) if member is not type(None)]
        if isinstance(kind, UnionType) and len(members) == 1:
            kind = members[0]
    return names, owner


def read_named(section: type[SectionType], path: str | Path) -> SectionType:
    """Read a section whose `name` must equal its file's name, since targets are built from it."""
    path = Path(path)
    value = validated(section, read_yaml(path), str(path))
    if value.name != path.stem:  # type: ignore[attr-defined]
        raise UserError(f"{path}: its name is {value.name!r}; make it {path.stem!r}")  # type: ignore[attr-defined]
    return value
