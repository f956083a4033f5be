"""Declaration of rejection-sampling fine-tuning: its configuration sections."""

from retrace.systems.registry import System
from retrace.systems.rft.options import Rft

SYSTEM = System(
    name="rft",
    title="Rejection-sampling fine-tuning",
    paper="arXiv 2308.01825",
    sections={"rft": Rft},
)
