"""Declaration of LaTRO: its configuration sections and targets."""

from retrace.systems.latro.options import LatroTraining
from retrace.systems.registry import System, Table
from retrace.training.options import SftTraining

SYSTEM = System(
    name="latro",
    sections={"latro": LatroTraining, "latro_sft": SftTraining},
    tables={
        "latro_table2": Table(
            ["base", "base_maj", "latro_sft", "latro_sft_maj", "latro", "latro_maj"],
            {model: ["gsm8k", "arc_challenge"] for model in ("phi35_mini", "mistral_7b", "llama31_8b")},
        ),
    },
    figures={"latro_TASK_MODEL": (".svg",)},
)
