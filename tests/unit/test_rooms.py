"""The rooms of the package: imports go down only, and no file is reached from itself."""

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


def imported(name: str, anywhere: bool) -> Iterator[str]:
    """The modules of the package that a module imports; anywhere: inside functions, too."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "retrace":
            inside = node.module.removeprefix("retrace").removeprefix(".")
            for alias in node.names:
                whole = f"{inside}.{alias.name}".removeprefix(".")
                found = whole if whole in MODULES else inside
                if found:
                    yield found


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
        for other in imported(name, anywhere=True)
        if FLOOR[other.split(".")[0]] < FLOOR[name.split(".")[0]]
    ]
    assert upwards == []


def test_no_system_knows_another() -> None:
    known = [
        f"{name} -> {other}"
        for name in MODULES
        for other in imported(name, anywhere=True)
        if system_of(name) and system_of(other) not in (None, system_of(name))
    ]
    assert known == []


def test_there_is_no_circle() -> None:
    """Of the imports that are carried out with the module."""
    graph = {name: {other for other in imported(name, anywhere=False) if other != name} for name in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle: {' -> '.join(error.args[1])}") from None
