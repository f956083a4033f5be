"""Compatibility: whether a combination of task, model and method works, checked before anything runs.

General requirements are listed here, and each system declares its own. A requirement says which combinations it applies
to, when they work, and why they do not; alternatives are found by checking other tasks, models or methods.
"""

from collections.abc import Callable, Iterator

from retrace.errors import UserError
from retrace.models.architectures import check_generator, lacks_chat_template
from retrace.models.options import ModelConfig
from retrace.systems.registry import all_systems
from retrace.systems.requirements import Case, Requirement, has_solutions
from retrace.tasks.families import family_named
from retrace.tasks.graders import grader_fault


def _missing(case: Case) -> list[str]:
    """Required splits that the tasks do not have."""
    read = case.splits if case.trains else ()
    return [split for split in read if split not in case.task.splits] + ["test"] * ("test" not in case.answered.splits)


OF_NAMES_AND_MODELS = (
    Requirement(
        "decoder of its own",
        about=lambda c: c.kind.decoder is not None or c.algorithm.only_for is not None,
        met=lambda c: c.kind.decoder == c.decoder.algorithm and c.algorithm.only_for == c.system,
        why=lambda c: (
            f"{c.kind.name} is decoded with {c.kind.decoder} alone; use the method {c.kind.name}"
            if c.kind.decoder
            else f"{c.decoder.name} decodes what {c.algorithm.only_for} couples, and {c.checkpoint} is no such checkpoint; "
            f"use the method {c.algorithm.only_for}"
        ),
        mend=None,
    ),
    Requirement(
        "rounds",
        about=lambda c: c.rounds is not None,
        met=lambda c: (c.round or 0) <= (c.rounds or 0),
        why=lambda c: (
            f"{c.kind.name} ({c.kind.title}) has {c.rounds} rounds here ({c.kind.rounds}); for more, set {c.kind.rounds}"
        ),
        mend=None,
    ),
    Requirement(
        "model family",
        about=lambda c: c.kind.family is not None,
        met=lambda c: c.model.family == c.kind.family,
        why=lambda c: (
            f"it needs a {(c.kind.family or '').replace('_', '-')} model, {c.model.name} is of family {c.model.family}"
        ),
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
        "chat template",
        about=lambda c: c.model.chat and c.model.scratch is None,
        met=lambda c: not lacks_chat_template(_folder_of(c.model)),
        why=lambda c: (
            f"{_folder_of(c.model)}/tokenizer_config.json: the tokenizer has no chat template, and "
            f"config/models/{c.model.name}.yaml says `chat: true`; set `chat: false` there, or point it to an "
            "instruction-tuned model"
        ),
        mend=None,
    ),
    Requirement(
        "control for models from scratch",
        about=lambda c: c.kind.scratch_only,
        met=lambda c: c.model.scratch is not None,
        why=lambda c: f"it is a control for models from scratch; {c.model.name} comes pretrained",
        mend="model",
    ),
)

OF_DATA_AND_DECODERS = (
    Requirement(
        "splits",
        about=lambda c: True,
        met=lambda c: not _missing(c),
        why=lambda c: (
            f"task {c.task.name} has no split {_missing(c)[0]}, which it reads (there is {', '.join(c.task.splits)}); what "
            f"was trained on another task answers its questions: "
            f"results/{c.answered.name}/{c.model.name}/transfer/TASK/{c.method}_acc.json"
        ),
        mend="task",
    ),
    Requirement(
        "grader",
        about=lambda c: True,
        met=lambda c: grader_fault(c.grader, family_named(c.answered.family)) is None,
        why=lambda c: f"accuracy: {grader_fault(c.grader, family_named(c.answered.family))}",
        mend="task",
    ),
    Requirement(
        "worked solutions",
        about=lambda c: c.needs_solutions is not None,
        met=has_solutions,
        why=lambda c: f"{c.needs_solutions}, and {c.task.name} has final answers only",
        mend="task",
    ),
    Requirement(
        "steps of a chat model",
        about=lambda c: c.algorithm.in_steps and c.form == "steps",
        met=lambda c: not c.model.chat,
        why=lambda c: (
            f"stepwise decoding needs solutions in steps (`step {family_named(c.task.family)(c.task).delimiter} step`), and "
            f"{c.model.name} answers in prose, through its chat template"
        ),
        mend="model",
    ),
    Requirement(
        "worked examples in the prompt",
        about=lambda c: c.sets_demonstrations,
        met=lambda c: c.form == "steps",
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
        "decoders of transfer",
        about=lambda c: c.target is not None,
        met=lambda c: c.guide is None and not c.algorithm.in_steps,
        why=lambda c: (
            f"{c.decoder.name} needs a network that was trained beside the questions' own task, and there is none for "
            "another task"
        ),
        mend="method",
    ),
)


def requirements() -> Iterator[Requirement]:
    """All requirements, in order: the first one violated is what the user should fix first."""
    yield from OF_NAMES_AND_MODELS
    for system in all_systems().values():
        yield from system.requirements
    yield from OF_DATA_AND_DECODERS


def unfit_network(model: ModelConfig) -> str | None:
    """Why a local or fetched model is not a generator of its family; None if it is, or is not available yet."""
    return check_generator(_folder_of(model), model.family, f"config/models/{model.name}.yaml")


def _folder_of(model: ModelConfig) -> str:
    """Where a model's files are, once they are there."""
    return model.file or f"results/models/{model.name}"


def broken(case: Case) -> Requirement | None:
    """The first requirement that a combination violates; None if it works."""
    return next((one for one in requirements() if one.about(case) and not one.met(case)), None)


def check(case: Case, others: Callable[[str], list[str]]) -> None:
    """Raise UserError, with alternatives, for a combination that cannot work.

    others: the names of the tasks, models or methods (`task`, `model`, `method`) that would work instead.
    """
    fault = broken(case)
    if fault is None:
        return
    on = f" under transfer/{case.task.name}" if case.target else ""
    said = f"method {case.method!r} of {case.model.name} on {case.answered.name}{on}: {fault.why(case)}"
    if fault.mend and (names := others(fault.mend)):
        said += f"; valid {fault.mend}s: {', '.join(names)}"
    raise UserError(said)
