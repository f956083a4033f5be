"""The same seed gives the same bytes, whatever the batch size, the number of shards and of threads."""

from functools import lru_cache
from operator import itemgetter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from retrace.decoding.best_of_n import BestOfN
from retrace.decoding.engine import Decoder
from retrace.decoding.options import Beam, Greedy, Guided, SelfConsistency
from retrace.decoding.sampling import generate
from retrace.decoding.setup import Generator, shard_of
from retrace.evaluation.predictions import write_predictions
from retrace.models import exact
from retrace.models.discriminator import StepDiscriminator, load_discriminator
from retrace.models.encoder_head import scratch_encoder
from retrace.models.options import ModelConfig, ScratchModel
from retrace.models.scratch import build_model
from retrace.prompting.prompting import Prompting
from retrace.schemas import Prediction
from retrace.systems.algorithms import algorithms
from retrace.text.calculator import Calculator
from suites import first_daily
from unit.guided_rows import decode_guided
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TASK = arithmetic_task()
EXAMPLES = problems(200)
SCRATCH = ScratchModel(width=48, layers=2, heads=4, feedforward=96, positions=256)
SHARED = {"max_new_tokens": 12}
STEPWISE = {**SHARED, "candidates": 4, "max_steps": 2, "max_step_tokens": 6, "temperature": 1.3}
DECODERS = {
    "greedy": Greedy(**SHARED),
    "beam": Beam(**SHARED, beams=3),
    "self_consistency": SelfConsistency(**SHARED, samples=3, temperature=1.2),
    "best_of_n": BestOfN(**SHARED, samples=3, temperature=1.2),
    "guided": Guided(**STEPWISE, beta=0.5),
    "guided_vote": Guided(**STEPWISE, beta=0.5, samples=2, selection="sample"),
    "guided_beam": Guided(**STEPWISE, beta=0.5, step_sampling="beam"),
    "stepwise": Guided(**STEPWISE, beta=0.0),
}


@lru_cache
def generator(family: str) -> Generator:
    """An untrained generator: its next tokens are nearly equally probable, so that a little noise would show."""
    _, tokenizer = tiny_generator(TASK, EXAMPLES, family)
    tokenizer.padding_side = "left" if family == "decoder_only" else "right"
    model = build_model(SCRATCH, family, tokenizer, seed=5)
    return Generator(TASK, ModelConfig(name="tiny", title="", family=family), Decoder(model, tokenizer, family),
                     Calculator(tokenizer), Prompting(TASK, family, tokenizer))  # fmt: skip


@pytest.fixture(scope="module")
def judge(tmp_path_factory) -> StepDiscriminator:
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    folder = tmp_path_factory.mktemp("judge")
    network = StepDiscriminator(scratch_encoder(tokenizer, 32, 2, 4, 64, 0.0, seed=2), tokenizer, pooling="mean")
    network.save(folder, "discriminator")
    return load_discriminator(folder)


def in_order(made: Generator, options, rows, seed: int) -> list[Prediction]:
    """The predictions of the algorithm that has these options."""
    algorithm = next(one for one in algorithms().values() if one.options is type(options))
    return [row for _, row in sorted(algorithm.answer(made, options, rows, seed), key=itemgetter(0))]


def file_of(folder: Path, made: Generator, judge, options, shards: int) -> bytes:
    """The predictions file of 7 questions, gathered from its shards."""
    parts = []
    for shard in range(shards):
        rows = shard_of(EXAMPLES[:7], shard, shards)
        if isinstance(options, Guided):
            predictions = list(decode_guided(made, judge, rows, options, seed=3))
        else:
            predictions = in_order(made, options, rows, seed=3)
        write_predictions(folder / "part.jsonl", predictions)
        parts.append((folder / "part.jsonl").read_bytes())
    return b"".join(parts)


