"""Decoders whose device is full: batches are halved and done again, and what is written stays the same."""

import copy
import sys
from pathlib import Path

import pytest
import torch

from unit import tiny_generators

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from guided_world import make_discriminator, make_examples, make_generator

from retrace.decoding.beam import beam_search
from retrace.decoding.engine import Decoder
from retrace.decoding.options import Guided
from retrace.decoding.sampling import generate
from retrace.decoding.step_choice import Context, measure_step_choice
from retrace.errors import UserError
from retrace.models.exact import make_rows_independent
from suites import first_daily
from unit.guided_rows import decode_guided

torch.set_num_threads(1)
FAMILIES = ["encoder_decoder", "decoder_only"]


class Limit:
    """Lets a network take so many rows at once, as a device's memory does, and counts how often that was too few."""

    def __init__(self, model: torch.nn.Module, family: str) -> None:
        self.most, self.refused, self.largest = 10**6, 0, 0
        writer = model.decoder if family == "encoder_decoder" else model
        writer.register_forward_pre_hook(self._check, with_kwargs=True)

    def _check(self, module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        rows = len(kwargs["input_ids"])
        if rows > self.most:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        self.largest = max(self.largest, rows)


@pytest.fixture(params=first_daily(reversed(FAMILIES)))
def limited(request):
    """(decoder, its limit, prompts)"""
    model, tokenizer = tiny_generators.learned(request.param)
    model = copy.deepcopy(model)
    limit = Limit(model, request.param)
    return Decoder(model, tokenizer, request.param), limit, tiny_generators.prompts(request.param)


def by_index(answers) -> list:
    return [(one.index, one.samples) for one in sorted(answers, key=lambda one: one.index)]


@pytest.mark.parametrize("samples", [1, 5])
def test_free_decoding(limited, samples, capsys) -> None:
    decoder, limit, prompts = limited

    def draw(batch_size) -> list:
        more = {"samples": samples, "temperature": 1.2, "max_new_tokens": 16, "batch_size": batch_size}
        return by_index(generate(decoder, prompts, prompts, **more))

    expected = draw(64)
    assert limit.largest == 4 * samples
    assert draw("auto") == expected
    limit.most, limit.largest = 3, 0
    assert draw(64) == draw("auto") == expected
    assert limit.largest <= 3 < limit.most + limit.refused
    assert (
        f"out of memory with {4 * samples} sequences at once; continuing with {2 * samples}" in capsys.readouterr().err
    )
    limit.most = 0
    with pytest.raises(UserError, match="not enough memory to decode 1 sequence"):
        draw(64)


def test_beam_search(limited) -> None:
    decoder, limit, prompts = limited

    def search(batch_size) -> list:
        return by_index(beam_search(decoder, prompts, prompts, beams=3, max_new_tokens=12, batch_size=batch_size))

    expected = search(64)
    assert limit.largest == 12
    assert search("auto") == expected
    limit.most = 7
    assert search(64) == expected
    assert limit.refused
    limit.most = 2  # a beam search cannot be taken apart
    with pytest.raises(UserError, match=r"decode 3 sequence\(s\) at once"):
        search(64)


@pytest.fixture(params=first_daily(FAMILIES))
def guided(request):
    """(generator, its limit, discriminator)"""
    generator = make_generator("small", request.param)
    limit = Limit(generator.decoder.model, request.param)
    discriminator = make_discriminator(generator, "small")
    make_rows_independent(discriminator)  # as a discriminator that is loaded
    return generator, limit, discriminator


SHAPE = {"beta": 0.6, "candidates": 4, "temperature": 0.9, "max_steps": 3, "max_step_tokens": 7, "samples": 2}


def test_guided_decoding(guided) -> None:
    generator, limit, discriminator = guided

    def decode(batch_size) -> list:
        options = Guided(**SHAPE, batch_size=batch_size)
        return [row.samples for row in decode_guided(generator, discriminator, make_examples(5), options, 3)]

    expected = decode(1000)
    whole = limit.largest
    assert decode("auto") == expected
    limit.most, limit.largest = 9, 0
    assert decode(1000) == decode("auto") == expected
    assert limit.refused
    assert limit.largest <= 9 < whole


def test_a_batch_counts_candidates_of_all_samples(guided) -> None:
    """Forty samples of a few questions must not be held at once only because their candidates are written in parts."""
    generator, limit, discriminator = guided
    options = Guided(**SHAPE | {"samples": 6, "candidates": 2}, batch_size=12)
    list(decode_guided(generator, discriminator, make_examples(5), options, 3))
    assert limit.largest <= 12
    assert not limit.refused


def test_choice_of_steps(guided) -> None:
    generator, limit, discriminator = guided
    step = "<<3+5=8>>"
    contexts = [
        Context(example.id, example.question, prefix, step) for example in make_examples(4) for prefix in ((), (step,))
    ]
    options = Guided(**SHAPE | {"samples": 1}, batch_size=1000)
    expected = measure_step_choice(generator, discriminator, contexts, options, 0)
    limit.most = 6
    assert measure_step_choice(generator, discriminator, contexts, options, 0) == expected
    assert limit.refused
