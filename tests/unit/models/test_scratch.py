"""Tokenizers and models from scratch."""

import pytest
import torch
from transformers import AutoTokenizer

from retrace.errors import UserError
from retrace.models.options import ScratchModel
from retrace.models.scratch import build_model, build_tokenizer
from unit.model_folders import save_model

SOLUTIONS = [
    "Tom has 3+4 = <<3+4=7>>7 apples | He eats 2, 7-2 = <<7-2=5>>5 | #### 5",
    "Each costs $3.50 and he saves 25% of .5 = <<0.25*.5=0.125>>0.125 | That is 1,200 in 2023 | #### 1,200",
    "<<33-14=19>> | <<19*2=38>> | #### 38",
    "A café's “special” costs 5€ — that's ½ of 10€ | #### 5",
    "n0 = 3.0 ; n1 = n0 * 100 / 7 ; answer = n1",
]
QUESTIONS = ["Q: Tom has 7 apples. How many?  A: none", "Zoë's total_sum is -5, isn't it?"]


def tokens(tokenizer, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.fixture(scope="module", params=["whole", "digits"])
def tokenizer(request):
    return build_tokenizer(SOLUTIONS + QUESTIONS, "|", 500, request.param)


@pytest.mark.parametrize("text", SOLUTIONS + QUESTIONS[1:])
def test_decoding_gives_the_text_back(tokenizer, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    # each token stands for one fixed text, so that parts of a solution can be decoded apart
    assert "".join(tokenizer.decode([token]) for token in ids[:-1]) == text


def test_saved_tokenizer_is_the_same(tokenizer, tmp_path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in SOLUTIONS + QUESTIONS:
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert again.decode(again(text)["input_ids"]) == tokenizer.decode(tokenizer(text)["input_ids"])


def test_numbers_are_the_same_tokens_with_and_without_a_space() -> None:
    whole = build_tokenizer(SOLUTIONS, "|", 400, "whole")
    assert tokens(whole, "<<7-42=100>>") == ["<<", "7", "-", "42", "=", "1", "0", "0", ">>"]
    assert tokens(whole, " 42")[-1] == "42"
    digits = build_tokenizer(SOLUTIONS, "|", 400, "digits")
    assert tokens(digits, "42 | 42") == ["4", "2", "|", "4", "2"]


def test_vocabulary_is_small_and_limited() -> None:
    small = build_tokenizer(["a b c"] * 3, "|", 300, "whole")
    assert len(small) < 220
    many = build_tokenizer([f"word{chr(97 + i % 26)}{chr(97 + i // 26)} x" for i in range(600)] * 2, "|", 250, "whole")
    assert len(many) == 250
    with pytest.raises(UserError, match="too small"):
        build_tokenizer(SOLUTIONS, "|", 100)


def test_unknown_characters_become_the_unknown_token(tokenizer) -> None:
    assert tokens(tokenizer, "7 雨").count("<unk>") == 1
    assert "<unk>" not in tokens(tokenizer, "ASCII ~^`{}\\ is always known")


def test_no_text_is_an_error() -> None:
    with pytest.raises(UserError, match="no text"):
        build_tokenizer([" "], "|", 500)


@pytest.mark.parametrize("family", ["encoder_decoder", "decoder_only"])
def test_model_depends_on_its_seed_only(family: str, tmp_path) -> None:
    tokenizer = build_tokenizer(SOLUTIONS, "|", 400, "digits", family)
    sizes = ScratchModel(width=16, layers=1, heads=2, feedforward=16, positions=32)
    state = torch.random.get_rng_state()
    one, same, other = (build_model(sizes, family, tokenizer, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [model.get_input_embeddings().weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert tokenizer("5")["input_ids"][-1] == tokenizer.eos_token_id or family == "decoder_only"
    save_model(one, tokenizer, tmp_path)
    assert (tmp_path / "model.safetensors").exists()


def test_width_must_be_a_multiple_of_heads() -> None:
    tokenizer = build_tokenizer(SOLUTIONS, "|", 400)
    with pytest.raises(UserError, match="multiple of heads"):
        build_model(ScratchModel(width=10, heads=4), "encoder_decoder", tokenizer, 0)


def test_how_far_the_first_weights_spread_is_an_option() -> None:
    tokenizer = build_tokenizer(SOLUTIONS, "|", 400, "digits", "decoder_only")
    sizes = ScratchModel(width=32, layers=1, heads=2, feedforward=32, positions=32)

    def spread(values: ScratchModel) -> float:
        return build_model(values, "decoder_only", tokenizer, 0).transformer.h[0].mlp.c_fc.weight.std().item()

    assert spread(sizes) == pytest.approx(0.02, rel=0.1)
    assert spread(sizes.model_copy(update={"initial_spread": 0.15})) == pytest.approx(0.15, rel=0.1)
    assert "initial_spread" not in sizes.model_dump(), "models without it keep their digests, and so their results"
    with pytest.raises(UserError, match="initial_spread is for decoder-only models"):
        build_model(sizes.model_copy(update={"initial_spread": 0.1}), "encoder_decoder", tokenizer, 0)
