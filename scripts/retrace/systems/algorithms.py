"""All decoding algorithms: those in `retrace.decoding` and those of the systems.

Modules that register algorithms are found by a line starting with `register_algorithm(`. Importing all modules to look
for them would add seconds of importing torch to every plan.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

from retrace import decoding, systems
from retrace.decoding.algorithms import REGISTERED, Algorithm
from retrace.sections import Section

_REGISTERS = re.compile(rb"^register_algorithm\(", re.MULTILINE)


@cache
def algorithms() -> Mapping[str, Algorithm]:
    """All algorithms by name."""
    for module in _registering():
        import_module(module)
    return REGISTERED


def option_sections() -> dict[str, type[Section]]:
    """Configuration sections of decoding algorithms, with their classes."""
    found: dict[str, type[Section]] = {}
    for algorithm in algorithms().values():
        found |= algorithm.option_sections
    return found


def _registering() -> Iterator[str]:
    """Names of modules that register algorithms, shared ones first."""
    (shared,), (own,) = decoding.__path__, systems.__path__
    for path in [*sorted(Path(shared).glob("*.py")), *sorted(Path(own).glob("*/*.py"))]:
        if _REGISTERS.search(path.read_bytes()):
            parts = path.relative_to(Path(own).parent).with_suffix("").parts
            yield ".".join(("retrace", *parts))
