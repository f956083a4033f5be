"""Folders of models, as the Hub has them."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, path: str | Path) -> None:
    """Write model (safetensors) and tokenizer into a folder."""
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
