"""What fits together: every combination of task, model and method is decided here, before anything runs.

`REQUIREMENTS` is the table. Each entry says which combinations it is about, when these work, and why they do not; what
would work instead is found by asking the same table about the other tasks, models or methods.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from retrace.errors import UserError
from retrace.models.architectures import check_generator
from retrace.models.options import ModelConfig
from retrace.systems.icot.options import FROM_SCRATCH_ONLY, STAGES_BEHIND
from retrace.systems.learn_to_reason.options import VARIANTS
from retrace.tasks.families import family_named, row_format
from retrace.tasks.forms import form_named
from retrace.tasks.options import TaskConfig
from retrace.workflow.configuration import Configuration, MethodConfig
from retrace.workflow.names import LOOPS, helped_decoder, kind_of, loop_of, round_of, system_of

GUIDED = ("grace", "grace_self_consistency", "stepwise")
FEW_SHOT = ("few_shot", "few_shot_maj")
NO_STEPS = ("no_cot", "no_cot_deep", "no_cot_from_teacher")


@dataclass(frozen=True)
class Case:
    """One combination. checkpoint: what the method decodes from here; values: the configuration as it holds here.

    splits: the task's splits that the checkpoint's system reads as train and dev. target: the task whose questions are
    answered, where it is another one. rounds: those of the checkpoint's loop by configuration; None where it has none.
    """

    task: TaskConfig
    model: ModelConfig
    method: MethodConfig
    checkpoint: str
    values: Configuration
    splits: tuple[str, str] = ("train", "dev")
    target: TaskConfig | None = None
    rounds: int | None = None

    @property
    def decoder(self) -> str:
        return helped_decoder(self.method.decoder)

    @property
    def system(self) -> str:
        return system_of(self.checkpoint)

    @property
    def answered(self) -> TaskConfig:
        """The task whose questions are answered."""
        return self.target or self.task

    @property
    def discriminated(self) -> bool:
        """Whether a discriminator guides the decoding."""
        return self.decoder in GUIDED and getattr(self.values, self.decoder).beta != 0

    @property
    def trains_discriminator(self) -> bool:
        return self.discriminated and self.values.discriminator.released is None

    @property
    def form(self) -> str:
        """The text form that the checkpoint writes."""
        if self.system == "learn_to_reason":
            return self.values.learn_to_reason.form
        return self.values.dpo_st.form if self.system == "dpo_st" else "steps"

    @property
    def released(self) -> bool:
        """Whether the checkpoint is the authors' own, and none is trained."""
        return self.checkpoint == "icot" and self.values.icot.released_student is not None

    @property
    def trains(self) -> bool:
        """Whether anything is trained on the task's own questions."""
        frozen = self.checkpoint == "base" and self.model.scratch is None
        return not (frozen or self.released) or self.trains_discriminator or self.decoder == "verifier"

    @property
    def needs_solutions(self) -> str | None:
        """What is made of the references' steps; None where nothing is."""
        if self.trains_discriminator:
            return "a discriminator is trained on wrong steps beside the references'"
        if self.checkpoint in ("explicit_cot", "icot", "no_cot_from_teacher") and not self.released:
            return "its teacher learns to write the references' steps"
        taught = self.values.teacher.kind == "oracle" and not self.values.feedback.released_rationales
        if self.system == "learn_to_reason" and taught:
            return "teacher.kind oracle gives the reference solutions (choose openai, local or replay)"
        return None

    @property
    def demonstrations(self) -> int:
        """Worked examples in the prompt."""
        if self.decoder in FEW_SHOT:
            return getattr(self.values, self.decoder).demonstrations
        prompted = self.model.generator == "base" and self.system != "icot" and self.form == "steps"
        return self.model.demonstrations if prompted else 0


def has_solutions(task: TaskConfig, split: str) -> bool:
    """Whether a split's rows bring worked solutions, as far as the task's file says it."""
    source = task.splits[split]
    origin = task.splits[source.part_of] if source.part_of else source
    return row_format(origin.format or task.format).solutions


@dataclass(frozen=True)
class Requirement:
    """about: which combinations it concerns. met: whether such a one works. why: in words. mend: what to look for others
    of; None where `why` says what to do."""

    name: str
    about: Callable[[Case], bool]
    met: Callable[[Case], bool]
    why: Callable[[Case], str]
    mend: Literal["task", "model", "method"] | None


def _missing(case: Case) -> list[str]:
    """Splits that are read and that the tasks do not have."""
    read = case.splits if case.trains else ()
    return [split for split in read if split not in case.task.splits] + ["test"] * ("test" not in case.answered.splits)


