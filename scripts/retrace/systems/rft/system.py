"""Declaration of rejection-sampling fine-tuning: its configuration sections and requirements."""

from retrace.systems.registry import System
from retrace.systems.requirements import plain_text
from retrace.systems.rft.options import Rft

SYSTEM = System(
    name="rft",
    sections={"rft": Rft},
    requirements=(plain_text("rft", "rejection sampling", "sampled solutions"),),
)
