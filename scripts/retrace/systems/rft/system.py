"""Declaration of rejection-sampling fine-tuning: its configuration sections and requirements."""

from retrace.systems.registry import System
from retrace.systems.requirements import Requirement
from retrace.systems.rft.options import Rft

SYSTEM = System(
    name="rft",
    sections={"rft": Rft},
    requirements=(
        Requirement(
            "plain text (rejection sampling)",
            about=lambda c: c.system == "rft",
            met=lambda c: not c.model.chat,
            why=lambda c: (
                "sampled solutions are learned as plain text, and the model has a chat template (a model file with "
                "`chat: false` does)"
            ),
            mend="model",
        ),
    ),
)
