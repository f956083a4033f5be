"""Batch-invariant inference on a processor: which networks stay in float32, and that rows are equal to the last bit."""

import json

import pytest
import torch
from torch import nn

from retrace.decoding.algorithms import open_checkpoint
from retrace.decoding.options import Greedy
from retrace.decoding.sampling import generate
from retrace.models import exact
from retrace.models.discriminator import StepDiscriminator, load_discriminator
from retrace.models.encoder_head import EncoderHead, scratch_encoder
from retrace.models.verifier import Verifier
from unit.tiny_models import arithmetic_task, problems, tiny_folder, tiny_generator

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


@pytest.mark.parametrize(
    ("exact_mode", "small", "large"), [("auto", True, False), ("always", True, True), ("never", False, False)]
)
def test_which_networks_are_computed_so(exact_mode: str, small: bool, large: bool) -> None:
    with torch.device("meta"):
        at_most, more = nn.Linear(exact.SMALL, 1, bias=False), nn.Linear(exact.SMALL, 1)
    assert (exact.is_wanted(exact_mode, at_most), exact.is_wanted(exact_mode, more)) == (small, large)


def is_prepared(network: nn.Module) -> bool:
    """Whether the linear layers of a network compute at least so many rows."""
    return any("forward" in vars(layer) for layer in network.modules() if isinstance(layer, nn.Linear | exact.Conv1D))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A task's YAML, and for each family its folder and its model's YAML."""
    home = tmp_path_factory.mktemp("exact")
    task = home / "arithmetic.yaml"
    task.write_text(json.dumps(TASK.config.model_dump(mode="json", exclude_defaults=True)))
    made = {}
    for family in ("encoder_decoder", "decoder_only"):
        folder = tiny_folder(home / family, TASK, EXAMPLES, family)
        file = home / f"tiny_{family}.yaml"
        file.write_text(f"name: tiny_{family}\ntitle: Tiny\nfamily: {family}\nfile: {folder}\n")
        made[family] = str(folder), str(file), str(task)
    return made


@pytest.mark.parametrize("family", ["encoder_decoder", "decoder_only"])
@pytest.mark.parametrize("chosen", ["auto", "always", "never"])
def test_the_option_reaches_the_generator(family: str, chosen: str, folders) -> None:
    generator = open_checkpoint(Greedy(exact=chosen, calculator=False), *folders[family], None)
    decoder, wanted = generator.decoder, chosen != "never"
    assert (decoder.exact, is_prepared(decoder.model)) == (wanted, wanted)
    prompts = [one.question for one in EXAMPLES[:6]]
    found = {one.index: one.samples[0] for one in generate(decoder, prompts, prompts, max_new_tokens=8, batch_size=4)}
    cache = decoder.prefill(decoder.encode(prompts[:2])).cache
    cache = getattr(cache, "self_attention_cache", cache)
    assert cache.layers[0].keys.dtype == (torch.float64 if wanted else torch.float32)
    assert len(found) == 6
    if family == "decoder_only" and not wanted:  # as the library decodes
        ids = decoder.encode(prompts[:1])
        options = {"do_sample": False, "max_new_tokens": 8, "pad_token_id": decoder.pad_id}
        written = decoder.model.generate(torch.tensor(ids), **options)[0].tolist()[len(ids[0]) :]
        assert written[: len(found[0].ids)] == list(found[0].ids)


@pytest.mark.parametrize(("chosen", "wanted"), [("auto", True), ("always", True), ("never", False)])
def test_the_option_reaches_the_discriminator(chosen: str, wanted: bool, tmp_path) -> None:
    network = judge(StepDiscriminator, 32, "mean", 1)
    network.save(tmp_path, "discriminator")
    loaded = load_discriminator(tmp_path, exact=chosen)
    assert is_prepared(loaded) is wanted
    assert torch.allclose(loaded.score_contexts(CONTEXTS, STEPS), network.score_contexts(CONTEXTS, STEPS), atol=1e-5)
