"""Tiny random models of every family, each with a tokenizer of its kind, in folders as a user has them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase

from unit.model_folders import save_model
from unit.tiny_models import arithmetic_task, problems

POSITIONS = 160
SPARE = 3  # more rows of the embedding than tokens, as published models have
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + "
    "' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else "
    "message['role']) + '\\n' + message['content'] + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)


@lru_cache
def corpus() -> tuple[str, ...]:
    """The texts that the tokenizers are trained on."""
    task = arithmetic_task()
    return tuple(
        text
        for problem in problems(60)
        for text in (
            f"Q: {problem.question} A:",
            task.solution_text(problem),
            "Let's think step by step. The answer is 3",
        )
    )


@lru_cache
def byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level tokenizer."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=360, initial_alphabet=alphabet, show_progress=False)
    )
    return _pairs_of(made)


@lru_cache
def word_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a sentencepiece-like tokenizer with bytes to fall back on, without special tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    made.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=240, show_progress=False))
    return _pairs_of(made)


def _pairs_of(made: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    found = json.loads(made.to_str())["model"]
    return found["vocab"], [tuple(pair) for pair in found["merges"]]


def _behind(specials: list[str], vocabulary: dict[str, int]) -> dict[str, int]:
    """A vocabulary with special tokens and all bytes in front."""
    tokens = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), *sorted(vocabulary, key=vocabulary.get)]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def gpt2_tokenizer() -> PreTrainedTokenizerBase:
    vocabulary, merges = byte_pairs()
    vocabulary = vocabulary | {"<|endoftext|>": len(vocabulary)}
    return transformers.GPT2Tokenizer(vocab=vocabulary, merges=merges)


def neox_tokenizer() -> PreTrainedTokenizerBase:
    vocabulary, merges = byte_pairs()
    vocabulary = vocabulary | {"<|endoftext|>": len(vocabulary)}
    return transformers.GPTNeoXTokenizer(vocab=vocabulary, merges=merges, pad_token=None)


def qwen_tokenizer() -> PreTrainedTokenizerBase:
    """As the instruction-tuned ones: turns end in another token than texts."""
    vocabulary, merges = byte_pairs()
    made = transformers.Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    made.chat_template = CHATML
    return made


def llama3_tokenizer() -> PreTrainedTokenizerBase:
    """Byte-level, with a start token in front and neither padding nor unknown token."""
    vocabulary, merges = byte_pairs()
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", add_bos_token=True
    )


def llama_tokenizer(**options: Any) -> PreTrainedTokenizerBase:
    """As Llama 2's and Mistral's: a space in front of every text, a start token, bytes for what is unknown."""
    vocabulary, merges = word_pairs()
    vocabulary = _behind(["<unk>", "<s>", "</s>"], vocabulary)
    made = transformers.LlamaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True, **options)
    made.chat_template = LLAMA_CHAT
    return made


def gemma_tokenizer() -> PreTrainedTokenizerBase:
    vocabulary, merges = word_pairs()
    vocabulary = _behind(["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"], vocabulary)
    made = transformers.GemmaTokenizer(
        vocab=vocabulary,
        merges=merges,
        add_bos_token=True,
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
    )
    made.chat_template = GEMMA_CHAT
    return made


def t5_tokenizer() -> PreTrainedTokenizerBase:
    """Unigram pieces without '<', as the published ones; texts end in </s>."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Replace("<", "")
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        corpus(),
        trainers.UnigramTrainer(
            vocab_size=200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
        ),
    )
    pieces = [tuple(piece) for piece in json.loads(made.to_str())["model"]["vocab"]]
    held = {piece for piece, _ in pieces}
    pieces += [(piece, -12.0) for piece in ["|", "#", "####", "▁", *"0123456789"] if piece not in held]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=4)


def byt5_tokenizer() -> PreTrainedTokenizerBase:
    return transformers.ByT5Tokenizer(extra_ids=4)


_WIDE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
}
_SHARED = _WIDE | {"num_key_value_heads": 2}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
_T5 |= {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 16}
_GEMMA = _SHARED | {"head_dim": 8}
_SLIDING = {"layer_types": ["sliding_attention", "full_attention"]}


