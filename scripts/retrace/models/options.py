"""A model's YAML: where the model comes from, or its sizes if it is trained from scratch."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from retrace.errors import UserError
from retrace.sections import Count, Name, Section, Share
from retrace.yaml_files import read_named


class ScratchModel(Section):
    """Sizes of a model that is trained from scratch."""

    width: Count = 128
    layers: Count = 3
    heads: Count = 4
    feedforward: Count = 256
    activation: Literal["relu", "gated-gelu"] = Field(
        default="gated-gelu", description="activation of T5's feed-forward layers"
    )
    positions: Count = Field(default=512, description="maximum input length in tokens")
    vocabulary: Count = Field(
        default=2000, description="maximum number of tokens of the tokenizer, which is trained on the task"
    )
    dropout: Share = Field(default=0.0, description="worth raising if the task has few training questions")
    numbers: Literal["whole", "digits"] = Field(
        default="digits", description="whole: one token per number from 0 to 99; digits: one token per digit"
    )


class ModelConfig(Section):
    """A base model: config/models/NAME.yaml."""

    name: Name
    title: str
    family: Literal["encoder_decoder", "decoder_only", "encoder"] = Field(
        description="encoder: embeds or judges steps but does not write them (an embedder, or a released discriminator)"
    )
    hub: str | None = Field(default=None, description="Hub id, for instance google/flan-t5-large")
    revision: str | None = Field(
        default=None, description="commit on the Hub; the first download records the commit that it resolves to"
    )
    file: str | None = Field(default=None, description="a local folder in the Hugging Face layout instead of the Hub")
    scratch: ScratchModel | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    chat: bool = Field(default=False, description="format questions with the tokenizer's chat template")
    generator: Literal["sft", "base"] = Field(
        default="sft", description="checkpoint that the methods use: fine-tuned, or frozen"
    )
    demonstrations: int = Field(default=0, ge=0, description="worked examples in the prompt of the frozen model")
    parameters: float | None = Field(default=None, description="number of parameters, for estimates")
    paper_names: list[str] = Field(default=[], description="this model's names in the papers' tables")
    license_note: str = Field(default="", description="what to do if the weights are gated")


def load_model_config(path: str | Path) -> ModelConfig:
    """Read a model's YAML, which must have exactly one of hub, file and scratch."""
    model = read_named(ModelConfig, path)
    if sum(value is not None for value in (model.hub, model.file, model.scratch)) != 1:
        raise UserError(f"{path}: set exactly one of `hub`, `file` and `scratch`")
    return model