def _separated(case: Case) -> bool:
    """Whether the checkpoint writes texts with separators, and is decoded as itself."""
    return case.checkpoint in STAGES_BEHIND and case.checkpoint != "icot"


def _no_form(case: Case) -> str | None:
    """Why there is no student of this task and model in Learn-to-Reason's own form; None where there is one."""
    form = case.form
    if case.model.scratch is not None:
        return f"learn_to_reason.form {form} is for pretrained models"
    if case.model.family != "decoder_only":
        return f"learn_to_reason.form {form} is for decoder-only models"
    for task in (case.task, case.answered):
        if task.family not in (families := form_named(form).families()):
            named = ", ".join(families)
            return f"learn_to_reason.form {form} is for tasks of family {named}, {task.name} is of {task.family}"
        if form == "learn_to_reason" and task.learn_to_reason is None:
            return f"config/tasks/{task.name}.yaml names no worked examples for these prompts (learn_to_reason)"
    return None


def _loop_option(case: Case) -> str:
    return "rounds.learn_to_reason" if loop_of(case.checkpoint) in VARIANTS else "dpo_st.rounds"


REQUIREMENTS = (
    Requirement(
        "emulator and student",
        about=lambda c: c.checkpoint == "icot" or c.decoder == "implicit",
        met=lambda c: c.checkpoint == "icot" and c.decoder == "implicit",
        why=lambda c: (
            "the checkpoint icot, and no other, is decoded with implicit: it has an emulator and a student; use the "
            "method icot"
        ),
        mend=None,
    ),
    Requirement(
        "rounds",
        about=lambda c: c.rounds is not None,
        met=lambda c: (round_of(c.checkpoint) or 0) <= (c.rounds or 0),
        why=lambda c: (
            f"{loop_of(c.checkpoint)} ({LOOPS[loop_of(c.checkpoint)]}) has {c.rounds} rounds here ({_loop_option(c)}); "
            f"for more, set {_loop_option(c)}"
        ),
        mend=None,
    ),
    Requirement(
        "decoder-only model",
        about=lambda c: bool((kind := kind_of(c.checkpoint)) and kind.decoder_only),
        met=lambda c: c.model.family == "decoder_only",
        why=lambda c: f"it needs a decoder-only model, {c.model.name} is of family {c.model.family}",
        mend="model",
    ),
    Requirement(
        "architecture",
        about=lambda c: c.model.scratch is None,
        met=lambda c: unfit_network(c.model) is None,
        why=lambda c: unfit_network(c.model) or "",
        mend=None,
    ),
    Requirement(
        "control for models from scratch",
        about=lambda c: c.checkpoint in FROM_SCRATCH_ONLY,
        met=lambda c: c.model.scratch is not None,
        why=lambda c: f"it is a control for models from scratch; {c.model.name} comes pretrained",
        mend="model",
    ),
    Requirement(
        "plain text (Learn-to-Reason)",
        about=lambda c: c.system == "learn_to_reason",
        met=lambda c: not c.model.chat,
        why=lambda c: (
            "a teacher's rationales are learned as plain text, and the model has a chat template (a model file with "
            "`chat: false` does)"
        ),
        mend="model",
    ),
    Requirement(
        "Learn-to-Reason's own form",
        about=lambda c: c.system == "learn_to_reason" and c.form != "steps",
        met=lambda c: _no_form(c) is None,
        why=lambda c: f"{_no_form(c)}; set learn_to_reason.form to steps",
        mend=None,
    ),
    Requirement(
        "plain text (DPO-ST)",
        about=lambda c: c.system == "dpo_st" and c.form == "steps",
        met=lambda c: not c.model.chat,
        why=lambda c: (
            "dpo_st.form steps is plain text, and the model has a chat template (`dpo_st.form: dpo_st` has a prompt of "
            "its own)"
        ),
        mend="model",
    ),
    Requirement(
        "word problems",
        about=lambda c: c.form == "dpo_st",
        met=lambda c: {c.task.family, c.answered.family} <= set(form_named("dpo_st").families()),
        why=lambda c: (
            "DPO-ST's text form (dpo_st.form) is for word problems, "
            f"{c.task.name} is of family {c.task.family}"
            + (f", {c.answered.name} of family {c.answered.family}" if c.target else "")
            + "; `dpo_st.form: steps` takes any task"
        ),
        mend="task",
    ),
    Requirement(
        "splits",
        about=lambda c: True,
        met=lambda c: not _missing(c),
        why=lambda c: (
            f"task {c.task.name} has no split {_missing(c)[0]}, which it reads (there is {', '.join(c.task.splits)}); what "
            f"was trained on another task answers its questions: "
            f"results/{c.answered.name}/{c.model.name}/transfer/TASK/{c.method.name}_acc.json"
        ),
        mend="task",
    ),
    Requirement(
        "worked solutions",
        about=lambda c: c.needs_solutions is not None,
        met=lambda c: c.splits[0] in c.task.splits and has_solutions(c.task, c.splits[0]),
        why=lambda c: f"{c.needs_solutions}, and {c.task.name} has final answers only",
        mend="task",
    ),
    Requirement(
        "judged steps",
        about=lambda c: c.trains_discriminator,
        met=lambda c: family_named(c.task.family).judges_steps,
        why=lambda c: (
            "a discriminator learns from steps that are right or wrong, and those of family "
            f"{c.task.family} ({c.task.name}) cannot be judged"
        ),
        mend="task",
    ),
    Requirement(
        "steps for the entailment model",
        about=lambda c: c.trains_discriminator and c.values.pair.step_judge == "entailment",
        met=lambda c: family_named(c.task.family).tells_states,
        why=lambda c: (
            f"pair.step_judge entailment is for symbolic tasks, {c.task.name} is of family {c.task.family}; set it to task"
        ),
        mend=None,
    ),
    Requirement(
        "steps of a chat model",
        about=lambda c: c.decoder in GUIDED and c.form == "steps" and not _separated(c),
        met=lambda c: not c.model.chat,
        why=lambda c: (
            f"stepwise decoding needs solutions in steps (`step {c.task.delimiter} step`), and {c.model.name} answers in "
            "prose, through its chat template"
        ),
        mend="model",
    ),
    Requirement(
        "steps of implicit chain of thought",
        about=_separated,
        met=lambda c: c.decoder not in GUIDED and not (c.decoder == "beam" and c.checkpoint not in NO_STEPS),
        why=lambda c: (
            f"{c.checkpoint} writes texts with separators, and not in steps"
            if c.checkpoint in NO_STEPS
            else f"{c.checkpoint} writes an end token between steps and answer"
        ),
        mend="method",
    ),
    Requirement(
        "worked examples in the prompt",
        about=lambda c: c.decoder in FEW_SHOT,
        met=lambda c: c.form == "steps" and not _separated(c),
        why=lambda c: f"{c.checkpoint} was trained on texts without worked examples",
        mend="method",
    ),
    Requirement(
        "demonstrations",
        about=lambda c: c.demonstrations > 0,
        met=lambda c: c.answered.demonstrations is not None or "train" in c.answered.splits,
        why=lambda c: (
            f"the prompt holds {c.demonstrations} worked examples, and {c.answered.name} has neither `demonstrations` nor "
            "training questions"
        ),
        mend="model",
    ),
    Requirement(
        "held-back references",
        about=lambda c: loop_of(c.checkpoint) == "sft_extra",
        met=lambda c: c.values.dpo_st.labelled >= 0,
        why=lambda c: (
            "this control trains on references that were held back, and dpo_st.labelled is -1: all are used; set it to a "
            "number"
        ),
        mend=None,
    ),
    Requirement(
        "decoders of transfer",
        about=lambda c: c.target is not None,
        met=lambda c: c.decoder not in GUIDED and c.decoder != "verifier",
        why=lambda c: (
            f"{c.decoder} needs a network that was trained beside the questions' own task, and there is none for another "
            "task"
        ),
        mend="method",
    ),
)


def unfit_network(model: ModelConfig) -> str | None:
    """Why a local or an already fetched model is no generator of its family; None where it is one, or is not here yet."""
    return check_generator(model.file or f"results/models/{model.name}", model.family)


def broken(case: Case) -> Requirement | None:
    """The first requirement that a combination does not meet; None for one that works."""
    return next((one for one in REQUIREMENTS if one.about(case) and not one.met(case)), None)


def check(case: Case, others: Callable[[str], list[str]]) -> None:
    """Raise UserError for a combination that cannot work, with what would.

    others: the names of the tasks, models or methods (`task`, `model`, `method`) that could stand in its place and work.
    """
    fault = broken(case)
    if fault is None:
        return
    on = f" under transfer/{case.task.name}" if case.target else ""
    said = f"method {case.method.name!r} of {case.model.name} on {case.answered.name}{on}: {fault.why(case)}"
    if fault.mend and (names := others(fault.mend)):
        said += f"; valid {fault.mend}s: {', '.join(names)}"
    raise UserError(said)
