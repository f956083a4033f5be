"""Registry of systems: each folder here with a module `system` declares one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from retrace import systems
from retrace.sections import Section
from retrace.systems.requirements import Requirement


@dataclass(frozen=True)
class System:
    """Declaration of a system; its checkpoints are in config/checkpoints.

    Attributes:
        name: The name of the package.
        sections: Configuration sections and their classes.
        figures: Figures in results/figures and their file formats; TASK and MODEL stand for names of tasks and models.
        files: Other files of a task and model, and the methods that they depend on.
        requirements: Requirements of its methods, in addition to those in the checkpoints' files.
    """

    name: str
    sections: Mapping[str, type[Section]] = field(default_factory=dict)
    figures: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    requirements: Sequence[Requirement] = ()


@cache
def all_systems() -> dict[str, System]:
    """All systems by name."""
    found = {}
    for module in iter_modules(systems.__path__):
        if module.ispkg and Path(systems.__path__[0], module.name, "system.py").is_file():
            system = import_module(f"retrace.systems.{module.name}.system").SYSTEM
            assert system.name == module.name, f"systems/{module.name}/system.py declares {system.name}"
            found[system.name] = system
    return found


def figures() -> dict[str, Sequence[str]]:
    """Figures of all systems, with their file formats."""
    return {name: forms for system in all_systems().values() for name, forms in system.figures.items()}


def files_of_a_model() -> dict[str, Sequence[str]]:
    """Other files of a task and model, with the methods that they depend on."""
    return {name: methods for system in all_systems().values() for name, methods in system.files.items()}
