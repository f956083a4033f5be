"""Declaration of stepwise internalization: its configuration sections and requirements."""

from retrace.systems.icot_si.options import StepwiseData, StepwiseTraining
from retrace.systems.registry import System
from retrace.systems.requirements import behind_separators

SYSTEM = System(
    name="icot_si",
    sections={"icot_si_data": StepwiseData, "icot_si": StepwiseTraining},
    requirements=behind_separators("icot_si", "stepwise internalization"),
)
