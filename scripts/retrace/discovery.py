"""Discovery by name: modules of a package, and options whose values are such names.

A family of tasks, or a system's text form, is one module in its folder; whoever adds it writes its name nowhere else.
"""

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from retrace.yaml_files import closest


def modules_in(package: str) -> list[str]:
    """Sorted names of the modules in a package, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(import_module(package).__path__))


def import_each(package: str, module: str) -> list[ModuleType]:
    """`module` of every package inside `package` that has one, imported (`retrace.systems.latro.graders`)."""
    folders = sorted(found.name for found in pkgutil.iter_modules(import_module(package).__path__) if found.ispkg)
    return [
        import_module(f"{package}.{folder}.{module}")
        for folder in folders
        if module in modules_in(f"{package}.{folder}")
    ]


class OneOf:
    """Of a text in a section: it is one of these names, which are asked for when a value is read or a schema written.

    Use as `Annotated[str, OneOf(family_names)]`; a name that is unknown is refused with the nearest one.
    """

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self.names = names

    def check(self, value: str) -> str:
        """The value. Raises ValueError for an unknown one, with the valid names."""
        names = list(self.names())
        if value not in names:
            raise ValueError(closest(value, names))
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.names())}
