"""The families of tasks, one module each, named as a task's YAML names it.

A module holds a class with that name, derived from retrace.tasks.family.Family, and is found here by its file: a new
family is one file in this folder. A family's row formats and generators are found through it.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from retrace.discovery import modules_in
from retrace.errors import UserError
from retrace.tasks.row_formats import COMMON, RowFormat
from retrace.yaml_files import closest

if TYPE_CHECKING:
    from retrace.tasks.family import Family, Generator
    from retrace.tasks.options import Source, TaskConfig


@cache
def family_names() -> tuple[str, ...]:
    """The names of all families."""
    return tuple(modules_in(__name__))


@cache
def family_named(name: str) -> type["Family"]:
    """The family's class. Raises UserError for an unknown name, with the nearest one."""
    if name not in (names := family_names()):
        raise UserError(f"family {name!r} is unknown; {closest(name, names)}")
    module = import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and vars(value).get("name") == name:
            return value
    raise UserError(f"{module.__file__}: holds no class with name = {name!r}")


@cache
def _row_formats() -> dict[str, RowFormat]:
    """All formats of raw rows, by name: the common ones, and those that families bring."""
    brought = (row_format for name in family_names() for row_format in family_named(name).formats)
    return {row_format.name: row_format for row_format in (*COMMON, *brought)}


def row_format_names() -> list[str]:
    """The names of all formats of raw rows."""
    return sorted(_row_formats())


def row_format(name: str) -> RowFormat:
    """The format of raw rows with this name, which the types of a task's YAML have checked."""
    return _row_formats()[name]


def format_of(config: "TaskConfig", source: "Source") -> RowFormat:
    """The format of a source's rows: its own, or else the task's."""
    return row_format(source.format or config.format)


def generators() -> dict[str, "Generator"]:
    """All generators of questions, by name."""
    return {made.name: made for name in family_names() for made in family_named(name).generators}
