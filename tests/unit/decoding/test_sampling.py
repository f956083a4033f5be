"""Random streams, truncation, and generation that does not depend on what shares a batch."""

import math
from itertools import chain

import pytest
import torch

from retrace.decoding.engine import Decoder
from retrace.decoding.random_streams import row_keys, uniform
from retrace.decoding.sampling import draw, generate, truncated
from retrace.errors import UserError
from retrace.text.calculator import Calculator
from suites import first_daily
from unit import tiny_generators

FAMILIES = ["encoder_decoder", "decoder_only"]


@pytest.fixture(params=first_daily(reversed(FAMILIES)))
def decoder(request):
    return Decoder(*tiny_generators.learned(request.param), request.param)


def solutions(decoder, order=None, **options):
    """Samples of each question, in the order of the questions."""
    prompts = tiny_generators.prompts(decoder.family)
    order = list(range(len(prompts))) if order is None else order
    keys = [f"toy-{index}" for index in order]
    answers = generate(decoder, [prompts[index] for index in order], keys, **options)
    return [samples for _, samples in sorted((order[answer.index], answer.samples) for answer in answers)]


# ---------------------------------------------------------------- random numbers


def test_random_streams_are_uniform_and_separate():
    keys = row_keys(0, [f"q{index}" for index in range(400)], [index % 7 for index in range(400)])
    numbers = torch.stack([uniform(keys, position) for position in range(100)], 1)
    assert numbers.dtype == torch.float64
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(numbers.var() - 1 / 12) < 0.005
    counts = torch.histc(numbers.flatten(), 20, 0, 1)
    assert counts.min() > 1750  # 2000 expected, 44 the standard deviation
    assert abs(torch.corrcoef(numbers[:, :2].T)[0, 1]) < 0.2
    assert abs(torch.corrcoef(numbers[:2])[0, 1]) < 0.4
    assert len(torch.unique(numbers)) == numbers.numel()


def test_random_streams_do_not_change_with_the_rows_beside_them():
    alone = uniform(row_keys(7, ["b"], [3]), 5)
    among = uniform(row_keys(7, ["a", "b", "c"], [0, 3, 3]), torch.tensor([1, 5, 5]))
    assert among[1] == alone[0]
    assert (
        len({*among.tolist(), uniform(row_keys(8, ["b"], [3]), 5).item(), uniform(row_keys(7, ["b"], [4]), 5).item()})
        == 5
    )


def test_random_streams_are_pinned():
    """Another platform or version must give these numbers, or results cannot be repeated."""
    assert uniform(row_keys(0, ["gsm8k-1"], [0]), 0).item() == pytest.approx(PINNED[0], abs=1e-15)
    assert uniform(row_keys(5, ["gsm8k-1"], [2]), 9).item() == pytest.approx(PINNED[1], abs=1e-15)


PINNED = (0.394191210765375, 0.0332490155438534)


# ---------------------------------------------------------------- distributions


def log(*probabilities):
    return torch.tensor([probabilities]).log()


def test_truncated():
    logits = log(0.1, 0.4, 0.2, 0.3)
    share = lambda *options: (lambda p: (p / p.sum()).tolist()[0])(truncated(logits, *options))  # noqa: E731
    assert share(1.0) == pytest.approx([0.1, 0.4, 0.2, 0.3])
    assert share(1.0, 2) == pytest.approx([0, 4 / 7, 0, 3 / 7])
    assert share(1.0, 0, 0.65) == pytest.approx([0, 4 / 7, 0, 3 / 7])
    assert share(1.0, 0, 0.75) == pytest.approx([0, 4 / 9, 2 / 9, 3 / 9])
    assert share(1.0, 0, 0.05) == pytest.approx([0, 1, 0, 0])
    assert share(0.5) == pytest.approx([0.01 / 0.3, 0.16 / 0.3, 0.04 / 0.3, 0.09 / 0.3])
    assert share(1.0, 3, 0.8) == pytest.approx([0, 4 / 9, 2 / 9, 3 / 9])
    assert share(1.0, 99) == pytest.approx([0.1, 0.4, 0.2, 0.3])


def test_truncated_looks_at_a_whole_flat_vocabulary():
    logits = torch.zeros(1, 4000)
    logits[0, 0] = 1e-4
    assert (truncated(logits, 1.0, 0, 0.5) > 0).sum() == 4000  # equals are kept together
    steep = torch.linspace(0, -1e-3, 4000)[None]
    assert (truncated(steep, 1.0, 0, 0.5) > 0).sum() == pytest.approx(2000, abs=3)


def test_draw_inverts_the_distribution_function():
    logits = log(0.1, 0.4, 0.2, 0.3).repeat(7, 1)
    numbers = torch.tensor([0.0, 0.0999, 0.1001, 0.4999, 0.5001, 0.7001, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, numbers, 1.0).tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert draw(logits, numbers, 1.0, top_k=2).tolist() == [1, 1, 1, 1, 1, 3, 3]
    assert draw(logits, None, 1.0).tolist() == [1] * 7
    assert draw(logits, numbers, 0.0).tolist() == [1] * 7


def test_draw_never_takes_what_is_impossible():
    logits = torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf]])
    numbers = torch.tensor([1 - 2**-53], dtype=torch.float64)
    assert draw(logits, numbers, 1.0).tolist() == [2]
    assert draw(logits, torch.tensor([0.5], dtype=torch.float64), 1.0).tolist() == [2]


