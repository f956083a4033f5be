"""The rooms of the package: imports go down only, and no file is reached from itself.

What a room above brings to one below (formulas of cost, text forms, graders) is registered there, and found by its name
(retrace.discovery): the room below knows none of those who bring it.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "scripts" / "retrace"
# From top to bottom; rooms of one line may import each other, systems may not.
FLOORS = [
    ("workflow",),
    ("systems",),
    ("decoding", "training"),
    ("reporting",),
    ("evaluation",),
    ("planning",),
    ("prompting",),
    ("tasks",),
    ("models",),
    ("cli",),
    ("machine",),
    ("text",),
    ("discovery", "yaml_files", "schemas", "sections", "errors"),
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name below `retrace`; the package itself is left out."""
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in names.items() if name != "__init__"}


MODULES = modules()


def imported(name: str, typing: bool = True) -> Iterator[str]:
    """The modules of the package that a module imports, inside functions, too; typing: those for annotations as well."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    unread = () if typing else [part for node in ast.walk(tree) if _for_typing(node) for part in ast.walk(node)]
    for node in ast.walk(tree):
        if node in unread:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "retrace":
            inside = node.module.removeprefix("retrace").removeprefix(".")
            for alias in node.names:
                whole = f"{inside}.{alias.name}".removeprefix(".")
                found = whole if whole in MODULES else inside
                if found:
                    yield found


def _for_typing(node: ast.AST) -> bool:
    """Whether this is an `if TYPE_CHECKING:`, whose imports are never carried out."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def system_of(name: str) -> str | None:
    """The folder of a system that a module lies in."""
    parts = name.split(".")
    return parts[1] if parts[0] == "systems" and (PACKAGE / "systems" / "/".join(parts[1:2])).is_dir() else None


def test_every_module_lies_in_a_room() -> None:
    assert {name.split(".")[0] for name in MODULES} == set(FLOOR)


def test_imports_go_down() -> None:
    upwards = [
        f"{name} -> {other}"
        for name in MODULES
        for other in imported(name)
        if FLOOR[other.split(".")[0]] < FLOOR[name.split(".")[0]]
    ]
    assert upwards == []


def test_no_system_knows_another() -> None:
    known = [
        f"{name} -> {other}"
        for name in MODULES
        for other in imported(name)
        if system_of(name) and system_of(other) not in (None, system_of(name))
    ]
    assert known == []


def test_there_is_no_circle() -> None:
    """Not even by imports inside functions; what annotations alone need is left out."""
    graph = {name: {other for other in imported(name, typing=False) if other != name} for name in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle: {' -> '.join(error.args[1])}") from None
