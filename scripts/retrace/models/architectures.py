"""The supported architectures of generators, and whether a network fits its model YAML.

Both are determined from config.json alone, without importing transformers, so a plan can be rejected before its first job.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# `model_type` in config.json, and the names of its models. Each is tested in tests/unit/models/test_model_families.py.
DECODER_ONLY = {
    "apertus": "Apertus",
    "arcee": "Arcee",
    "bloom": "BLOOM",
    "codegen": "CodeGen",
    "cohere": "Command R",
    "cohere2": "Command R7B, Command A",
    "ernie4_5": "ERNIE 4.5",
    "exaone4": "EXAONE 4",
    "falcon": "Falcon",
    "gemma": "Gemma",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3 (text)",
    "glm": "GLM",
    "glm4": "GLM-4",
    "gpt2": "GPT-2",
    "gpt_bigcode": "StarCoder",
    "gpt_neo": "GPT-Neo",
    "gpt_neox": "GPT-NeoX, Pythia",
    "gptj": "GPT-J",
    "granite": "Granite",
    "granitemoe": "Granite MoE",
    "helium": "Helium",
    "hunyuan_v1_dense": "Hunyuan (dense)",
    "llama": "Llama, SmolLM2",
    "ministral": "Ministral",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "mpt": "MPT",
    "nemotron": "Nemotron",
    "olmo": "OLMo",
    "olmo2": "OLMo 2",
    "olmo3": "OLMo 3",
    "olmoe": "OLMoE",
    "opt": "OPT",
    "persimmon": "Persimmon",
    "phi": "Phi-1.5, Phi-2",
    "phi3": "Phi-3, Phi-3.5, Phi-4",
    "qwen2": "Qwen2, Qwen2.5",
    "qwen2_moe": "Qwen2 MoE",
    "qwen3": "Qwen3",
    "qwen3_moe": "Qwen3 MoE",
    "seed_oss": "Seed-OSS",
    "smollm3": "SmolLM3",
    "stablelm": "StableLM",
    "starcoder2": "StarCoder2",
}
# Their decoders use only the distance between positions. Batched decoding relies on this, because rows that end at
# different places share columns.
ENCODER_DECODER = {"mt5": "mT5", "t5": "T5, FLAN-T5, ByT5", "umt5": "UMT5"}
FAMILIES = {"decoder_only": DECODER_ONLY, "encoder_decoder": ENCODER_DECODER}

ENCODERS = {"albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet"}
ENCODERS |= {"roberta", "xlm-roberta", *ENCODER_DECODER}  # T5's encoder alone is not an encoder-decoder
_WRITERS = ("CausalLM", "LMHead", "ConditionalGeneration")
_JUDGES = ("Classification", "QuestionAnswering", "RewardModel", "MultipleChoice")
_SENSES = ("vision_config", "audio_config", "image_token_id", "image_token_index", "video_token_id")
# A network that contains a model of the library has its own type, `retrace_KIND`. The library does not know this type and
# rejects the folder; with the inner model's type, it would load that model with random weights.
OWN_TYPE = "retrace_"
WRAPPED = "wrapped_config"


def own_config(kind: str, network: str, wrapped: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of a network that contains a model of the library with the configuration `wrapped`."""
    return {"architectures": [network], "model_type": f"{OWN_TYPE}{kind}", WRAPPED: dict(wrapped)}


def kind_of(config: Mapping[str, Any]) -> str | None:
    """The kind of a network with its own type (`discriminator`); None for a model of the library."""
    kind = str(config.get("model_type", ""))
    return kind.removeprefix(OWN_TYPE) if kind.startswith(OWN_TYPE) else None