# Each decoder with one family every day, and with the other in the full suite.
EVERY_DAY = {name: ("encoder_decoder", "decoder_only")[number % 2] for number, name in enumerate(DECODERS)}


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param(name, family, marks=[] if EVERY_DAY[name] == family else pytest.mark.slow)
        for name in DECODERS
        for family in ("encoder_decoder", "decoder_only")
    ],
)
def test_neither_shards_nor_batches_change_a_byte(tmp_path, judge, name: str, family: str) -> None:
    made, options = generator(family), DECODERS[name]
    files = {
        file_of(tmp_path, made, judge, options.model_copy(update={"batch_size": size}), shards)
        for shards, size in ((1, 1), (1, 32), (2, 3))  # alone, together, and in batches of unequal size
    }
    assert len(files) == 1
    assert files.pop().count(b"\n") == 7


@pytest.mark.parametrize("family", first_daily(["encoder_decoder", "decoder_only"]))
def test_what_is_rounded_in_the_file_is_equal_to_the_last_bit(judge, family: str) -> None:
    made, prompts = generator(family), [EXAMPLES[index].question for index in range(12)]
    keys = [str(index) for index in range(12)]
    found = []
    for size in (1, 5, 36):
        answers = generate(
            made.decoder, prompts, keys, samples=3, temperature=1.3, max_new_tokens=10, seed=1, batch_size=size
        )
        found.append([answer.samples for answer in sorted(answers, key=lambda answer: answer.index)])
    assert found[0] == found[1] == found[2]
    steps = [f"{a} + {b} |" for a in range(6) for b in range(6)]
    scores = [judge.score_contexts(prompts * 3, steps, size) for size in (1, 7, 36)]
    assert torch.equal(scores[0], scores[1])
    assert torch.equal(scores[0], scores[2])


def test_times_are_beside_the_rows_and_not_in_them(tmp_path) -> None:
    made = generator("encoder_decoder")
    rows = in_order(made, Greedy(**SHARED), EXAMPLES[:2], seed=0)
    assert all(row.seconds > 0 for row in rows)
    write_predictions(tmp_path / "test.jsonl", rows)
    assert "seconds" not in (tmp_path / "test.jsonl").read_text()
    assert '"questions":2,"seconds":' in (tmp_path / "test.timing.jsonl").read_text()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_row_is_the_same_among_many_and_alone(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = generator("encoder_decoder")
        model, rows = made.decoder.model, torch.randn(80, 48)
        layer = model.lm_head
        whole = layer(rows)
        for count in range(1, 40):
            assert torch.equal(layer(rows[:count]), whole[:count]), count
    finally:
        torch.set_num_threads(before)


def test_without_the_preparation_rows_differ() -> None:
    """The noise is there: this test says when the preparation is no longer needed."""
    torch.manual_seed(0)
    rows, weight = torch.randn(64, 48), torch.randn(200, 48)
    alone = torch.cat([functional.linear(row[None], weight) for row in rows])
    assert not torch.equal(alone, functional.linear(rows, weight))


def test_a_matrix_library_without_equal_rows_means_float64(monkeypatch) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 5)

    monkeypatch.setattr(functional, "linear", lambda rows, weight: rows @ weight.T + len(rows) * 1e-7)
    exact._rows_agree.cache_clear()
    network = Plain()
    exact.make_rows_independent(network)
    exact._rows_agree.cache_clear()
    assert network.layer.weight.dtype == torch.float64


def test_a_generator_in_float64_decodes(tmp_path, judge) -> None:
    """What a machine with such a library would do."""
    made = generator("encoder_decoder")
    model = build_model(SCRATCH, "encoder_decoder", made.decoder.tokenizer, seed=5).double()
    decoder = Decoder(model, made.decoder.tokenizer, "encoder_decoder")
    wide = Generator(TASK, made.config, decoder, made.calculator, made.prompting)
    for name in ("greedy", "beam", "guided"):
        options = DECODERS[name].model_copy(update={"batch_size": 4})
        assert file_of(tmp_path, wide, judge, options, 1).count(b"\n") == 7
