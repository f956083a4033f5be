"""Names of checkpoints and decoders, and what a name says: whose it is, and of which round."""

import re
from dataclasses import dataclass
from functools import cache

from retrace.systems.icot.options import STAGES_BEHIND
from retrace.systems.learn_to_reason.options import VARIANTS
from retrace.workflow.decoders import WITHOUT_CALCULATOR, shipped

_ROUND = r"round(?P<round>0|[1-9]\d*)"
SINGLE = "learn_to_reason_single"  # its one round is as long as all rounds of the others
_LEARNING = "|".join(name for name in VARIANTS if name != SINGLE)


@dataclass(frozen=True)
class CheckpointKind:
    """One family of names. shown: as messages write it; system: whose text form and splits it has; decoder_only: it is
    made of decoder-only models alone."""

    shown: str
    pattern: str
    system: str = "grace"
    decoder_only: bool = False


KINDS = (
    CheckpointKind("base", "base"),
    CheckpointKind("sft", "sft"),
    CheckpointKind("dpo_st_roundN", f"dpo_st_{_ROUND}", "dpo_st"),
    CheckpointKind("st_roundN", f"st_{_ROUND}", "dpo_st"),
    CheckpointKind("dpo_roundN", f"dpo_(?!round0){_ROUND}", "dpo_st"),
    CheckpointKind("sft_continued_roundN", f"sft_continued_(?!round0){_ROUND}", "dpo_st"),
    CheckpointKind("sft_extra_roundN", f"sft_extra_(?!round0){_ROUND}", "dpo_st"),
    CheckpointKind("learn_to_reason_roundN", f"(?:{_LEARNING})_{_ROUND}", "learn_to_reason"),
    CheckpointKind(f"{SINGLE}_round1", f"{SINGLE}_round(?P<round>[01])", "learn_to_reason"),
    *(CheckpointKind(name, name, "icot", decoder_only=True) for name in STAGES_BEHIND),
    CheckpointKind("latro", "latro", "latro", decoder_only=True),
    CheckpointKind("latro_sft", "latro_sft", "latro", decoder_only=True),
)
# Systems whose methods may be called as their checkpoint, which is then decoded greedily.
NAMED_BY_CHECKPOINT = ("dpo_st", "learn_to_reason")
LAST = "_last"  # what a method's file calls the last round by configuration: dpo_st_last
# What goes round and round, as people read it; NAME_roundN is its checkpoint after round N.
LOOPS = {
    "dpo_st": "DPO-ST",
    "st": "Self-Training",
    "dpo": "DPO step of DPO-ST",
    "sft_continued": "SFT, as many further steps",
    "sft_extra": "SFT, as many further references",
    **VARIANTS,
}


@cache
def kind_of(name: str) -> CheckpointKind | None:
    """The family that a checkpoint's name belongs to; None: no such name."""
    return next((kind for kind in KINDS if re.fullmatch(kind.pattern, name)), None)


def round_of(name: str) -> int | None:
    """The number of a checkpoint's round; None where it belongs to none."""
    kind = kind_of(name)
    found = re.fullmatch(kind.pattern, name) if kind else None
    number = found.groupdict().get("round") if found else None
    return None if number is None else int(number)


def loop_of(name: str) -> str:
    """What goes round and round: `dpo_st` of `dpo_st_round2`; a name of no round is its own."""
    number = round_of(name)
    return name if number is None else name.removesuffix(f"_round{number}")


@cache
def system_of(name: str) -> str:
    """The system that makes a checkpoint: its text form and its splits hold for what is done with it."""
    kind = kind_of(name)
    return kind.system if kind else "grace"


def same_model(name: str) -> str:
    """The name under which a checkpoint is built: both self-trainings begin with one warm-up; before the first round of
    Learn-to-Reason the student is the generator."""
    if name == "st_round0":
        return "dpo_st_round0"
    return "generator" if system_of(name) == "learn_to_reason" and round_of(name) == 0 else name


# ---------------------------------------------------------------- decoders

DECODERS = tuple(shipped())
NEVER_CALCULATE = shipped().never_calculate


@cache
def helped_decoder(decoder: str) -> str:
    """The decoder whose options hold: `greedy` for `greedy_no_calculator`, and for itself."""
    return decoder.removesuffix(WITHOUT_CALCULATOR)
