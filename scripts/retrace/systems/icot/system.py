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
)
from retrace.systems.registry import System
from retrace.systems.requirements import Case, Requirement


def separated(case: Case) -> bool:
    """Whether the checkpoint writes texts with separators, and is decoded as itself."""
    return case.system == "icot" and case.kind.decoder is None


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
        "no_cot_deep": ControlTraining,
        "no_cot_from_teacher": ControlTraining,
        "icot_speed": Speed,
        "figures": Figures,
    },
    figures={"icot_accuracy_vs_speed": (".svg",)},
    files={"icot_speed.json": ["icot"]},
    requirements=(
        Requirement(
            "steps of implicit chain of thought",
            about=separated,
            met=lambda c: not c.algorithm.in_steps and (c.algorithm.several_ends or not c.kind.steps),
            why=lambda c: (
                f"{c.checkpoint} writes an end token between steps and answer"
                if c.kind.steps
                else f"{c.checkpoint} writes texts with separators, and not in steps"
            ),
            mend="method",
        ),
        Requirement(
            "worked examples behind separators",
            about=lambda c: separated(c) and c.sets_demonstrations,
            met=lambda c: False,
            why=lambda c: f"{c.checkpoint} was trained on texts without worked examples",
            mend="method",
        ),
    ),
)
