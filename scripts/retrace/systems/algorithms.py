"""All decoding algorithms: those of `retrace.decoding` and those that the systems bring.

A module registers algorithms where `register_algorithm(` begins one of its lines. It is found by this text, because
importing its neighbors to look would import torch, for seconds, into every plan.
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
    """Every algorithm by its name."""
    for module in _registering():
        import_module(module)
    return REGISTERED


def option_sections() -> dict[str, type[Section]]:
    """The configuration's sections with options of decoding algorithms, and their classes."""
    found: dict[str, type[Section]] = {}
    for algorithm in algorithms().values():
        found |= algorithm.option_sections
    return found


def _registering() -> Iterator[str]:
    """The names of the modules that register algorithms, the shared ones first."""
    (shared,), (own,) = decoding.__path__, systems.__path__
    for path in [*sorted(Path(shared).glob("*.py")), *sorted(Path(own).glob("*/*.py"))]:
        if _REGISTERS.search(path.read_bytes()):
            parts = path.relative_to(Path(own).parent).with_suffix("").parts
            yield ".".join(("retrace", *parts))
