"""Beam search is the library's, and the calculator works in every beam."""

import pytest
import torch

from retrace.decoding.beam import beam_search
from retrace.decoding.engine import Decoder
from retrace.text.calculator import Calculator
from suites import first_daily
from unit import tiny_generators


@pytest.fixture(params=first_daily(["encoder_decoder", "decoder_only"]))
def decoder(request):
    return Decoder(*tiny_generators.learned(request.param), request.param)


def beams(decoder, **options):
    prompts = tiny_generators.prompts(decoder.family)
    keys = [str(index) for index in range(len(prompts))]
    answers = beam_search(decoder, prompts, keys, beams=3, max_new_tokens=40, **options)
    return [samples[0] for _, samples in sorted((answer.index, answer.samples) for answer in answers)]


def test_beam_search_is_the_librarys(decoder):
    model, tokenizer = decoder.model, decoder.tokenizer
    found = beams(decoder, batch_size=64)
    for prompt, ours, alone in zip(
        tiny_generators.prompts(decoder.family), found, beams(decoder, batch_size=3), strict=True
    ):
        assert ours.text == alone.text
        assert ours.logprob == pytest.approx(alone.logprob, abs=1e-3)
        ids = torch.tensor(decoder.encode([prompt]))
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, num_beams=3, max_new_tokens=40)
        written = out[0, 1 if decoder.family == "encoder_decoder" else ids.shape[1] :]
        assert ours.text == tokenizer.decode(written, skip_special_tokens=True).strip()
        assert ours.tokens == len(written)
        assert ours.finished
        state, total = decoder.prefill([prompt]), 0.0
        for token in written:
            total += state.logits.log_softmax(-1)[0, token].item()
            decoder.step(state, token[None])
        assert ours.logprob == pytest.approx(total, abs=1e-3)


def test_calculator_in_beams(decoder):
    found = beams(decoder, calculator=Calculator(decoder.tokenizer))
    assert "<<3+4=7>>" in found[0].text
    assert "<<6*7=42>>" in found[1].text
    assert "<<8/2=4>>" in found[3].text
    assert found[2].text == "#### 5"


def test_stops_end_beams(decoder):
    found = beams(decoder, stops=["then"])
    assert found[1].text == "she has <<6*7=11>>11 |"
    assert found[0].text == tiny_generators.QUESTIONS["Tom has 3 and 4"]
