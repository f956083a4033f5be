"""Implicit decoding: the answer alone, from emulator and student (arXiv 2311.01460)."""

from typing import TYPE_CHECKING

from retrace.decoding.algorithms import Algorithm, register_algorithm
from retrace.decoding.plain import most_probable
from retrace.systems.icot.options import Implicit

if TYPE_CHECKING:
    from retrace.decoding.setup import Generator


def open_emulated(options: Implicit, model: str, model_file: str, task_file: str, form: str | None) -> "Generator":
    """Load emulator and student for decoding."""
    from retrace.systems.icot.decoding import open_coupled

    return open_coupled(model, model_file, task_file, exact=options.exact)


register_algorithm(
    Algorithm("implicit", Implicit, sample=most_probable, open=open_emulated, has_forms=False, only_for="icot")
)
