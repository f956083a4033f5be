"""Cost formulas of all systems: each system's module `cost` registers its own (retrace.planning.work)."""

from importlib import import_module
from pkgutil import iter_modules

from retrace import systems


def register_formulas() -> None:
    """Register the formulas of all systems; those of shared steps are in retrace.planning.work."""
    for found in iter_modules(systems.__path__):
        if found.ispkg:
            import_module(f"retrace.systems.{found.name}.cost")
