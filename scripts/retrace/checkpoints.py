"""Names of checkpoints and decoders, which targets and methods hold; those of a round, for any number of rounds."""

import re
from dataclasses import dataclass

from retrace.config_icot import STAGES_BEHIND

_ROUND = r"round(?P<round>0|[1-9]\d*)"


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
    *(CheckpointKind(name, name, "icot", decoder_only=True) for name in STAGES_BEHIND),
    CheckpointKind("latro", "latro", "latro", decoder_only=True),
    CheckpointKind("latro_sft", "latro_sft", "latro", decoder_only=True),
)
# A method that is called as its checkpoint decodes greedily.
NAMED_BY_CHECKPOINT = "dpo_st"


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
    """The system that makes a checkpoint: its text form and its splits hold for what is done with it."""
    kind = kind_of(name)
    return kind.system if kind else "grace"


def same_model(name: str) -> str:
    """The name under which a checkpoint is built: both self-trainings begin with one warm-up."""
    return "dpo_st_round0" if name == "st_round0" else name


# ---------------------------------------------------------------- decoders

DECODERS = (
    *("greedy", "beam", "self_consistency", "samples", "verifier", "stepwise", "grace", "grace_self_consistency"),
    *("implicit", "maj", "few_shot", "few_shot_maj"),
)
WITHOUT_CALCULATOR = "_no_calculator"
# Decoders that have no calculator to be switched off, and why.
NEVER_CALCULATE = {
    "verifier": "the verifier ranks samples",
    "implicit": "emulator and student write answers alone",
}


def helped_decoder(decoder: str) -> str:
    """The decoder whose options hold: `greedy` for `greedy_no_calculator`, and for itself."""
    return decoder.removesuffix(WITHOUT_CALCULATOR)