def wrapped_in(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of the library's model that a network contains or is; empty if the file lacks it."""
    if kind_of(config) is None:
        return config
    inner = config.get(WRAPPED)
    return inner if isinstance(inner, Mapping) else {}


def is_encoder(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of an encoder without a decoder; the library would load some as poor decoders."""
    writes = any(mark in name for name in _classes(config) for mark in _WRITERS[:2])
    return config.get("model_type") in ENCODERS and not config.get("is_encoder_decoder") and not writes


def unfit(
    config: Mapping[str, Any], family: str, scores: bool = False, yaml_file: str = "the model's YAML"
) -> str | None:
    """Why a network cannot be a generator of this family, and what to do; None if it can.

    Args:
        config: The contents of its config.json.
        family: The family in the model's YAML.
        scores: Whether it has one of our heads that score texts.
        yaml_file: The model's YAML, for the message.
    """
    own, config = kind_of(config), wrapped_in(config)
    kind = config.get("model_type")
    if scores or is_encoder(config):
        return (
            f"an encoder ({kind}), such as a discriminator or an embedder, which does not write text; a generator of "
            f"'family: {family}' is needed: point to the generator's folder"
        )
    if own:
        return (
            f"not a generator by itself but a part ({own}) around a {kind}; point to the folder of a generator of "
            f"'family: {family}'"
        )
    if name := _judge(config):
        return f"a network that classifies texts ({name}) and does not write any; point to the generator's folder"
    if method := config.get("quantization_config"):
        named = method.get("quant_method") if isinstance(method, Mapping) else None
        return (
            f"its weights are quantized ({named or 'quantization_config'}), and quantized weights cannot be trained or "
            "decoded exactly; point the model's YAML to the original model without quantization"
        )
    if sense := next((name for name in _SENSES if config.get(name) is not None), None):
        return (
            f"a model of type {kind!r} that reads more than text ({sense}); point the model's YAML to a text model"
            + (" (Gemma 3 has one of 1B: google/gemma-3-1b-it)" if kind == "gemma3" else "")
        )
    found = "encoder_decoder" if config.get("is_encoder_decoder") else "decoder_only"
    if found != family:
        return (
            f"a model of family {found} ({kind}), but {yaml_file} says 'family: {family}'; set 'family: {found}' there or "
            "point it to another model"
        )
    if kind in FAMILIES[family]:
        return None
    if found == "encoder_decoder":
        return (
            f"an encoder-decoder of type {kind!r}; of encoder-decoders, only T5 and similar models are supported (FLAN-T5, "
            "mT5, ByT5, UMT5): point the model's YAML to one of these, or to a decoder-only model"
        )
    if config.get("auto_map"):
        return (
            f"a model of type {kind!r} with its own code (auto_map), which is never run here; point the model's YAML to a "
            f"supported architecture: {', '.join(sorted(DECODER_ONLY))}"
        )
    return (
        f"a model of type {kind!r}, which is not a supported architecture; point the model's YAML to one of these: "
        f"{', '.join(sorted(DECODER_ONLY))}"
    )


def _classes(config: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in config.get("architectures") or []]


def _judge(config: Mapping[str, Any]) -> str | None:
    """The class of a network that classifies; its head would be ignored, and a random one might be created."""
    names = _classes(config)
    writes = any(mark in name for name in names for mark in _WRITERS)
    return next((name for name in names if not writes and any(mark in name for mark in _JUDGES)), None)


def described(folder: str | Path) -> dict[str, Any] | None:
    """The contents of a model folder's config.json; None if it is missing or cannot be read."""
    return _object(Path(folder) / "config.json")


def check_generator(folder: str | Path, family: str, yaml_file: str = "the model's YAML") -> str | None:
    """Why the model in this folder cannot be a generator of this family, with the file's name; None if no reason is known.

    yaml_file: the model's YAML, for the message.
    """
    config = described(folder)
    reason = unfit(config, family, yaml_file=yaml_file) if config and family != "encoder" else None
    return f"{Path(folder) / 'config.json'}: {reason}" if reason else None


def lacks_chat_template(folder: str | Path) -> bool:
    """Whether the tokenizer in a folder is known to have no chat template; False if the folder has no tokenizer."""
    folder = Path(folder)
    settings = _object(folder / "tokenizer_config.json")
    if settings is None or settings.get("chat_template"):
        return False
    return not any(folder.glob("chat_template*")) and not (folder / "additional_chat_templates").is_dir()


def _object(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
