"""What a judge's body needs to know of the network that it starts from: is it causal, and which layers are kept."""

from pathlib import Path
from typing import Any

import torch
from transformers.modeling_utils import PreTrainedModel

from retrace.errors import UserError
from retrace.models.architectures import DECODER_ONLY

# Lists in configurations with an entry for each layer.
_BY_LAYER = ("layer_types", "mlp_layer_types", "no_rope_layers", "attention_layers")


def is_causal(config: Any) -> bool:
    """Whether each position of a network sees the positions before it only."""
    return config.model_type in DECODER_ONLY


def output_width(config: Any) -> int:
    """Width of a network's last hidden state; some OPT models project it back to that of their embeddings."""
    return getattr(config, "word_embed_proj_dim", None) or config.hidden_size


def keep_lower_layers(config: Any, layers: int, path: str | Path) -> Any:
    """The configuration with the first `layers` layers only; all of them where `layers` is not above 0.

    Raises UserError where the network has fewer.
    """
    total = config.num_hidden_layers
    if layers <= 0 or layers == total:
        return config
    if layers > total:
        raise UserError(
            f"layers {layers}: the backbone {path} has {total}; set layers to at most {total}, or -1 for all"
        )
    by_layer = {name: list(getattr(config, name, None) or [])[:layers] for name in _BY_LAYER}
    if hasattr(config, "attention_types"):  # GPT-Neo: what its `attention_layers` are made from
        config.attention_types = [[by_layer["attention_layers"], 1]]
    for name, kept in by_layer.items():
        if kept:
            setattr(config, name, kept)
    config.num_hidden_layers = layers
    return config


def start_at_mean(network: PreTrainedModel, known: int, tokens: list[int]) -> None:
    """Set the embeddings of tokens that the network never read to the mean of the `known` first ones."""
    if tokens:
        with torch.no_grad():
            weight = network.get_input_embeddings().weight
            weight[tokens] = weight[:known].float().mean(0).to(weight.dtype)


def moved_left(input_ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both [batch, positions], with the padding of each row behind its tokens.

    A causal network counts positions from the first column and never looks back from a token to the padding behind it,
    so that a row gives the same numbers wherever it was padded.
    """
    order = mask.eq(0).int().argsort(dim=1, stable=True)
    return input_ids.gather(1, order), mask.gather(1, order)
