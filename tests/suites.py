"""What the everyday tests try, and what is left to the full suite with its slow tests."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

EXAMPLES = {"everyday": 25, "full": 150}


def first_daily(values: Iterable[Any], count: int = 1) -> list[Any]:
    """Values of a parameter (tuples: of several) of a costly test: the first are tried every day, the others are slow."""
    found = list(values)
    return found[:count] + [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
        for value in found[count:]
    ]


def slow_tests_run(config: pytest.Config) -> bool:
    """Whether this session is the full suite."""
    return "not slow" not in config.option.markexpr


def choose_examples(config: pytest.Config) -> None:
    """How many examples each property is tried on; none has a time to keep to, as other work runs beside it."""
    for name, examples in EXAMPLES.items():
        settings.register_profile(name, max_examples=examples, deadline=None)
    settings.load_profile("full" if slow_tests_run(config) else "everyday")
