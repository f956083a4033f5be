"""Checks of models named by options: each must be in config/models, a folder or a Hub id, and fit its role."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from retrace.models.packaged import PACKAGED
from retrace.workflow.configuration import Configuration
from retrace.yaml_files import SHOWN, Refused, closest

OWN_ENCODERS = ("scratch", "generator")  # backbones without a model of their own
NO_PLACES = (*OWN_ENCODERS, *PACKAGED)  # no folders, whatever lies in the working folder
PLACES = "a folder, or a Hub id (OWNER/NAME)"


def is_place(name: str) -> bool:
    """Whether a name may be a folder or a Hub id."""
    return "/" in name or os.path.exists(name)


def check_named_models(values: Configuration, families: Mapping[str, str], where: str) -> None:
    """Raise UserError (Refused) for an unknown backbone, embedder, step judge or released discriminator.

    families: family of each model in config/models.
    """
    encoders = [name for name, family in families.items() if family == "encoder"]
    for section in ("discriminator", "verifier"):
        options = getattr(values, section)
        _known(where, f"{section}.backbone", options.backbone, [*OWN_ENCODERS, *PACKAGED, *families])
        _check_body(where, section, options, families)
    released = values.discriminator.released
    if released is not None and released not in encoders:
        said = f"{where}: discriminator.released {released[:SHOWN]!r} is unknown; {closest(released, encoders)}"
        raise Refused(said, ("discriminator", "released"))
    _known(where, "pair.entailment_model", values.pair.entailment_model, encoders)
    embedder = values.align.embedder
    kind, _, model = embedder.partition(":")
    if kind != "openai":
        _known(where, "align.embedder", embedder, [*PACKAGED, *encoders], "; or openai:MODEL")
    elif not model:
        raise Refused(
            f"{where}: align.embedder {embedder!r}: name the model, openai:text-embedding-ada-002 as in GRACE's code, and "
            "set OPENAI_API_KEY; without a key: roscoe, simcse, mpnet or minilm",
            ("align", "embedder"),
        )


def _check_body(where: str, section: str, options: Any, families: Mapping[str, str]) -> None:
    """Raise UserError (Refused) for options of a judge that do not fit its backbone."""
    backbone, wrong, why = options.backbone, "", ""
    if options.width > 0 and backbone != "scratch":
        wrong, why = "width", f"{options.width} is for backbone scratch, and the backbone is {backbone}; set it to -1"
    elif options.lora_rank and backbone == "scratch":
        wrong, why = (
            "lora_rank",
            f"{options.lora_rank}: adapters leave the random weights of backbone scratch as they are; set it to 0",
        )
    elif options.pooling == "cls" and families.get(backbone) == "decoder_only":
        wrong, why = (
            "pooling",
            f"cls: the first position of {backbone} (decoder-only) sees no step; use last, mean or max",
        )
    if wrong:
        raise Refused(f"{where}: {section}.{wrong} {why}", (section, wrong))


def _known(where: str, option: str, name: str, known: Iterable[str], more: str = "") -> None:
    if name not in known and not is_place(name):
        said = f"{where}: {option} {name[:SHOWN]!r} is unknown; {closest(name, known)}{more}; or {PLACES}"
        raise Refused(said, tuple(option.split(".")))
