"""Declaration of DPO-ST: its configuration sections, targets and requirements."""

from retrace.systems.dpo_st.options import CalculatorSpeedOptions, DpoSt
from retrace.systems.registry import System
from retrace.systems.requirements import Requirement
from retrace.tasks.forms import form_named

SYSTEM = System(
    name="dpo_st",
    sections={"dpo_st": DpoSt, "dpo_st_speed": CalculatorSpeedOptions},
    figures={"dpo_st_rounds": (".json", ".svg")},
    files={"dpo_st_pass_at_k.json": ["dpo_st"], "dpo_st_speed.json": ["sft"]},
    requirements=(
        Requirement(
            "plain text (DPO-ST)",
            about=lambda c: c.system == "dpo_st" and c.form == "steps",
            met=lambda c: not c.model.chat,
            why=lambda c: (
                "dpo_st.form steps is plain text, but the model has a chat template (`dpo_st.form: dpo_st` has its own "
                "prompt)"
            ),
            mend="model",
        ),
        Requirement(
            "word problems",
            about=lambda c: c.form == "dpo_st",
            met=lambda c: {c.task.family, c.answered.family} <= set(form_named("dpo_st").families()),
            why=lambda c: (
                "DPO-ST's text form (dpo_st.form) is for word problems, but "
                f"{c.task.name} is of family {c.task.family}"
                + (f", {c.answered.name} of family {c.answered.family}" if c.target else "")
                + "; `dpo_st.form: steps` takes any task"
            ),
            mend="task",
        ),
        Requirement(
            "held-back references",
            about=lambda c: c.kind.name == "sft_extra",
            met=lambda c: c.values.dpo_st.labelled >= 0,
            why=lambda c: (
                "this control trains on references that were held back, but dpo_st.labelled is -1, so all are used; set "
                "it to a number"
            ),
            mend=None,
        ),
    ),
)
