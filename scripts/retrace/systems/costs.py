"""The formulas of cost of every system: each has a module `cost`, which registers them (retrace.planning.work)."""

from importlib import import_module
from pkgutil import iter_modules

from retrace import systems


def register_formulas() -> None:
    """Make the formulas of all systems known; those of the shared steps are in retrace.planning.work."""
    for found in iter_modules(systems.__path__):
        if found.ispkg:
            import_module(f"retrace.systems.{found.name}.cost")
