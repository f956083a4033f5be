"""What the check of a GPU works on: random models of the papers' architectures, tokenizers and data, all made here.

A model has its architecture's own width, heads and vocabulary and fewer layers; at toy size it is small in every way, for
a machine without a GPU. Tokenizers are trained on the data and filled up with made-up words to the model's vocabulary.
"""

import argparse
import inspect
import json
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM as Causal
from transformers import AutoModelForSeq2SeqLM as Seq2Seq
from transformers import (
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
)

from retrace.machine.storage import write_jsonl
from retrace.models.scratch import build_tokenizer
from retrace.schemas import Example, MarkedAnswer, Pair, Preference, TeacherRationale, Trajectory
from retrace.tasks.arithmetic import generate
from retrace.tasks.load import load_task
from retrace.tasks.multiplication_pairs import generate as multiply

PROJECT = Path(__file__).resolve().parents[2]
TASK_FILE = PROJECT / "config/tasks/arithmetic.yaml"
ICOT_FILE = PROJECT / "config/tasks/mult_2x2.yaml"
LIGHT_VOCABULARY = 32128
FAMILIES = {
    "flan_t5": "encoder_decoder",
    "llama3": "decoder_only",
    "phi35": "decoder_only",
    "gptj": "decoder_only",
    "gpt2": "decoder_only",
}


def config_of(name: str, toy: bool, vocabulary: int, **ids: int) -> PreTrainedConfig:
    """The architecture's configuration; vocabulary: at toy size, in place of its own. ids: of special tokens."""
    if name == "flan_t5":
        sizes = (
            {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": vocabulary}
            if toy
            else {"d_model": 1024, "d_kv": 64, "d_ff": 2816, "num_layers": 4, "num_heads": 16, "vocab_size": 32128}
        )
        return T5Config(**sizes, **ids, feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.1)
    if name in ("llama3", "phi35"):
        llama = name == "llama3"
        if toy:
            sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": vocabulary}
            sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2 if llama else 4}
        elif llama:
            sizes = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 2, "vocab_size": 128256}
            sizes |= {"num_attention_heads": 32, "num_key_value_heads": 8}
        else:
            sizes = {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 2, "vocab_size": 32064}
            sizes |= {"num_attention_heads": 32, "num_key_value_heads": 32}
        if llama:
            rope = {"rope_type": "default", "rope_theta": 500000.0}
            return LlamaConfig(**sizes, **ids, max_position_embeddings=8192, rope_parameters=rope)
        half = sizes["hidden_size"] // sizes["num_attention_heads"] // 2
        rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 4096}
        rope |= {"short_factor": [1.0 + 0.01 * i for i in range(half)], "long_factor": [1.0 + i for i in range(half)]}
        longest = {"max_position_embeddings": 131072, "original_max_position_embeddings": 4096}
        return Phi3Config(**sizes, **ids, **longest, rope_parameters=rope)
    if name == "gptj":
        sizes = (
            {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "vocab_size": vocabulary}
            if toy
            else {"n_embd": 4096, "n_layer": 2, "n_head": 16, "rotary_dim": 64, "vocab_size": 50400}
        )
        return GPTJConfig(**sizes, **ids, n_positions=2048)
    sizes = (
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": vocabulary}
        if toy
        else {"n_embd": 768, "n_layer": 4, "n_head": 12, "vocab_size": 50257}
    )
    return GPT2Config(**sizes, **ids, n_positions=1024)


def filled(tokenizer: PreTrainedTokenizerFast, size: int) -> PreTrainedTokenizerFast:
    """The tokenizer with made-up words up to `size` tokens."""
    plain = json.loads(tokenizer.backend_tokenizer.to_str())
    pieces = plain["model"]["vocab"]
    more = size - len(tokenizer)
    before = len(pieces)
    pieces += [[f"▁zq{number}", -100.0] for number in range(more)]
    for token in plain["added_tokens"]:  # they stand behind the vocabulary
        if token["id"] >= before:
            token["id"] += more
    kept = ("pad_token", "eos_token", "unk_token", "cls_token", "sep_token")
    names = {name: getattr(tokenizer, name) for name in kept}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(plain)), clean_up_tokenization_spaces=False, **names
    )