@dataclass(frozen=True)
class Kind:
    """A family: the class of its configuration, its sizes, its tokenizer."""

    config: str
    sizes: dict[str, Any]
    tokenizer: Callable[[], PreTrainedTokenizerBase]
    family: str = "decoder_only"

    @property
    def chats(self) -> bool:
        """Whether its tokenizer has a chat template."""
        return self.tokenizer in (qwen_tokenizer, llama_tokenizer, gemma_tokenizer)


KINDS = {
    "llama": Kind("LlamaConfig", _SHARED, llama_tokenizer),
    "llama3": Kind("LlamaConfig", _SHARED | {"tie_word_embeddings": True}, llama3_tokenizer),
    "mistral": Kind("MistralConfig", _SHARED | {"sliding_window": 8}, llama_tokenizer),
    "qwen2": Kind("Qwen2Config", _SHARED | {"tie_word_embeddings": True}, qwen_tokenizer),
    "qwen3": Kind("Qwen3Config", _SHARED | {"head_dim": 16}, qwen_tokenizer),
    "gemma": Kind("GemmaConfig", _GEMMA, gemma_tokenizer),
    "gemma2": Kind(
        "Gemma2Config",
        _GEMMA | {"sliding_window": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 400.0},
        gemma_tokenizer,
    ),
    "gemma3": Kind(
        "Gemma3TextConfig", _GEMMA | _SLIDING | {"sliding_window": 8, "query_pre_attn_scalar": 8}, gemma_tokenizer
    ),
    "phi": Kind("PhiConfig", _WIDE, gpt2_tokenizer),
    "phi3": Kind("Phi3Config", _WIDE | {"sliding_window": 8, "num_key_value_heads": 4}, llama_tokenizer),
    "gpt2": Kind("GPT2Config", _GPT, gpt2_tokenizer),
    "gptj": Kind("GPTJConfig", _GPT | {"rotary_dim": 4}, gpt2_tokenizer),
    "gpt_neo": Kind(
        "GPTNeoConfig",
        {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": POSITIONS, "window_size": 8}
        | {"attention_types": [[["global", "local"], 1]]},
        gpt2_tokenizer,
    ),
    "gpt_neox": Kind("GPTNeoXConfig", _WIDE, neox_tokenizer),
    "smollm2": Kind("LlamaConfig", _SHARED | {"tie_word_embeddings": True}, qwen_tokenizer),
    "smollm3": Kind("SmolLM3Config", _SHARED | {"no_rope_layers": [1, 0]}, qwen_tokenizer),
    "olmo2": Kind("Olmo2Config", _SHARED, gpt2_tokenizer),
    "granite": Kind("GraniteConfig", _SHARED | {"logits_scaling": 4.0}, gpt2_tokenizer),
    "starcoder2": Kind("Starcoder2Config", _SHARED | {"sliding_window": 8}, gpt2_tokenizer),
    "stablelm": Kind("StableLmConfig", _SHARED, neox_tokenizer),
    "opt": Kind(
        "OPTConfig",
        {
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "word_embed_proj_dim": 32,
            "max_position_embeddings": POSITIONS,
        },
        gpt2_tokenizer,
    ),
    "bloom": Kind("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, gpt2_tokenizer),
    "falcon": Kind("FalconConfig", _WIDE | {"multi_query": True}, gpt2_tokenizer),
    "mpt": Kind("MptConfig", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": POSITIONS}, gpt2_tokenizer),
    "mixtral": Kind("MixtralConfig", _SHARED | {"num_local_experts": 2, "sliding_window": None}, llama_tokenizer),
    "qwen2_moe": Kind(
        "Qwen2MoeConfig",
        _SHARED
        | {
            "num_experts": 4,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
            "num_experts_per_tok": 2,
        },
        qwen_tokenizer,
    ),
    "qwen3_moe": Kind(
        "Qwen3MoeConfig",
        _SHARED | {"num_experts": 4, "moe_intermediate_size": 16, "num_experts_per_tok": 2, "head_dim": 8},
        qwen_tokenizer,
    ),
    "cohere": Kind("CohereConfig", _SHARED | {"logit_scale": 1.0}, gpt2_tokenizer),
    "gpt_bigcode": Kind("GPTBigCodeConfig", _GPT, gpt2_tokenizer),
    "codegen": Kind("CodeGenConfig", _GPT | {"rotary_dim": 4}, gpt2_tokenizer),
    "ministral": Kind("MinistralConfig", _SHARED | {"sliding_window": 8, "head_dim": 8}, llama_tokenizer),
    "olmo": Kind("OlmoConfig", _SHARED, gpt2_tokenizer),
    "olmo3": Kind("Olmo3Config", _SHARED | {"sliding_window": 8}, gpt2_tokenizer),
    "glm4": Kind("Glm4Config", _SHARED | {"head_dim": 8}, gpt2_tokenizer),
    "arcee": Kind("ArceeConfig", _SHARED, gpt2_tokenizer),
    "ernie4_5": Kind("Ernie4_5Config", _GEMMA, llama_tokenizer),
    "glm": Kind("GlmConfig", _GEMMA, gpt2_tokenizer),
    "helium": Kind("HeliumConfig", _GEMMA, llama_tokenizer),
    "nemotron": Kind("NemotronConfig", _GEMMA, gpt2_tokenizer),
    "persimmon": Kind("PersimmonConfig", _WIDE, gpt2_tokenizer),
    "seed_oss": Kind("SeedOssConfig", _GEMMA, gpt2_tokenizer),
    "cohere2": Kind("Cohere2Config", _GEMMA | {"sliding_window": 8, "logit_scale": 1.0}, gpt2_tokenizer),
    "apertus": Kind("ApertusConfig", _SHARED, gpt2_tokenizer),
    "hunyuan": Kind("HunYuanDenseV1Config", _GEMMA, gpt2_tokenizer),
    "exaone4": Kind("Exaone4Config", _GEMMA | {"sliding_window": 8, "sliding_window_pattern": 2}, gpt2_tokenizer),
    "olmoe": Kind("OlmoeConfig", _SHARED | {"num_experts": 4, "num_experts_per_tok": 2}, gpt2_tokenizer),
    "granitemoe": Kind(
        "GraniteMoeConfig", _SHARED | {"num_local_experts": 4, "num_experts_per_tok": 2}, gpt2_tokenizer
    ),
    "t5": Kind(
        "T5Config", _T5 | {"feed_forward_proj": "relu", "tie_word_embeddings": True}, t5_tokenizer, "encoder_decoder"
    ),
    "flan_t5": Kind(
        "T5Config",
        _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        t5_tokenizer,
        "encoder_decoder",
    ),
    "mt5": Kind(
        "MT5Config",
        _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        t5_tokenizer,
        "encoder_decoder",
    ),
    "umt5": Kind("UMT5Config", _T5 | {"feed_forward_proj": "gated-gelu"}, t5_tokenizer, "encoder_decoder"),
    "byt5": Kind(
        "T5Config",
        _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        byt5_tokenizer,
        "encoder_decoder",
    ),
}


def build(kind: str, seed: int = 5) -> tuple[Any, PreTrainedTokenizerBase]:
    """A model whose next token is a clear choice, and its tokenizer."""
    made = KINDS[kind]
    tokenizer = made.tokenizer()
    config = getattr(transformers, made.config)(
        vocab_size=len(tokenizer) + SPARE,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        **made.sizes,
    )
    causal = made.family == "decoder_only"
    automatic = transformers.AutoModelForCausalLM if causal else transformers.AutoModelForSeq2SeqLM
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = automatic.from_config(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.data.mul_(6.0 if causal else 3.0)
    return model.eval(), tokenizer


def save(kind: str, folder: Path, **settings: Any) -> Path:
    """Write a family's model and tokenizer into a folder. settings: further ones of its config.json."""
    model, tokenizer = build(kind)
    save_model(model, tokenizer, folder)
    if settings:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder
