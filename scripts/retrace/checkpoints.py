"""Names of checkpoints and decoders, which targets and methods hold; those of a round, for any number of rounds."""

import re
from dataclasses import dataclass

from retrace.config_learn_to_reason import VARIANTS

_ROUND = r"round(?P<round>0|[1-9]\d*)"
SINGLE = "learn_to_reason_single"  # its one round is as long as all rounds of the others
_LEARNING = "|".join(name for name in VARIANTS if name != SINGLE)


@dataclass(frozen=True)
class CheckpointKind:
    """One family of names. shown: as messages write it; system: the paper that it belongs to."""

    shown: str
    pattern: str
    system: str = "grace"


KINDS = (
    CheckpointKind("base", "base"),
    CheckpointKind("sft", "sft"),
    CheckpointKind("learn_to_reason_roundN", f"(?:{_LEARNING})_{_ROUND}", "learn_to_reason"),
    CheckpointKind(f"{SINGLE}_round1", f"{SINGLE}_round(?P<round>[01])", "learn_to_reason"),
)
# Systems whose methods may be called as their checkpoint, which is then decoded greedily.
NAMED_BY_CHECKPOINT = ("learn_to_reason",)
LAST = "_last"  # what a method's file calls the last round by configuration: learn_to_reason_last


def kind_of(name: str) -> CheckpointKind | None:
    """The family that a name belongs to; None for a name of no checkpoint."""
    return next((kind for kind in KINDS if re.fullmatch(kind.pattern, name)), None)


def round_of(name: str) -> int | None:
    """The round that a checkpoint's name holds, if any."""
    kind = kind_of(name)
    found = re.fullmatch(kind.pattern, name) if kind else None
    number = found.groupdict().get("round") if found else None
    return int(number) if number is not None else None


def system_of(name: str) -> str:
    """The system that makes a checkpoint."""
    kind = kind_of(name)
    return kind.system if kind else "grace"


def same_model(name: str) -> str:
    """The name under which a checkpoint is built: before the first round of Learn-to-Reason the student is the generator."""
    return "generator" if system_of(name) == "learn_to_reason" and round_of(name) == 0 else name
