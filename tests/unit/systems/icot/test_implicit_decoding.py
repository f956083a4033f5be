"""Decoding with separators: implicit answers in batches, and explicit ones over two end tokens."""

import copy

import pytest
import torch

from retrace.decoding.engine import Decoder
from retrace.decoding.sampling import generate
from retrace.errors import UserError
from retrace.prompting.separated import prompt_text
from retrace.systems.icot.decoding import ImplicitDecoder
from unit.implicit_world import FAMILIES, base, coupled, examples, task, tokenizer

# Questions of several lengths.
QUESTIONS = [row.question for digits in (2, 3, 1) for row in examples(7, digits=digits)]
END = tokenizer().eos_token
PROMPTS = [prompt_text(question, END) for question in QUESTIONS]
KEYS = [str(number) for number in range(len(QUESTIONS))]


def answers(decoder: Decoder, batch_size: int, **more) -> list[tuple[str, int]]:
    found = generate(decoder, PROMPTS, KEYS, max_new_tokens=9, batch_size=batch_size, **more)
    return [(one.samples[0].text, one.samples[0].tokens) for one in sorted(found, key=lambda one: one.index)]


@torch.no_grad()
def by_hand(model, prompt: list[int], limit: int) -> list[int]:
    """Greedy answers without cache or batches: the whole text is read again for every token."""
    end, written = tokenizer().eos_token_id, []
    place = torch.tensor([len(prompt) - 1])
    states = model.emulator(torch.tensor([prompt]), place)
    while len(written) < limit and (not written or written[-1] != end):
        written.append(int(model.student(torch.tensor([prompt + written]), place, states)[0, -1].argmax()))
    return written


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_of_ragged_questions_give_what_one_by_one_gives(family: str) -> None:
    model = coupled(family)
    decoder = ImplicitDecoder(copy.deepcopy(model), tokenizer())
    alone = answers(decoder, 1)
    assert answers(decoder, 64) == answers(decoder, 5) == alone
    assert len(set(alone)) > 5  # the random model says different things to different questions
    ids = decoder.encode(PROMPTS)
    assert {len(row) for row in ids} == {4, 6, 8}
    for row, (text, tokens) in list(zip(ids, alone, strict=True))[::4]:
        written = by_hand(model, row, 9)
        assert len(written) == tokens
        assert tokenizer().decode(written, skip_special_tokens=True) == text


def test_the_emulator_runs_once_a_question() -> None:
    model, calls = coupled(), []
    decoder = ImplicitDecoder(model, tokenizer())
    model.emulator.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    answers(decoder, 64)
    assert calls == [len(QUESTIONS)]
    answers(decoder, 8)
    assert sum(calls[1:]) == len(QUESTIONS)


def test_the_emulated_states_decide() -> None:
    one = coupled()
    other = coupled()
    torch.nn.init.normal_(other.emulator.mlps[1][2].weight, std=2.0)
    assert answers(ImplicitDecoder(one, tokenizer()), 64) != answers(ImplicitDecoder(other, tokenizer()), 64)


def test_several_samples_share_one_emulation() -> None:
    model, calls = coupled(), []
    decoder = ImplicitDecoder(model, tokenizer())
    model.emulator.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    found = list(generate(decoder, PROMPTS, KEYS, samples=3, temperature=1.0, max_new_tokens=5, batch_size=30))
    assert all(len(one.samples) == 3 for one in found)
    assert sum(calls) == len(QUESTIONS)


def test_prompts_keep_their_separator() -> None:
    decoder = Decoder(base(), tokenizer(), "decoder_only", separated=True)
    end = tokenizer().eos_token_id
    ids = decoder.encode(PROMPTS[:1])[0]
    assert (ids[-1], ids.count(end)) == (end, 1)
    assert decoder.encode([PROMPTS[0] + " " + END])[0] == ids  # what stands behind the separator is not read


def test_a_long_question_is_named() -> None:
    decoder = ImplicitDecoder(coupled(positions=12), tokenizer())
    with pytest.raises(UserError, match="7: the question has 8 tokens, but the model accepts 3 before 9 new ones"):
        list(generate(decoder, PROMPTS[7:8], KEYS[7:8], max_new_tokens=9))


class Scripted(torch.nn.Module):
    """A decoder-only model that writes a given text behind the first end token, whatever the question."""

    def __init__(self, texts: dict[int, str]) -> None:
        super().__init__()
        self.config = base().config
        self.inner = base()
        self.words = tokenizer()
        self.texts = {length: self.words(text)["input_ids"] for length, text in texts.items()}

    def forward(self, input_ids, attention_mask, position_ids, past_key_values, use_cache, logits_to_keep):
        self.inner(input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=past_key_values)
        if input_ids.shape[1] > 1:
            self.lengths = attention_mask.sum(1)
            self.written = torch.zeros(len(input_ids), dtype=torch.long)
        logits = torch.zeros(len(input_ids), 1, len(self.words))
        for row, (length, place) in enumerate(zip(self.lengths.tolist(), self.written.tolist(), strict=True)):
            text = self.texts[length]
            logits[row, 0, text[min(place, len(text) - 1)]] = 50.0
        self.written += 1
        return type("Out", (), {"logits": logits})


@pytest.mark.parametrize(
    ("ends", "text", "tokens"),
    [(1, "1 2", 3), (2, "1 2 #### 3", 6), (3, "1 2 #### 3 4 4 4", 9)],
    ids=["one", "two", "never"],
)
def test_texts_end_at_their_last_end_token(ends: int, text: str, tokens: int) -> None:
    model = Scripted({6: f"1 2 {END} #### 3 {END} 4"})
    decoder = Decoder(model, tokenizer(), "decoder_only", separated=True, ends=ends)
    found = next(generate(decoder, PROMPTS[:1], KEYS[:1], max_new_tokens=8 if ends < 3 else 9)).samples[0]
    assert (found.text, found.tokens, found.finished) == (text, tokens, ends < 3)


def test_prompt_text_of_the_task() -> None:
    assert tokenizer()(PROMPTS[0])["input_ids"][-1] == tokenizer().eos_token_id
    assert task().config.digits == 2