class World:
    """A folder with data, and models that are made when they are first asked for."""

    def __init__(self, folder: Path, toy: bool) -> None:
        self.folder, self.toy = folder, toy
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.task = load_task(TASK_FILE)
        self.short = list(generate("train", 96, seed=1))
        self.long = [self._long(number) for number in range(16 if toy else 192)]
        self.products = list(multiply("train", 64, 1, 2))
        self.texts = [text for example in self.short for text in (example.question, self.task.solution_text(example))]
        self.texts += [text for example in self.products for text in (example.question, example.answer)]
        self._write_data()

    def _long(self, number: int) -> Example:
        """A question and a solution about as long as those of GSM8K."""
        draw = random.Random(number)
        parts = [draw.choice(self.short) for _ in range(2 if self.toy else 5)]
        steps = [step for part in parts for step in part.steps]
        return parts[-1].model_copy(
            update={
                "id": f"long-{number}",
                "question": " ".join([f"item {number} .", *(part.question for part in parts)]),
                "steps": steps,
                "answer": self.task.join_steps(steps, parts[-1].final_answer),
            }
        )

    def _write_data(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        held = 16
        write_jsonl(self / "train.jsonl", self.short[held:])
        write_jsonl(self / "dev.jsonl", [row.model_copy(update={"split": "dev"}) for row in self.short[:held]])
        write_jsonl(self / "long.jsonl", self.long)
        write_jsonl(self / "few.jsonl", self.long[: 2 if self.toy else 16])
        write_jsonl(self / "icot_train.jsonl", self.products[held:])
        write_jsonl(self / "icot_dev.jsonl", self.products[:held])
        learned, pairs, wrong, preferences, rationales, marks = self.short[held:], [], [], [], [], []
        for number, example in enumerate(learned):
            other = learned[number - 1]
            false = f"<<{number}+1={number + 1}>>"
            part = "dev" if number % 5 == 0 else "train"
            named = {"example_id": example.id, "split": part, "question": example.question}
            pairs.append(Pair(**named, prefix=example.steps[:-1], positive=example.steps[-1], negative=false))
            right, bad = (
                self.task.solution_text(example),
                self.task.join_steps([*example.steps[:-1], false], str(number)),
            )
            preferences.append(Preference(**named, chosen=right, rejected=bad, similarity=0.5))
            about = {"tokens": 9, "logprob": -1.0, "sampling_seed": 0, "example_id": example.id}
            steps = [*other.steps, false]
            wrong.append(Trajectory(**about, text=bad, steps=steps, final_answer="0", correct=False))
            wrong.append(Trajectory(**about, text=right, steps=example.steps, final_answer="0", correct=True))
            verdict = {"mistake": None, "accepted": True, "verdict": "accepted", "responses": 1, "teacher": "oracle"}
            rationales.append(TeacherRationale(example_id=example.id, text=right, **verdict))
            marks.append(MarkedAnswer(example_id=example.id, text=bad, answer="0", correct=False))
        rows = {"pairs": pairs, "trajectories": wrong, "preferences": preferences}
        for name, found in {**rows, "rationales": rationales, "marks": marks}.items():
            write_jsonl(self / f"{name}.jsonl", found)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def tokenizer(self, family: str, size: int | None) -> PreTrainedTokenizerFast:
        made = build_tokenizer(self.texts, self.task.delimiter, 400, "whole", family)
        return made if size is None else filled(made, size)

    def build(
        self, name: str, dtype: torch.dtype, device: str, light: bool = False
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        """A fresh model; always the same weights on a kind of device. light: see `model`."""
        family = FAMILIES[name]
        plain = self.tokenizer(family, None)
        ids = {"pad_token_id": plain.pad_token_id, "eos_token_id": plain.eos_token_id}
        starts = {"bos_token_id": plain.eos_token_id, "decoder_start_token_id": plain.pad_token_id}
        config = config_of(name, self.toy, len(plain), **ids, **starts)
        if light and not self.toy:
            config.num_hidden_layers = min(config.num_hidden_layers, 2)
            config.vocab_size = min(config.vocab_size, LIGHT_VOCABULARY)
        tokenizer = plain if self.toy else self.tokenizer(family, config.vocab_size)
        torch.manual_seed(0)
        kind = Seq2Seq if family == "encoder_decoder" else Causal
        with torch.device(device):
            model = kind.from_config(config, dtype=dtype)
        model.generation_config.update(**ids, decoder_start_token_id=tokenizer.pad_token_id)
        return model.to(device).eval(), tokenizer

    def model(self, name: str, dtype: str = "bfloat16", light: bool = False) -> Path:
        """The folder of a model, and beside it its YAML (`NAME_DTYPE.yaml`).

        light: to be trained. Of a large vocabulary a part: a training writes its state, twelve bytes a weight, to disk.
        """
        folder = self / f"{name}_{dtype}{'_light' if light else ''}"
        if not folder.with_suffix(".yaml").exists():
            model, tokenizer = self.build(name, getattr(torch, dtype), self.device, light)
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            text = f"name: {folder.name}\ntitle: {name}\nfamily: {FAMILIES[name]}\nscratch: {{}}\ndtype: {dtype}\n"
            folder.with_suffix(".yaml").write_text(text)
        return folder

    def embedder(self) -> Path:
        """A random encoder of RoBERTa's shape, at its depth on a GPU."""
        folder = self / "embedder"
        if not folder.exists():
            tokenizer = self.tokenizer("encoder_decoder", None)
            small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
            config = RobertaConfig(
                vocab_size=len(tokenizer), pad_token_id=0, max_position_embeddings=514, **(small if self.toy else {})
            )
            torch.manual_seed(0)
            RobertaModel(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return folder


def words(**options: object) -> list[str]:
    """Command-line words; a list becomes several words, None leaves the option out."""
    said: list[str] = []
    for name, value in options.items():
        if value is not None:
            values = value if isinstance(value, list | tuple) else [value]
            said += [f"--{name.replace('_', '-')}", *map(str, values)]
    return said


def has_option(main: object, option: str) -> bool:
    """Whether a script's options have this one (by the sections that its command line is made of)."""
    sections = [value for value in vars(inspect.getmodule(main)).values() if hasattr(value, "model_fields")]
    return any(option in section.model_fields for section in sections)


def quietly(main: object, arguments: Sequence[str]) -> None:
    """Run a script's main in this process."""
    try:
        main(list(arguments))  # type: ignore[operator]
    except SystemExit as error:
        raise RuntimeError(f"ended with {error.code}") from None
    except argparse.ArgumentError as error:
        raise RuntimeError(str(error)) from None
