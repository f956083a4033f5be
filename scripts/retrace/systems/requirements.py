"""A combination of task, model and method, and requirements on it. Systems declare the requirements of their methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from retrace.decoding.algorithms import Algorithm
from retrace.models.options import ModelConfig
from retrace.systems.declaration import Checkpoint
from retrace.tasks.families import format_of
from retrace.tasks.graders import PAPER
from retrace.tasks.options import TaskConfig


@dataclass(frozen=True)
class Case:
    """One combination of task, model and method.

    Attributes:
        task: The task that the checkpoint is trained on.
        model: The base model.
        method: The method's name.
        checkpoint: The name of the checkpoint to decode.
        kind: The checkpoint's declaration.
        decoder: The decoder's declaration.
        algorithm: The decoder's algorithm.
        values: The configuration for the checkpoint and decoder.
        behind: Declarations of the checkpoints that this one is made from.
        round: The checkpoint's round; None if it is not made in rounds.
        guide: Declaration of the decoder's network; None if it has none.
        values_of_guide: The configuration for that network.
        splits: The task's splits that the checkpoint's system reads as train and dev.
        target: The task whose questions are answered, if it is not `task`.
        rounds: The configured number of rounds of the checkpoint's loop; None without a loop.
        grader: The grader that determines the result's accuracy.
    """

    task: TaskConfig
    model: ModelConfig
    method: str
    checkpoint: str
    kind: Checkpoint
    decoder: Any
    algorithm: Algorithm
    values: Any
    behind: Sequence[Checkpoint] = ()
    round: int | None = None
    guide: Checkpoint | None = None
    values_of_guide: Any = None
    splits: tuple[str, str] = ("train", "dev")
    target: TaskConfig | None = None
    rounds: int | None = None
    grader: str = PAPER

    @property
    def system(self) -> str:
        return self.kind.system

    @property
    def answered(self) -> TaskConfig:
        """The evaluated task."""
        return self.target or self.task

    @property
    def options(self) -> Any:
        """The decoder's options."""
        return option(self.values, self.decoder.section)

    @property
    def sets_demonstrations(self) -> bool:
        """Whether the decoder's options set the number of worked examples in the prompt."""
        return "demonstrations" in self.algorithm.options.model_fields

    @property
    def guided(self) -> bool:
        """Whether a network guides or ranks the decoding."""
        return self.guide is not None and getattr(self.options, "beta", None) != 0

    @property
    def trains_guide(self) -> bool:
        return self.guided and not released(self.guide, self.values_of_guide)

    @property
    def form(self) -> str:
        """Text form of the checkpoint's output."""
        return option(self.values, self.kind.form) if self.kind.form else "steps"

    @property
    def released(self) -> bool:
        """Whether the authors' released checkpoint is used and none is trained."""
        return released(self.kind, self.values)

    @property
    def trains(self) -> bool:
        """Whether anything is trained on the task's own questions."""
        frozen = self.kind.name == "base" and self.model.scratch is None
        return not (frozen or self.released) or self.trains_guide

    @property
    def needs_solutions(self) -> str | None:
        """What the reference steps are needed for; None if they are not."""
        made = [] if self.released else [*self.behind, self.kind]
        if self.trains_guide and self.guide is not None:
            made.append(self.guide)
        return next((kind.needs_solutions for kind in reversed(made) if kind.needs_solutions), None)

    @property
    def demonstrations(self) -> int:
        """Worked examples in the prompt."""
        if self.sets_demonstrations:
            return self.options.demonstrations
        prompted = self.model.generator == "base" and self.kind.decoder is None and self.form == "steps"
        return self.model.demonstrations if prompted else 0


def option(values: Any, dotted: str) -> Any:
    """The value of an option, `dpo_st.rounds`, or a section, `dpo_st.samples`."""
    for part in dotted.split("."):
        values = getattr(values, part)
    return values


def released(kind: Checkpoint | None, values: Any) -> bool:
    """Whether the configuration names the authors' released checkpoint instead of training one."""
    return kind is not None and kind.released is not None and option(values, kind.released) is not None


def has_solutions(case: Case) -> bool:
    """Whether the training split has worked solutions, as far as the task's file says."""
    task = case.task
    if case.splits[0] not in task.splits:
        return False
    source = task.splits[case.splits[0]]
    origin = task.splits[source.part_of] if source.part_of else source
    return format_of(task, origin).solutions


@dataclass(frozen=True)
class Requirement:
    """A condition that combinations of task, model and method must meet.

    Attributes:
        name: A short name.
        about: Whether the requirement applies to a combination.
        met: Whether a combination meets it.
        why: The reason that a combination does not work.
        mend: What to replace to get a working combination; None if `why` already says what to do.
    """

    name: str
    about: Callable[[Case], bool]
    met: Callable[[Case], bool]
    why: Callable[[Case], str]
    mend: Literal["task", "model", "method"] | None


def plain_text(system: str, title: str, learned: str) -> Requirement:
    """Requirement of a system that has no prompt for models with a chat template. learned: what it learns."""
    return Requirement(
        f"plain text ({title})",
        about=lambda c: c.system == system,
        met=lambda c: not c.model.chat,
        why=lambda c: (
            f"{learned} are learned as plain text, and the model has a chat template (a model file with `chat: false` does)"
        ),
        mend="model",
    )


def behind_separators(system: str, title: str) -> tuple[Requirement, ...]:
    """The requirements of a system whose checkpoints write texts with separators (retrace.prompting.separated)."""

    def about(case: Case) -> bool:
        """Whether the checkpoint writes such texts, and is decoded as itself."""
        return case.system == system and case.kind.decoder is None

    return (
        Requirement(
            f"steps of {title}",
            about=about,
            met=lambda c: not c.algorithm.in_steps and (c.algorithm.several_ends or not c.kind.steps),
            why=lambda c: (
                f"{c.checkpoint} writes an end token between steps and answer"
                if c.kind.steps
                else f"{c.checkpoint} writes texts with separators, and not in steps"
            ),
            mend="method",
        ),
        Requirement(
            f"worked examples behind separators ({title})",
            about=lambda c: about(c) and c.sets_demonstrations,
            met=lambda c: False,
            why=lambda c: f"{c.checkpoint} was trained on texts without worked examples",
            mend="method",
        ),
    )
