"""Log-probabilities of chosen tokens: values and gradients against the plain way, chunked or not."""

import math

import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

from retrace.systems.latro import token_logprobs
from retrace.systems.latro.token_logprobs import SelectedLogprobs, add_scorer

SIZES = {
    "vocab_size": 37,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=37, n_embd=16, n_layer=1, n_head=2, n_positions=32)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**SIZES)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, final_logit_softcapping=0.5)),
    "granite": lambda: GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=3.0)),
    "cohere": lambda: CohereForCausalLM(CohereConfig(**SIZES, logit_scale=0.25)),
}


def plain(hidden, weight, bias, targets, scale=1.0, softcap=0.0):
    logits = hidden @ weight.t() + (0 if bias is None else bias)
    logits = logits * scale
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    return logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]


def test_value_by_hand() -> None:
    """Logits (0, ln 3): the second token has three quarters of the mass."""
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [math.log(3)]])
    for target, share in ((0, 0.25), (1, 0.75)):
        found = SelectedLogprobs.apply(hidden, weight, None, torch.tensor([target]), 1.0, 0.0)
        assert found.exp().item() == pytest.approx(share)


@pytest.mark.parametrize("chunk", [1, 29 * 3, 1 << 20])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, 0.0), (0.5, 0.0), (1.0, 2.0), (3.0, 1.5)])
@pytest.mark.parametrize("biased", [False, True])
def test_values_and_gradients_are_those_of_the_plain_way(monkeypatch, chunk, scale, softcap, biased) -> None:
    monkeypatch.setattr(token_logprobs, "CHUNK_ELEMENTS", chunk)
    draw = torch.Generator().manual_seed(3)
    given = [torch.randn(*shape, generator=draw).requires_grad_() for shape in ((11, 6), (29, 6), (29,))]
    given[2] = given[2] if biased else None
    targets = torch.randint(29, (11,), generator=draw)
    upstream = torch.randn(11, generator=draw)
    outcomes = []
    for function in (SelectedLogprobs.apply, plain):
        values = function(*given, targets, scale, softcap)
        leaves = [tensor for tensor in given if tensor is not None]
        outcomes.append([values, *torch.autograd.grad(values, leaves, upstream)])
    for ours, theirs in zip(*outcomes, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert outcomes[0][1].abs().sum() > 0


def test_chunks_hold_no_more_than_their_share(monkeypatch) -> None:
    """The largest logits tensor is one chunk, forward and backward."""
    sizes = []
    original = token_logprobs._logits
    monkeypatch.setattr(token_logprobs, "CHUNK_ELEMENTS", 40)
    monkeypatch.setattr(
        token_logprobs, "_logits", lambda *given: sizes.append((out := original(*given)).numel()) or out
    )
    hidden, weight = torch.randn(9, 4, requires_grad=True), torch.randn(20, 4)
    SelectedLogprobs.apply(hidden, weight, None, torch.arange(9), 1.0, 0.0).sum().backward()
    assert max(sizes) <= 40
    assert len(sizes) == 2 * 5


@pytest.mark.parametrize("kind", MODELS)
def test_scorer_agrees_with_the_models_own_logits(kind: str) -> None:
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    ids = torch.randint(3, 37, (3, 9))
    before = model(input_ids=ids).logits.log_softmax(-1)
    add_scorer(model)
    assert torch.equal(model(input_ids=ids).logits.log_softmax(-1), before)
    places = torch.tensor([0, 4, 10, 25])  # row * 9 + position
    targets = ids.flatten()[places + 1]
    found = model(input_ids=ids, scored=places, targets=targets)
    assert torch.allclose(found, before.flatten(0, 1)[places, targets], atol=1e-5)


def test_scorer_gives_the_weights_the_same_gradients() -> None:
    torch.manual_seed(0)
    model = MODELS["gpt2"]().eval()  # tied embeddings: the output layer's gradient meets that of the input
    ids = torch.randint(3, 37, (2, 7))
    places, targets = torch.tensor([2, 9]), torch.tensor([5, 6])
    expected = torch.autograd.grad(
        model(input_ids=ids).logits.flatten(0, 1).log_softmax(-1)[places, targets].sum(), list(model.parameters())
    )
    add_scorer(model)
    found = torch.autograd.grad(model(input_ids=ids, scored=places, targets=targets).sum(), list(model.parameters()))
    assert all(torch.allclose(one, two, atol=1e-6) for one, two in zip(found, expected, strict=True))


def test_bfloat16_logits_are_summed_in_float32() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(5, 8), torch.randn(4000, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = SelectedLogprobs.apply(hidden, weight, None, torch.arange(5), 1.0, 0.0)
    assert found.dtype == torch.float32
    logits = (hidden.bfloat16() @ weight.bfloat16().t()).float()
    assert torch.allclose(found, logits.log_softmax(-1)[torch.arange(5), torch.arange(5)], atol=1e-5)
