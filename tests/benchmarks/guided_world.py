"""A generator and a discriminator with random weights that write steps of sensible lengths, for benchmarks and tests.

The last layer's bias makes delimiter, answer marker and end token about as frequent as in real solutions.
"""

from pathlib import Path
from typing import Any

import torch

from retrace.decoding.engine import Decoder
from retrace.decoding.setup import Generator
from retrace.models.discriminator import StepDiscriminator
from retrace.models.encoder_head import scratch_encoder
from retrace.models.options import ModelConfig, ScratchModel
from retrace.models.scratch import build_model, build_tokenizer
from retrace.prompting.prompting import Prompting
from retrace.schemas import Example
from retrace.tasks.arithmetic import generate
from retrace.tasks.base import Task
from retrace.tasks.options import TaskConfig

SIZES = {
    "tiny": {"width": 128, "layers": 3, "heads": 4, "feedforward": 256},
    "small": {"width": 32, "layers": 2, "heads": 2, "feedforward": 32},
    # google/flan-t5-large: its shape, its vocabulary; gated activations are left out
    "flan_t5_large": {"width": 1024, "layers": 24, "heads": 16, "feedforward": 2816, "vocabulary": 32128},
}


def make_examples(count: int, seed: int = 5) -> list[Example]:
    """Arithmetic word problems."""
    return list(generate("test", count, seed))


def make_generator(
    size: str = "tiny", family: str = "encoder_decoder", device: str = "cpu", dtype: str = "float32", seed: int = 0
) -> Generator:
    """A generator with random weights on arithmetic."""
    config = TaskConfig(
        name="arithmetic", title="Arithmetic", family="word_problems", format="generated",
        splits={"test": {"generator": "arithmetic", "count": 8}}, answer_prompt="" if family[0] == "e" else "A:",
    )  # fmt: skip
    task = Task(config, Path("arithmetic.yaml"))
    texts = [text for example in make_examples(300) for text in (example.question, task.solution_text(example))]
    tokenizer = build_tokenizer(texts, task.delimiter, 330, "whole", family)
    scratch = ScratchModel(**{"numbers": "whole", **SIZES[size]})
    model = build_model(scratch, family, tokenizer, seed)
    if "vocabulary" in SIZES[size]:
        model.resize_token_embeddings(SIZES[size]["vocabulary"])
    _bias_head(model, tokenizer, task.delimiter)
    model = model.to(getattr(torch, dtype))
    model_config = ModelConfig(name="random", title="random weights", family=family, scratch=scratch, dtype=dtype)
    decoder = Decoder(model, tokenizer, family, device)
    return Generator(task, model_config, decoder, None, Prompting(task, family, tokenizer))


def _bias_head(model: Any, tokenizer: Any, delimiter: str) -> None:
    """Give the output layer a bias: a fresh network's next token is nearly uniform."""
    old = model.get_output_embeddings()
    head = torch.nn.Linear(old.in_features, old.out_features)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        torch.nn.init.normal_(head.weight, std=3.0 / old.in_features**0.5)
        torch.nn.init.normal_(head.bias, std=1.0)
        head.bias[len(tokenizer) :] = -30.0
        free = head.bias.exp().sum().log()
        for text, share in ((delimiter, 0.12), ("####", 0.02)):
            head.bias[tokenizer.convert_tokens_to_ids(text)] = free + torch.tensor(share).log()
        head.bias[tokenizer.eos_token_id] = free + torch.tensor(0.03).log()
    model.config.tie_word_embeddings = False
    model.set_output_embeddings(head)


def make_discriminator(
    generator: Generator, size: str = "tiny", device: str = "cpu", dtype: str = "float32", seed: int = 1
) -> StepDiscriminator:
    """A discriminator with random weights that reads the generator's tokens."""
    shape = SIZES[size]
    tokenizer = generator.decoder.tokenizer
    encoder = scratch_encoder(
        tokenizer, shape["width"], shape["layers"], shape["heads"], shape["feedforward"], 0.0, seed
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = StepDiscriminator(encoder, tokenizer, pooling="mean", pool_step_only=True, max_length=512)
        torch.nn.init.normal_(network.out_linear2.weight, std=0.3)  # scores that differ
    return network.to(device, getattr(torch, dtype)).eval()