# ---------------------------------------------------------------- generation


def test_greedy_is_the_librarys_greedy(decoder):
    model, tokenizer = decoder.model, decoder.tokenizer
    for prompt, samples in zip(tiny_generators.prompts(decoder.family), solutions(decoder), strict=True):
        ids = torch.tensor(decoder.encode([prompt]))
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=60)
        written = out[0, 1 if decoder.family == "encoder_decoder" else ids.shape[1] :]
        assert samples[0].text == tokenizer.decode(written, skip_special_tokens=True).strip()
        assert samples[0].tokens == len(written)
        assert samples[0].finished


def test_learned_solutions_and_the_calculator(decoder):
    plain = [samples[0].text for samples in solutions(decoder)]
    assert plain == list(tiny_generators.QUESTIONS.values())
    helped = [samples[0].text for samples in solutions(decoder, calculator=Calculator(decoder.tokenizer))]
    assert "<<3+4=7>>" in helped[0]
    assert "<<6*7=42>>" in helped[1]
    assert helped[2] == "#### 5"
    assert "<<8/2=4>>" in helped[3]
    assert "<<9/0=5>>" in helped[3], "what has no value is the model's own"


@pytest.mark.parametrize("with_calculator", first_daily([True, False]))
def test_samples_do_not_depend_on_batches_order_or_shards(decoder, with_calculator):
    options = {"temperature": 1.5, "seed": 11, "max_new_tokens": 30}
    if with_calculator:
        options["calculator"] = Calculator(decoder.tokenizer)
    whole = solutions(decoder, samples=5, batch_size=64, **options)
    assert len({one.text for samples in whole for one in samples}) > 8, "the samples vary"
    strip = lambda found: [[(one.text, one.tokens, one.finished) for one in samples] for samples in found]  # noqa: E731
    for batch_size in (1, 7):
        again = solutions(decoder, samples=5, batch_size=batch_size, **options)
        assert strip(again) == strip(whole)
        for ours, theirs in zip(chain(*again), chain(*whole), strict=True):
            assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)
    assert strip(solutions(decoder, order=[3, 1], samples=5, **options)) == strip([whole[1], whole[3]])
    later = solutions(decoder, samples=3, first_sample=2, **options)
    assert strip(later) == strip([samples[2:] for samples in whole])
    other = solutions(decoder, samples=5, **{**options, "seed": 12})
    assert strip(other) != strip(whole)


def test_log_probability_counts_free_tokens_only(decoder):
    calculator = Calculator(decoder.tokenizer)
    prompt = tiny_generators.prompts(decoder.family)[0]
    (samples, *_) = solutions(decoder, calculator=calculator)
    sample = samples[0]
    ids = decoder.tokenizer(sample.text)["input_ids"]
    text_before = sample.text[: sample.text.index("=") + 1]
    first = len(decoder.tokenizer(text_before)["input_ids"]) - 1
    forced = {first, first + 1}  # `7` and `>>`
    assert [calculator.text.surfaces[ids[place]] for place in sorted(forced)] == ["7", ">>"]
    state = decoder.prefill([prompt])
    expected = 0.0
    for place, token in enumerate(ids):
        if place not in forced:
            expected += state.logits.log_softmax(-1)[0, token].item()
        decoder.step(state, torch.tensor([token]))
    assert sample.logprob == pytest.approx(expected, abs=1e-4)
    assert sample.tokens == len(ids)


def test_limits_and_stops(decoder):
    short = solutions(decoder, max_new_tokens=4)
    assert [samples[0].tokens for samples in short] == [4, 4, 3, 4]
    assert [samples[0].finished for samples in short] == [False, False, True, False]
    stopped = solutions(decoder, stops=["then", "nowhere"])
    assert stopped[1][0].text == "she has <<6*7=11>>11 |"
    assert stopped[1][0].finished
    assert stopped[0][0].text == tiny_generators.QUESTIONS["Tom has 3 and 4"]


def test_a_question_over_the_limit_is_named(decoder):
    decoder.tokenizer.model_max_length = 20
    try:
        with pytest.raises(UserError, match=r"toy-9: the question has 17\d tokens"):
            list(generate(decoder, ["Tom", "Tom has 3 " * 25], ["toy-8", "toy-9"], max_new_tokens=5))
    finally:
        decoder.tokenizer.model_max_length = int(1e30)


def test_memory_does_not_grow_with_the_questions(decoder, monkeypatch):
    """Questions are read a batch at a time, as the answers are taken."""
    sizes = []
    prefill = decoder.prefill
    monkeypatch.setattr(decoder, "prefill", lambda ids, *shared: sizes.append(len(ids)) or prefill(ids, *shared))
    prompts = tiny_generators.prompts(decoder.family) * 10
    answers = generate(decoder, prompts, [str(index) for index in range(40)], samples=4, temperature=1.0, batch_size=16)
    next(answers)
    assert sizes == [4]
    assert len(list(answers)) == 39
    assert sizes == [4] * 10


def test_scores_stay_finite_under_extreme_temperatures():
    logits = torch.tensor([[1e4, -1e4, 0.0]])
    assert math.isfinite(truncated(logits, 1e-3).sum().item())
    assert draw(logits, torch.tensor([0.999999], dtype=torch.float64), 1e-3).tolist() == [0]
