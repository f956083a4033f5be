"""Declaration of LaTRO: its configuration sections and targets."""

from retrace.systems.latro.options import LatroTraining
from retrace.systems.registry import System
from retrace.training.options import SftTraining

SYSTEM = System(
    name="latro",
    sections={"latro": LatroTraining, "latro_sft": SftTraining},
    figures={"latro_TASK_MODEL": (".svg",)},
)
