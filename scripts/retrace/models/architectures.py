"""Check that a network fits its model YAML, from config.json alone, without importing transformers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENCODERS = {"albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet"}
ENCODERS |= {"roberta", "xlm-roberta", "t5", "mt5"}  # T5's encoder alone is no encoder-decoder
# A network that holds a model of the library has a type of its own, `retrace_KIND`. The library does not know the type and
# refuses the folder; given the inner model's type, it would load that model with random weights.
OWN_TYPE = "retrace_"
WRAPPED = "wrapped_config"
FAMILIES = {False: "decoder_only", True: "encoder_decoder"}


def own_config(kind: str, network: str, wrapped: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of a network that holds a model of the library, whose own configuration is `wrapped`."""
    return {"architectures": [network], "model_type": f"{OWN_TYPE}{kind}", WRAPPED: dict(wrapped)}


def kind_of(config: Mapping[str, Any]) -> str | None:
    """What a network with a type of its own is (`discriminator`); None for a model of the library."""
    kind = str(config.get("model_type", ""))
    return kind.removeprefix(OWN_TYPE) if kind.startswith(OWN_TYPE) else None


def wrapped_in(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of the model of the library that a network holds, or is; empty where the file lacks it."""
    if kind_of(config) is None:
        return config
    inner = config.get(WRAPPED)
    return inner if isinstance(inner, Mapping) else {}


def is_encoder(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of an encoder alone; the library would load some as poor decoders."""
    writes = any(mark in name for name in config.get("architectures") or [] for mark in ("CausalLM", "LMHead"))
    return config.get("model_type") in ENCODERS and not config.get("is_encoder_decoder") and not writes


def unfit(config: Mapping[str, Any], family: str, scores: bool = False) -> str | None:
    """Why a network cannot be a generator of this family, and what to do; None where it can. scores: it has a head that
    scores texts."""
    own, config = kind_of(config), wrapped_in(config)
    kind = config.get("model_type")
    if scores or is_encoder(config):
        return (
            f"an encoder ({kind}), such as a discriminator or an embedder, which writes no text; a generator of "
            f"'family: {family}' is needed: point to the generator's folder"
        )
    if own:
        return (
            f"not a generator by itself but a part ({own}) around a {kind}; point to the folder of a generator of "
            f"'family: {family}'"
        )
    found = FAMILIES[bool(config.get("is_encoder_decoder"))]
    if found != family:
        return (
            f"a {found} model ({kind}), but the model's YAML says 'family: {family}'; set 'family: {found}' there or "
            "point it to another model"
        )
    # Batched decoding relies on T5's relative positions: rows that end at different places share their columns.
    if family == "encoder_decoder" and "relative_attention_num_buckets" not in config:
        return (
            f"an encoder-decoder of type {kind!r}; of the encoder-decoders only T5 and its relatives work (FLAN-T5, mT5): "
            "point the model's YAML to one of these, or to a decoder-only model"
        )
    return None


def described(folder: str | Path) -> dict[str, Any] | None:
    """What a model folder's config.json holds; None where there is none that can be read."""
    try:
        found = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def check_generator(folder: str | Path, family: str) -> str | None:
    """Why the model in this folder cannot be a generator of this family, with the file's name; None where nothing is known
    against it."""
    config = described(folder)
    reason = unfit(config, family) if config and family != "encoder" else None
    return f"{Path(folder) / 'config.json'}: {reason}" if reason else None
