"""Every architecture that the papers use decodes on a processor as the library's own `generate` does, in both precisions
and under autocast, by which a training in mixed precision measures its answers."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    T5Config,
)

from retrace.decoding.beam import beam_search
from retrace.decoding.engine import Decoder
from retrace.decoding.sampling import generate
from retrace.models.scratch import build_tokenizer

torch.set_num_threads(1)
PROMPTS = [
    "Tom has 3 apples and 4 pears",
    "Tom has 3",
    "4 pears and 3 apples has Tom and 3 apples and 4 pears",
    "pears",
    "Tom has 4 apples and Tom has 4 pears",
]
NEW = 24
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 96}
WIDE = SIZES | {"intermediate_size": 48}
T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
}


def configuration(kind: str, words: int):
    shared = {"vocab_size": words, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    return {
        "gpt2": lambda: GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=96, **shared),
        "gptj": lambda: GPTJConfig(n_embd=32, n_layer=2, n_head=4, n_positions=96, rotary_dim=4, **shared),
        # Two key-value heads for four query heads, as Llama 3, Mistral 7B and the larger Phi models have fewer.
        "llama": lambda: LlamaConfig(num_key_value_heads=2, **WIDE, **shared),
        "mistral": lambda: MistralConfig(num_key_value_heads=2, sliding_window=None, **WIDE, **shared),
        "phi3": lambda: Phi3Config(num_key_value_heads=4, **WIDE, **shared),
        "t5": lambda: T5Config(feed_forward_proj="relu", tie_word_embeddings=True, **T5, **shared),
        "flan_t5": lambda: T5Config(feed_forward_proj="gated-gelu", tie_word_embeddings=False, **T5, **shared),
    }[kind]()


# Type of the weights, and whether autocast computes in bfloat16.
PRECISIONS = [(torch.float32, False), (torch.bfloat16, False), (torch.float32, True)]
in_all_precisions = pytest.mark.parametrize(("dtype", "mixed"), PRECISIONS, ids=["float32", "bfloat16", "autocast"])
CAUSAL = ["gpt2", "gptj", "llama", "mistral", "phi3"]
KINDS = [*CAUSAL, "t5", "flan_t5"]
EVERY_DAY = ("gpt2", "llama", "flan_t5")
in_all_kinds = pytest.mark.parametrize(
    "kind", [kind if kind in EVERY_DAY else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)


@pytest.fixture(scope="module")
def tokenizer():
    made = build_tokenizer(PROMPTS, "|", 300)
    made.model_max_length = 96
    return made


def make(kind: str, dtype: torch.dtype, tokenizer, seed: int = 5):
    """(model, family); its weights are large enough for the next token to be a clear choice."""
    torch.manual_seed(seed)
    family = "decoder_only" if kind in CAUSAL else "encoder_decoder"
    automatic = AutoModelForCausalLM if family == "decoder_only" else AutoModelForSeq2SeqLM
    model = automatic.from_config(configuration(kind, len(tokenizer)))
    if kind == "flan_t5":
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    for name, parameter in model.named_parameters():
        if family == "decoder_only" and "norm" not in name and "ln_" not in name:
            parameter.data.mul_(8.0)
    return model.to(dtype).eval(), family


def by_the_library(decoder: Decoder, at_once: int) -> list[list[int]]:
    """Greedy tokens of the prompts, so many in a batch of the library's `generate`."""
    left, found = decoder.family == "decoder_only", []
    for start in range(0, len(PROMPTS), at_once):
        ids, mask = decoder.pad(decoder.encode(PROMPTS[start : start + at_once]), left)
        with torch.no_grad():
            out = decoder.model.generate(
                ids,
                attention_mask=mask.long(),
                do_sample=False,
                max_new_tokens=NEW,
                eos_token_id=decoder.eos_id,
                pad_token_id=decoder.pad_id,
            )[:, ids.shape[1] if left else 1 :]
        for row in out.tolist():
            found.append(row[: row.index(decoder.eos_id) + 1] if decoder.eos_id in row else row)
    return found


