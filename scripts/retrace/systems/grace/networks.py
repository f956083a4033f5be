"""Initial networks of discriminator and verifier. GRACE sections 3.2 and 4.2."""

import sys
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.models.encoder_head import add_separators, encoder_from_pretrained, scratch_encoder
from retrace.models.load import ensure_pad, load_config, load_tokenizer, resize_embeddings
from retrace.systems.grace.options import DiscriminatorTraining, VerifierTraining
from retrace.tasks.base import Task


def make_network(
    cls: type,
    options: DiscriminatorTraining | VerifierTraining,
    generator: str | Path,
    task: Task,
    seed: int,
    **settings: Any,
) -> Any:
    """A network of class `cls` before training: a pretrained backbone, or a fresh encoder beside the generator.

    backbone `scratch`: a T5 encoder with the generator's tokenizer, in the generator's sizes unless the options give
    others. `generator`: the generator's own encoder, a fresh one where it has none. Otherwise a model folder or a
    Hub id, whose tokenizer gets [CLS], [SEP] and the calculator's brackets where it lacks them, as the official code
    does.
    """
    backbone = options.backbone
    if backbone == "generator" and not load_config(generator).is_encoder_decoder:
        print(f"note: {generator} has no encoder of its own; a fresh one of its sizes is trained", file=sys.stderr)
        backbone = "scratch"
    if backbone == "scratch":
        tokenizer = load_tokenizer(generator)
        sizes = load_config(generator)
        width = options.width if options.width > 0 else sizes.hidden_size
        layers = options.layers if options.layers > 0 else sizes.num_hidden_layers
        heads = sizes.num_attention_heads
        feedforward = getattr(sizes, "d_ff", None) or getattr(sizes, "n_inner", None) or 4 * width
        if width % heads:
            raise UserError(f"width {width} is no multiple of the generator's {heads} heads; choose another width")
        add_separators(tokenizer, brackets=False)
        encoder = scratch_encoder(tokenizer, width, layers, heads, feedforward, 0.0, seed)
    else:
        from retrace.models.hub import local_folder

        folder = Path(generator) if backbone == "generator" else local_folder(backbone)
        tokenizer = load_tokenizer(folder)
        add_separators(tokenizer, brackets=task.config.calculator)
        encoder = encoder_from_pretrained(folder)
        if len(tokenizer) > encoder.get_input_embeddings().num_embeddings:
            resize_embeddings(encoder, len(tokenizer))
    ensure_pad(tokenizer)
    positions = getattr(encoder.config, "max_position_embeddings", None)
    limit = min(options.max_length, positions) if positions else options.max_length
    return cls(encoder, tokenizer, max_length=limit, **settings)
