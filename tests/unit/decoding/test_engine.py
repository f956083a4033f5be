"""The engine gives the logits of a plain forward pass, whatever rows share a batch."""

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from retrace.decoding.engine import Decoder
from retrace.decoding.state import GROUPED
from retrace.errors import UserError
from retrace.models.options import ScratchModel
from retrace.models.scratch import build_tokenizer

torch.set_num_threads(1)
VOCABULARY = 300


@pytest.fixture(scope="module")
def tokenizer():
    made = build_tokenizer(["Tom has 3 apples and 4 pears | #### 7"], "|", VOCABULARY)
    made.model_max_length = 64
    return made


def make_model(kind: str, size: int):
    torch.manual_seed(3)
    if kind.startswith("t5"):
        config = T5Config(
            vocab_size=size, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0,
            relative_attention_num_buckets=8, relative_attention_max_distance=16, tie_word_embeddings=kind == "t5_tied",
        )  # fmt: skip
        model = T5ForConditionalGeneration(config)
    elif kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=64))
    else:
        config = LlamaConfig(
            vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        # Fresh networks barely attend; larger weights make every position matter.
        parameter.data.mul_(1.0 if kind.startswith("t5") else 6.0)
    return model.eval()


@pytest.fixture(scope="module", params=["t5", "t5_tied", "gpt2", "llama"])
def decoder(request, tokenizer):
    family = "encoder_decoder" if request.param.startswith("t5") else "decoder_only"
    return Decoder(make_model(request.param, len(tokenizer)), tokenizer, family)


def plain(decoder: Decoder, prompt: str, answer: list[int]) -> torch.Tensor:
    """Logits behind prompt and answer, one row, no cache, no padding, the library's own attention."""
    ids = torch.tensor(decoder.encode([prompt]))
    with torch.no_grad():
        if decoder.family == "encoder_decoder":
            start = torch.tensor([[0, *answer]])
            decoder.model.set_attn_implementation("eager")
            logits = decoder.model(input_ids=ids, decoder_input_ids=start, use_cache=False).logits
            decoder.model.set_attn_implementation("retrace_grouped")
        else:
            ids = torch.cat([ids, torch.tensor([answer], dtype=torch.long)], 1)
            logits = decoder.model(input_ids=ids, use_cache=False).logits
    return logits[0, -1]


def check(decoder, state, rows):
    assert len(state) == len(rows)
    for index, (prompt, answer) in enumerate(rows):
        expected = plain(decoder, prompt, answer)
        assert torch.allclose(state.logits[index], expected, atol=1e-4), (prompt, answer)
        assert state.logits[index].argmax() == expected.argmax()


PROMPTS = ["Tom has 3 apples", "4 pears", "Tom has 3 apples and 4 pears and 3 apples and 7 apples"]


def test_prefill_of_prompts_of_different_lengths(decoder):
    check(decoder, decoder.prefill(PROMPTS), [(prompt, []) for prompt in PROMPTS])


def test_steps_repeat_select_and_append(decoder):
    state = decoder.prefill(PROMPTS).repeat(2)
    rows = [[prompt, []] for prompt in PROMPTS for _ in range(2)]
    for token in range(20, 24):
        ids = torch.arange(6) + token
        decoder.step(state, ids)
        for row, new in zip(rows, ids.tolist(), strict=True):
            row[1] = [*row[1], new]
    check(decoder, state, rows)

    before = state.logits.clone()
    chosen = [5, 0, 3, 0]
    part = state.select(torch.tensor(chosen))
    rows = [list(rows[index]) for index in chosen]
    steps = [[30], [31, 32, 33, 34, 35], [36, 37], [40, 41, 42]]
    decoder.append(part, steps)
    rows = [[prompt, answer + step] for (prompt, answer), step in zip(rows, steps, strict=True)]
    check(decoder, part, rows)

    # Ragged rows go on with single tokens and with ragged tokens again.
    decoder.step(part, torch.tensor([50, 51, 52, 53]))
    rows = [[prompt, [*answer, 50 + index]] for index, (prompt, answer) in enumerate(rows)]
    check(decoder, part, rows)
    decoder.append(part, [[60, 61, 62], [63], [64, 65], [66]])
    rows = [[p, a + new] for (p, a), new in zip(rows, [[60, 61, 62], [63], [64, 65], [66]], strict=True)]
    check(decoder, part, rows)

    # One question is left: the others' keys are dropped, and the first state is as it was.
    last = part.select(torch.tensor([1, 3]))
    decoder.step(last, torch.tensor([70, 71]))
    check(decoder, last, [[rows[1][0], [*rows[1][1], 70]], [rows[3][0], [*rows[3][1], 71]]])
    assert torch.equal(state.logits, before)
    if last.groups is not None:
        assert last.groups.questions == 1
    decoder.step(state, torch.arange(6) + 24)
    check(decoder, state.select(torch.tensor([2])), [(PROMPTS[1], [22, 23, 24, 25, 26])])


def test_left_holes_of_all_rows_are_dropped(decoder):
    state = decoder.prefill(PROMPTS)
    decoder.append(state, [[20] * 6, [21], [22]])
    part = state.select(torch.tensor([1]))
    assert bool(part.mask.all())
    decoder.step(part, torch.tensor([23]))
    check(decoder, part, [(PROMPTS[1], [21, 23])])


def test_question_keys_exist_once(tokenizer):
    decoder = Decoder(make_model("t5", len(tokenizer)), tokenizer, "encoder_decoder")
    state = decoder.prefill(PROMPTS).repeat(5)
    assert {layer.keys.shape[0] for layer in state.cache.cross_attention_cache.layers} == {3}


def test_too_long_question_is_named(decoder):
    with pytest.raises(UserError, match=r"q7: the question has \d+ tokens, but the model accepts \d+"):
        decoder.encode(["Tom", "apples " * 300], names=["q6", "q7"], reserve=10)


EXAMPLES = [[10 + n % 40 for n in range(38)] + tail for tail in ([60], [61, 62, 63], [60, 65], [64] * 9)]


def tokens_read(decoder: Decoder, monkeypatch) -> list[int]:
    """Tokens of each forward pass from now on, holes included."""
    seen: list[int] = []
    forward = decoder._forward

    def counted(state, tokens, *rest):
        seen.append(tokens.numel())
        return forward(state, tokens, *rest)

    monkeypatch.setattr(decoder, "_forward", counted)
    return seen


def test_what_prompts_have_in_common_is_read_once(decoder, monkeypatch):
    apart = [decoder.prefill([ids]) for ids in EXAMPLES]
    seen = tokens_read(decoder, monkeypatch)
    state = decoder.prefill(EXAMPLES)
    for step in range(3):
        for row, alone in enumerate(apart):
            assert torch.equal(state.logits[row], alone.logits[0]), (row, step)
        decoder.step(state, torch.full((len(EXAMPLES),), 70 + step))
        for alone in apart:
            decoder.step(alone, torch.tensor([70 + step]))
    if decoder.family == "decoder_only":
        assert seen[:2] == [38, 4 * 9]
    else:  # what an encoder reads of a prefix depends on what follows
        assert decoder.shared_prefix(EXAMPLES) is None


def test_a_prefix_that_was_read_before_serves_any_batch(decoder, monkeypatch):
    shared = decoder.shared_prefix(EXAMPLES)
    if decoder.family == "encoder_decoder":
        assert shared is None
        return
    seen = tokens_read(decoder, monkeypatch)
    for batch in ([EXAMPLES[1]], EXAMPLES[2:], EXAMPLES[:2]):
        state = decoder.prefill(batch, shared)
        for row, ids in enumerate(batch):
            assert torch.equal(state.logits[row], decoder.prefill([ids]).logits[0])
    assert [count for count in seen if count < 38] == [3, 2 * 9, 2 * 3]
    with pytest.raises(ValueError, match="shared prefix"):
        decoder.prefill([[1, 2, 3]], shared)


def test_short_or_whole_prompts_are_not_shared(decoder):
    assert decoder.shared_prefix([[1, 2, 3, 4], [1, 2, 3, 5]]) is None
    assert decoder.shared_prefix([EXAMPLES[0]]) is None
    assert decoder.shared_prefix([]) is None
    same = decoder.shared_prefix([list(range(40)), list(range(40))])
    assert decoder.family == "encoder_decoder" or len(same.ids) == 39


def test_append_needs_a_token_a_row(decoder):
    with pytest.raises(ValueError, match="at least one token"):
        decoder.append(decoder.prefill(PROMPTS), [[1], [], [2]])


def test_other_encoder_decoders_are_refused(tokenizer):
    with pytest.raises(UserError, match="T5"):
        Decoder(make_model("gpt2", len(tokenizer)), tokenizer, "encoder_decoder")


def test_scratch_model_has_the_shape_that_the_engine_needs(tokenizer):
    from retrace.models.scratch import build_model

    scratch = ScratchModel(width=16, layers=1, heads=2, feedforward=16, vocabulary=VOCABULARY)
    for family in ("encoder_decoder", "decoder_only"):
        state = Decoder(build_model(scratch, family, tokenizer, 0), tokenizer, family).prefill(["Tom"])
        assert state.logits.shape == (1, len(tokenizer))
        assert state.logits.isfinite().all()


def test_all_parts_of_an_encoder_decoder_attend_by_question(tokenizer) -> None:
    """transformers 5.17 sets the attention of the whole and not of T5's stacks, which are what attends."""
    model = make_model("t5", len(tokenizer))
    Decoder(model, tokenizer, "encoder_decoder")
    used = {part.config._attn_implementation for part in (model, model.encoder, model.decoder)}
    assert used == {GROUPED}
