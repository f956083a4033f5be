"""Declaration of GRACE: its configuration sections, targets and requirements."""

from typing import Any

from retrace.systems.grace.options import Aligning, DiscriminatorTraining, Pairing, Sampling, Sweep, VerifierTraining
from retrace.systems.registry import System
from retrace.systems.requirements import Case, Requirement, option
from retrace.tasks.families import family_named
from retrace.training.options import SftTraining


def section_of(case: Case) -> str:
    """Section with the training options of the network that guides or ranks, which is its last one."""
    return case.guide.sections[-1] if case.guide else ""


def judge_of(case: Case) -> Any:
    """Training options of the network that guides or ranks."""
    return option(case.values_of_guide, section_of(case))


# What GRACE is shown beside, itself included, and what it is compared with question by question.
BASELINES = ["greedy", "beam", "self_consistency", "verifier", "stepwise", "grace", "grace_self_consistency"]
COMPARED = ["greedy", "self_consistency", "stepwise"]


SYSTEM = System(
    name="grace",
    sections={
        "sft": SftTraining,
        "sample": Sampling,
        "align": Aligning,
        "pair": Pairing,
        "discriminator": DiscriminatorTraining,
        "verifier": VerifierTraining,
        "sweep": Sweep,
    },
    files={
        "grace_beta_sweep.json": ["grace"],
        "grace_beta_sweep.svg": ["grace"],
        "grace_comparison.txt": BASELINES,
    },
    requirements=(
        Requirement(
            "judged steps",
            about=lambda c: c.trains_guide and "pair" in c.guide.sections,
            met=lambda c: family_named(c.task.family).judges_steps,
            why=lambda c: (
                "a discriminator learns from correct and wrong steps, but steps of family "
                f"{c.task.family} ({c.task.name}) cannot be judged"
            ),
            mend="task",
        ),
        Requirement(
            "steps for the entailment model",
            about=lambda c: (
                c.trains_guide and "pair" in c.guide.sections and c.values_of_guide.pair.step_judge == "entailment"
            ),
            met=lambda c: family_named(c.task.family).tells_states,
            why=lambda c: (
                f"pair.step_judge entailment is for symbolic tasks, but {c.task.name} is of family {c.task.family}; set it "
                "to task"
            ),
            mend=None,
        ),
        Requirement(
            "pooling that sees the step",
            about=lambda c: c.trains_guide and c.model.family == "decoder_only" and judge_of(c).backbone == "generator",
            met=lambda c: judge_of(c).pooling != "cls",
            why=lambda c: (
                f"{section_of(c)}.pooling cls reads the first position, which does not see the step in the decoder-only "
                f"{c.model.name}; set it to last, mean or max"
            ),
            mend=None,
        ),
    ),
)
