"""Which sections of the configuration a result rests on, and where they differ from the paper's."""

from collections.abc import Mapping, Sequence
from typing import Any

from retrace.sections import Section, speed_options
from retrace.systems.icot.options import STAGES_BEHIND
from retrace.workflow.configuration import Configuration
from retrace.workflow.names import helped_decoder, round_of, system_of

# Which sections of the configuration a method's result depends on.
_GUIDANCE = ("sample", "align", "pair", "discriminator")


def sections_behind(
    checkpoint: str, decoder: str, scratch: bool, chosen: bool = False, start: str = "base", votes: str | None = None
) -> list[str]:
    """The configuration's sections that a result rests on. chosen: beta was picked on the development split.

    start: the checkpoint that LaTRO and Learn-to-Reason start from. votes: the decoder behind maj@k, if not the result's
    own.
    """
    sections = ["base"] if scratch else []
    decoder, system = helped_decoder(decoder), system_of(checkpoint)
    if system == "dpo_st":
        sections.append("dpo_st")
    elif system == "icot":
        sections += ["icot_data", *STAGES_BEHIND[checkpoint]]
    elif system == "learn_to_reason" and round_of(checkpoint) == 0:
        sections.append("learn_to_reason")  # its text form
    elif system == "learn_to_reason":
        sections += [*(["sft"] if start == "sft" else []), "exam", "teacher", "feedback", "learn_to_reason", "rounds"]
    else:
        trained = [start, checkpoint] if system == "latro" else [checkpoint]
        sections += [name for name in trained if name != "base"]
    if votes is not None:
        sections.append(helped_decoder(votes))
    if decoder.startswith("grace"):
        # The sweep decodes with the options of `grace`, whichever guided decoder uses its choice.
        sections += [*_GUIDANCE, "sweep", "grace"] if chosen else _GUIDANCE
    if decoder == "verifier":
        sections += ["sample", "verifier", "self_consistency"]
    elif decoder == "samples":
        sections += [] if "dpo_st" in sections else ["dpo_st"]
    elif decoder not in sections:
        sections.append(decoder)
    return sections


# Sizes of batches on the device change speed and memory, not what is computed.
_WITHOUT_EFFECT = {"device_batch_size", "rows_at_once", "cached", "compile_layers"}


_DECODERS = {
    *("sample", "greedy", "beam", "self_consistency", "stepwise", "grace", "grace_self_consistency", "align"),
    *("pair_samples", "label_samples", "samples", "exam", "implicit", "maj", "few_shot", "few_shot_maj"),
}


def _speed_options(section: str) -> set[str]:
    """Options of a section that change no result: a configuration may come without them."""
    field = Configuration.model_fields.get(section)
    return speed_options(field.default) if field and isinstance(field.default, Section) else set()


def differences(ours: Mapping[str, Any], papers: Mapping[str, Any], sections: Sequence[str]) -> list[str]:
    """Options of these sections that are not as in the paper's preset, as `section.option`."""
    found = []
    for section in sections:
        mine, theirs = ours.get(section, {}), papers.get(section, {})
        ignored = _WITHOUT_EFFECT | ({"batch_size"} if section in _DECODERS else set()) | _speed_options(section)
        for option in sorted({*mine, *theirs} - ignored):
            if isinstance(mine.get(option), dict) and isinstance(theirs.get(option), dict):
                inner = differences({option: mine[option]}, {option: theirs[option]}, [option])
                found += [f"{section}.{name}" for name in inner]
            elif mine.get(option) != theirs.get(option):
                found.append(f"{section}.{option}")
    return found
