"""Initial networks of discriminator and verifier. GRACE sections 3.2 and 4.2."""

import os
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.models.backbones import is_causal, start_at_mean
from retrace.models.encoder_head import EncoderHead, add_separators, encoder_from_pretrained, scratch_encoder
from retrace.models.load import ensure_pad, load_config, load_tokenizer, resize_embeddings
from retrace.models.packaged import PACKAGED, packaged_folder, packaged_record
from retrace.systems.grace.options import JudgeTraining
from retrace.tasks.base import Task
from retrace.training.adapters import merged, with_adapters
from retrace.yaml_files import closest

OPTION = "--backbone"


def make_network(
    cls: type,
    options: JudgeTraining,
    generator: str | Path,
    task: Task,
    seed: int,
    **settings: Any,
) -> Any:
    """A network of class `cls` before training.

    Args:
        cls: StepDiscriminator or Verifier.
        options: Which backbone to start from. `scratch`: a new T5 encoder with the generator's tokenizer, in the
            generator's sizes unless the options give others. `generator`: the generator's encoder, or the layers of a
            decoder-only generator. `minilm`: the encoder in the package. Otherwise a model folder or a Hub id.
            [CLS], [SEP] and the calculator's brackets are added to the tokenizer of a pretrained backbone if it lacks
            them, as in the official code. With `lora_rank` the backbone gets adapters (see `merge_adapters`).
        generator: Folder of the generator.
        task: The task.
        seed: Seed of new weights.
        settings: Further settings of the class; they override the options' pooling.

    Raises:
        UserError: If the options do not fit together, or the backbone is unknown or cannot be read.
    """
    settings = {"pooling": options.pooling, "pool_step_only": options.pool_step_only} | settings
    body = _scratch_body if options.backbone == "scratch" else _pretrained_body
    encoder, tokenizer, new = body(options, generator, task, seed)
    ensure_pad(tokenizer)
    causal = is_causal(encoder.config)
    if causal and settings["pooling"] == "cls":
        raise UserError(
            f"pooling cls: the backbone {options.backbone} is a decoder-only network, whose first position does not see "
            "the step; set pooling to last, mean or max"
        )
    positions = getattr(encoder.config, "max_position_embeddings", None)
    limits = [options.max_length, positions, tokenizer.model_max_length if causal else None]
    encoder = with_adapters(encoder, options, "encoder", seed, new)
    return cls(encoder, tokenizer, max_length=min(limit for limit in limits if limit), **settings)


def merge_adapters(network: EncoderHead) -> None:
    """Merge a trained network's adapters, if any, into its weights, in place, so that the saved folder is complete."""
    network.model = merged(network.model)


def backbone_record(options: JudgeTraining) -> dict[str, str] | None:
    """Name, package, version and checksum of a backbone from a Python package; None for other backbones."""
    return packaged_record(options.backbone, OPTION) if options.backbone in PACKAGED else None


def _scratch_body(options: JudgeTraining, generator: str | Path, task: Task, seed: int) -> tuple[Any, Any, list[int]]:
    """A new encoder, the generator's tokenizer, and an empty list in place of the ids of added tokens."""
    if options.lora_rank:
        raise UserError(
            f"lora_rank {options.lora_rank}: adapters leave the random weights of backbone scratch as they are; set "
            "lora_rank to 0, or backbone to generator"
        )
    tokenizer = load_tokenizer(generator)
    sizes = load_config(generator)
    width = options.width if options.width > 0 else sizes.hidden_size
    layers = options.layers if options.layers > 0 else sizes.num_hidden_layers
    heads = sizes.num_attention_heads
    feedforward = getattr(sizes, "d_ff", None) or getattr(sizes, "n_inner", None) or 4 * width
    if width % heads:
        raise UserError(f"width {width} is no multiple of the generator's {heads} heads; choose another width")
    add_separators(tokenizer, brackets=False)
    return scratch_encoder(tokenizer, width, layers, heads, feedforward, 0.0, seed), tokenizer, []


def _pretrained_body(
    options: JudgeTraining, generator: str | Path, task: Task, seed: int
) -> tuple[Any, Any, list[int]]:
    """The backbone, its tokenizer, and the ids of the tokens that were added."""
    folder = _folder_of(options.backbone, generator)
    tokenizer = load_tokenizer(folder)
    causal = is_causal(load_config(folder))
    known = len(tokenizer)
    add_separators(tokenizer, brackets=task.config.calculator, causal=causal)
    # If only adapters are trained, the frozen weights keep the type that they have in the folder.
    encoder = encoder_from_pretrained(folder, options.layers, "auto" if options.lora_rank else "float32")
    if len(tokenizer) > encoder.get_input_embeddings().num_embeddings:
        resize_embeddings(encoder, len(tokenizer))
    new = list(range(known, len(tokenizer)))
    if causal:
        start_at_mean(encoder, known, new)
    return encoder, tokenizer, new


def _folder_of(backbone: str, generator: str | Path) -> Path:
    """Folder of a pretrained backbone. Raises UserError if the name is neither known nor a folder or a Hub id."""
    if backbone == "generator":
        return Path(generator)
    if backbone in PACKAGED and not os.path.isdir(backbone):
        return packaged_folder(backbone, OPTION)
    if "/" not in backbone and not os.path.exists(backbone):
        known = ["generator", "scratch", *PACKAGED]
        raise UserError(
            f"{OPTION} {backbone[:80]!r} is unknown; {closest(backbone, known)}; or a folder, or a Hub id (OWNER/NAME)"
        )
    from retrace.models.hub import local_folder

    return local_folder(backbone)
