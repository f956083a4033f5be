"""Check that a network fits its model YAML, from config.json alone, without importing transformers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENCODERS = {"albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet"}
ENCODERS |= {"roberta", "xlm-roberta", "t5", "mt5"}  # T5's encoder alone is no encoder-decoder
FAMILIES = {False: "decoder_only", True: "encoder_decoder"}


def is_encoder(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of an encoder alone; the library would load some as poor decoders."""
    writes = any(mark in name for name in config.get("architectures") or [] for mark in ("CausalLM", "LMHead"))
    return config.get("model_type") in ENCODERS and not config.get("is_encoder_decoder") and not writes


def unfit(config: Mapping[str, Any], family: str, scores: bool = False) -> str | None:
    """Why a network cannot be a generator of this family, and what to do; None where it can. scores: it has a head that
    scores texts."""
    kind = config.get("model_type")
    if scores or is_encoder(config):
        return (
            f"an encoder ({kind}), such as a discriminator or an embedder, which writes no text; a generator of "
            f"'family: {family}' is needed: point to the generator's folder"
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
