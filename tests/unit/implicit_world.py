"""Tiny models and rows of 2 x 2 multiplication for the tests of implicit chain of thought."""

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from retrace.machine.storage import write_jsonl
from retrace.models.scratch import build_word_tokenizer
from retrace.schemas import Example
from retrace.systems.icot.networks import Coupled, Emulator, Student
from retrace.tasks.base import Task
from retrace.tasks.load import load_task
from retrace.tasks.multiplication_pairs import generate
from retrace.training.separated_rows import SeparatedRows, read_rows

CONFIG = Path(__file__).parents[2] / "config"
FAMILIES = ["gpt2", "llama"]
LAYERS, WIDTH = 3, 16


def task(digits: int = 2) -> Task:
    return load_task(f"mult_{digits}x{digits}", CONFIG)


def tokenizer():
    return build_word_tokenizer(task().words, "decoder_only")


def base(
    family: str = "gpt2",
    layers: int = LAYERS,
    width: int = WIDTH,
    seed: int = 0,
    positions: int = 64,
    spread: float = 0.3,
):
    """A random decoder-only model; with the default spread of its weights the outputs differ visibly from input to input."""
    words = tokenizer()
    shared = {
        "bos_token_id": words.eos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if family == "gpt2":
            config = GPT2Config(
                vocab_size=len(words), n_positions=positions, n_embd=width, n_layer=layers, n_head=2, **shared
            )
            model = GPT2LMHeadModel(config)
        else:
            config = LlamaConfig(
                vocab_size=len(words),
                max_position_embeddings=positions,
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=layers,
                num_attention_heads=2,
                **shared,
            )
            model = LlamaForCausalLM(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=spread)
    return model.eval()


def coupled(family: str = "gpt2", **sizes) -> Coupled:
    torch.manual_seed(1)
    emulator, student = Emulator(base(family, seed=2, **sizes)), Student(base(family, seed=3, **sizes))
    return Coupled(emulator, student).eval()


def examples(count: int, split: str = "train", digits: int = 2) -> list[Example]:
    return list(generate(split, count, 1, digits))


def rows_of(folder: Path, found: list[Example], digits: int = 2, name: str = "train") -> SeparatedRows:
    """The examples as rows, by way of a file."""
    write_jsonl(folder / f"{name}.jsonl", found)
    return read_rows(folder / f"{name}.jsonl", task(digits), tokenizer(), 512)


def save_base(folder: Path, family: str = "gpt2", **sizes) -> Path:
    base(family, **sizes).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
