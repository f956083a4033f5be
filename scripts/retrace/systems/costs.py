"""The formulas of cost of every system: each has a module `cost`, which registers them (retrace.planning.registry)."""

from importlib import import_module
from pkgutil import iter_modules

from retrace import systems
from retrace.planning import formulas


def register_formulas() -> None:
    """Make the formulas of the shared steps and of all systems known."""
    assert formulas  # the shared ones register with the import
    for found in iter_modules(systems.__path__):
        if found.ispkg:
            import_module(f"retrace.systems.{found.name}.cost")
