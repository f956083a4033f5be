"""Batch-invariant inference on a processor: which networks stay in float32, and that rows are equal to the last bit."""

import pytest
import torch
from torch import nn

from retrace.models import exact
from retrace.models.discriminator import StepDiscriminator
from retrace.models.encoder_head import EncoderHead, scratch_encoder
from retrace.models.verifier import Verifier
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TASK = arithmetic_task()
EXAMPLES = problems(40)
CONTEXTS = [f"Q: {one.question} A: {' '.join(one.steps[: number % 3])}" for number, one in enumerate(EXAMPLES)]
STEPS = [f"{one.steps[-1]} |" for one in EXAMPLES]


def judge(cls: type[EncoderHead], width: int, pooling: str, outputs: int) -> EncoderHead:
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    torch.manual_seed(0)
    encoder = scratch_encoder(tokenizer, width, 2, 4, 2 * width, 0.0, seed=1)
    return cls(encoder, tokenizer, pooling=pooling, outputs=outputs).eval()


@pytest.mark.parametrize(("cls", "outputs"), [(StepDiscriminator, 1), (Verifier, 2)])
@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("width", [32, 64])
def test_a_judge_stays_in_float32_and_its_rows_are_the_same_in_any_batch(cls, outputs, pooling, width) -> None:
    network = judge(cls, width, pooling, outputs)
    assert exact.make_rows_independent(network)
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    rows = network.encode(CONTEXTS, STEPS)
    with torch.inference_mode():
        alone = torch.cat([network.infer([row], 1) for row in rows])
        for size in (1, 3, 8, 40):
            assert torch.equal(network.infer(rows, size), alone), size
    assert alone.std() > 0


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_with_one_output_gives_what_it_gave(bias: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(48, 1, bias=bias)).eval()
    rows = torch.randn(50, 48)
    expected = network(rows)
    exact.make_rows_independent(network, None)
    assert network[0].weight.shape == (1, 48)
    whole = network(rows)
    assert whole.shape == (50, 1)
    assert torch.allclose(whole, expected, atol=1e-6)
    for count in range(1, 50):
        assert torch.equal(network(rows[:count]), whole[:count]), count


def test_without_the_second_output_rows_would_differ() -> None:
    """The reason is there: this test says when the preparation is no longer needed."""
    assert not exact._rows_agree(1, 64, torch.get_num_threads())
    assert exact._rows_agree(2, 64, torch.get_num_threads())
