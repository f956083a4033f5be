"""Implicit chain of thought, declared: what it brings to the configuration, to the targets and to what fits together."""

from retrace.systems.icot.options import (
    ControlTraining,
    CoupledTraining,
    EmulatorTraining,
    ExplicitCotTraining,
    Figures,
    ImplicitData,
    NoCotTraining,
    Speed,
    StudentTraining,
    TeacherStates,
    UndistilledTraining,
)
from retrace.systems.registry import System
from retrace.systems.requirements import behind_separators

SYSTEM = System(
    name="icot",
    sections={
        "icot_data": ImplicitData,
        "no_cot": NoCotTraining,
        "explicit_cot": ExplicitCotTraining,
        "icot_states": TeacherStates,
        "icot_student": StudentTraining,
        "icot_emulator": EmulatorTraining,
        "icot": CoupledTraining,
        "icot_undistilled": UndistilledTraining,
        "no_cot_deep": ControlTraining,
        "no_cot_from_teacher": ControlTraining,
        "icot_speed": Speed,
        "figures": Figures,
    },
    figures={"icot_accuracy_vs_speed": (".svg",)},
    files={"icot_speed.json": ["icot"]},
    requirements=behind_separators("icot", "implicit chain of thought"),
)