def by_the_engine(decoder: Decoder, batch_size: int) -> list[list[int]]:
    found = {
        answer.index: list(answer.samples[0].ids)
        for answer in generate(decoder, PROMPTS, PROMPTS, max_new_tokens=NEW, batch_size=batch_size)
    }
    return [found[index] for index in range(len(PROMPTS))]


def gaps(decoder: Decoder, answers: list[list[int]]) -> list[float]:
    """How far below the best token's logit each answer's tokens lie at most, in standard deviations, by the library."""
    found = []
    for prompt, answer in zip(decoder.encode(PROMPTS), answers, strict=True):
        start = [] if decoder.family == "decoder_only" else [decoder.model.config.decoder_start_token_id]
        given = {"input_ids": torch.tensor([prompt if start else prompt + answer[:-1]])}
        if start:
            given["decoder_input_ids"] = torch.tensor([start + answer[:-1]])
        with torch.no_grad():
            logits = decoder.model(**given).logits[0, -len(answer) :].float()
        chosen = logits[torch.arange(len(answer)), torch.tensor(answer)]
        found.append(float(((logits.max(1).values - chosen) / logits.std(1)).max()))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@in_all_kinds
def test_greedy_tokens_are_those_of_generate(kind, dtype, tokenizer):
    """Half precision may choose otherwise in a batch than alone, here as there."""
    model, family = make(kind, dtype, tokenizer)
    plain = Decoder(copy.deepcopy(model), tokenizer, family)
    plain.model = model  # as it was loaded, with the library's own attention
    decoder = Decoder(copy.deepcopy(model), tokenizer, family)
    expected = by_the_library(plain, 1)
    assert len({tuple(row) for row in expected}) >= 3  # no network that always says the same
    assert by_the_engine(decoder, 1) == expected
    assert by_the_engine(decoder, len(PROMPTS)) == by_the_library(plain, len(PROMPTS))


@in_all_kinds
def test_greedy_tokens_under_autocast(kind, tokenizer):
    """Attention is finer than the library's there; where another token is chosen, rounding explains it."""
    model, family = make(kind, torch.float32, tokenizer)
    plain = Decoder(copy.deepcopy(model), tokenizer, family)
    plain.model = model
    decoder = Decoder(copy.deepcopy(model), tokenizer, family)
    with torch.autocast("cpu", torch.bfloat16):
        for batch_size in (1, len(PROMPTS)):
            found = by_the_engine(decoder, batch_size)
            assert len({tuple(row) for row in found}) >= 3
            assert max(gaps(plain, found)) < 0.1
        assert max(gaps(plain, [[*row[:-1], row[-1] ^ 1] for row in found])) > 0.1  # a wrong token would be seen


@in_all_precisions
@in_all_kinds
def test_samples_and_beams(kind, dtype, mixed, tokenizer):
    model, family = make(kind, dtype, tokenizer)
    decoder = Decoder(model, tokenizer, family)

    def samples(batch_size: int) -> dict[int, list[tuple[int, ...]]]:
        drawn = generate(
            decoder, PROMPTS, PROMPTS, samples=3, temperature=1.0, top_p=0.9, max_new_tokens=12, batch_size=batch_size
        )
        return {answer.index: [one.ids for one in answer.samples] for answer in drawn}

    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        found = samples(64)
        again = samples(4)
        beams = {answer.index: answer for answer in beam_search(decoder, PROMPTS, PROMPTS, beams=3, max_new_tokens=12)}
    assert sorted(found) == list(range(len(PROMPTS)))
    assert all(len(rows) == 3 for rows in found.values())
    assert again == found or dtype == torch.bfloat16 or mixed
    assert sorted(beams) == list(range(len(PROMPTS)))
    assert all(answer.samples[0].tokens > 0 for answer in beams.values())
