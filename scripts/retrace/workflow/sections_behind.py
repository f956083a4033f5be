"""Which sections of the configuration a result rests on, and where they differ from the paper's."""

from collections.abc import Mapping, Sequence
from typing import Any

from retrace.sections import Section, speed_options_of
from retrace.systems.grace.options import Aligning
from retrace.systems.icot.options import STAGES_BEHIND
from retrace.workflow.configuration import Configuration
from retrace.workflow.decoders import shipped
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
    guide, system = shipped().resolved(helped_decoder(decoder)).guide, system_of(checkpoint)
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
        sections.append(_section_of(votes))
    if guide == "discriminator":
        # The sweep decodes with the options of `grace`, whichever guided decoder uses its choice.
        sections += [*_GUIDANCE, "sweep", "grace"] if chosen else _GUIDANCE
    if guide == "verifier":
        sections += ["sample", "verifier"]
    if (own := _section_of(decoder)) not in sections:
        sections.append(own)
    return sections


def _section_of(decoder: str) -> str:
    """The section at the top of the configuration that holds a decoder's options."""
    return str(shipped().resolved(helped_decoder(decoder)).section).split(".")[0]


# Sizes of batches on the device change speed and memory, not what is computed.
_WITHOUT_EFFECT = {"device_batch_size", "rows_at_once", "cached", "compile_layers"}


def differences(ours: Mapping[str, Any], papers: Mapping[str, Any], sections: Sequence[str]) -> list[str]:
    """Options of these sections that are not as in the paper's preset, as `section.option`."""
    kinds = {name: field.annotation for name, field in Configuration.model_fields.items()}
    return [
        found
        for name in sections
        for found in _differing(ours.get(name, {}), papers.get(name, {}), kinds.get(name), name)
    ]


def _differing(ours: Mapping[str, Any], papers: Mapping[str, Any], kind: Any, name: str) -> list[str]:
    """The differences between two forms of one section. kind: its class; None: a mapping of plain values."""
    section = kind if isinstance(kind, type) and issubclass(kind, Section) else None
    # A configuration may come without the options that change no result.
    ignored = _WITHOUT_EFFECT | (speed_options_of(section) if section else set())
    ignored |= {"batch_size"} if section is Aligning else set()
    found = []
    for option in sorted({*ours, *papers} - ignored):
        mine, theirs = ours.get(option), papers.get(option)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            inner = section.model_fields[option].annotation if section and option in section.model_fields else None
            found += _differing(mine, theirs, inner, f"{name}.{option}")
        elif mine != theirs:
            found.append(f"{name}.{option}")
    return found
