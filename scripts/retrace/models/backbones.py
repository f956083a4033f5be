"""Helpers for the network inside a discriminator or verifier: causality, number of layers, new tokens, padding."""

from pathlib import Path
from typing import Any

import torch
from transformers.modeling_utils import PreTrainedModel

from retrace.errors import UserError
from retrace.models.architectures import DECODER_ONLY

# Options of configurations that list a value for each layer.
_BY_LAYER = ("layer_types", "mlp_layer_types", "no_rope_layers", "attention_layers")


def is_causal(config: Any) -> bool:
    """Whether each position of the network attends only to earlier positions and itself."""
    return config.model_type in DECODER_ONLY


def output_width(config: Any) -> int:
    """Width of the network's output. Some OPT models project it to the width of their embeddings."""
    return getattr(config, "word_embed_proj_dim", None) or config.hidden_size


def keep_lower_layers(config: Any, layers: int, path: str | Path) -> Any:
    """The configuration, changed in place to keep only the first `layers` layers; -1 or 0 keeps all.

    Raises UserError if the network has fewer layers.
    """
    total = config.num_hidden_layers
    if layers <= 0 or layers == total:
        return config
    if layers > total:
        raise UserError(
            f"layers {layers}: the backbone {path} has {total}; set layers to at most {total}, or -1 for all"
        )
    by_layer = {name: list(getattr(config, name, None) or [])[:layers] for name in _BY_LAYER}
    if hasattr(config, "attention_types"):  # GPT-Neo derives `attention_layers` from it
        config.attention_types = [[by_layer["attention_layers"], 1]]
    for name, kept in by_layer.items():
        if kept:
            setattr(config, name, kept)
    config.num_hidden_layers = layers
    return config


def start_at_mean(network: PreTrainedModel, known: int, tokens: list[int]) -> None:
    """Set the embeddings of new tokens to the mean of the first `known` embeddings."""
    if tokens:
        with torch.no_grad():
            weight = network.get_input_embeddings().weight
            weight[tokens] = weight[:known].float().mean(0).to(weight.dtype)


def moved_left(input_ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both [batch, positions], with the padding moved to the right of each row.

    A causal network counts positions from the first column, and no token attends to padding on its right. So the result
    does not depend on the side that was padded.
    """
    order = mask.eq(0).int().argsort(dim=1, stable=True)
    return input_ids.gather(1, order), mask.gather(1, order)
