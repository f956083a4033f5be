"""The step discriminator: pooling, input, checkpoints of both layouts, losses and its training data."""

import pytest
import torch
from transformers import AutoTokenizer, ElectraConfig, ElectraModel, T5Config, T5ForConditionalGeneration

from retrace.errors import UserError
from retrace.models.discriminator import StepDiscriminator, discriminator_input, load_discriminator, pair_loss
from retrace.models.encoder_head import add_separators, infer_t5_config, pool, scratch_encoder
from retrace.models.verifier import load_verifier
from retrace.schemas import Pair
from retrace.systems.grace import train_discriminator as training
from retrace.systems.grace.networks import make_network
from retrace.systems.grace.options import DiscriminatorTraining
from unit.tiny_models import arithmetic_task, problems, tiny_folder, tiny_generator

TASK = arithmetic_task()
EXAMPLES = problems(30)


def make(**settings) -> StepDiscriminator:
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    torch.manual_seed(0)
    return StepDiscriminator(scratch_encoder(tokenizer, 16, 2, 2, 32, 0.1, seed=0), tokenizer, **settings).eval()


def test_pooling_by_hand() -> None:
    hidden = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [100.0, 100.0]]])
    mask = torch.tensor([[True, True, False]])
    assert pool(hidden, mask, "max").tolist() == [[3.0, -5.0]]
    assert pool(hidden, mask, "mean").tolist() == [[2.0, -6.0]]
    assert pool(hidden, mask, "cls").tolist() == [[1.0, -5.0]]


def test_losses_by_hand() -> None:
    positive, negative = torch.tensor([0.5, -0.2]), torch.tensor([0.1, 0.3])
    assert pair_loss(positive, negative, "max_margin", 1.0).item() == pytest.approx((0.6 + 1.5) / 2)
    assert pair_loss(positive, negative, "max_margin", 0.0).item() == pytest.approx(0.25)
    smooth = -(torch.sigmoid(torch.tensor([0.4, -0.5])).log()).mean().item()
    assert pair_loss(positive, negative, "log_sigmoid").item() == pytest.approx(smooth)
    each = -(torch.tensor([0.75, 0.4]).log() + torch.tensor([0.45, 0.35]).log()).mean().item() / 2
    assert pair_loss(positive, negative, "binary").item() == pytest.approx(each)
    # No contrast: raising both scores alike is not free. At the ends the loss stays finite, and so does its gradient.
    assert pair_loss(positive + 0.2, negative + 0.2, "binary").item() != pytest.approx(each)
    ends = torch.tensor([-1.0], requires_grad=True)
    pair_loss(ends, torch.tensor([1.0]), "binary").backward()
    assert ends.grad is not None
    assert torch.isfinite(ends.grad).all()


def test_input_marks_question_and_prefix() -> None:
    assert discriminator_input(TASK, "How many?", [], "<<1+1=2>>") == ("Q: How many? A:", "<<1+1=2>> |")
    context, step = discriminator_input(TASK, "How many?", ["a", "b"], "c")
    assert (context, step) == ("Q: How many? A: a | b |", "c |")


def test_rows_hold_separators_and_keep_the_step_when_cut() -> None:
    network = make(max_length=12)
    contexts, steps = ["Q: " + EXAMPLES[0].question + " A:"], ["<<1+2=3>> |"]
    row = network.encode(contexts, steps)[0]
    step = network.tokenizer(steps[0], add_special_tokens=False)["input_ids"]
    assert len(row) == 12
    assert row[0] == network.tokenizer.cls_token_id
    assert row[-len(step) :] == step
    assert row[-len(step) - 1] == network.tokenizer.sep_token_id
    assert row[1 : -len(step) - 1] == network.tokenizer(contexts[0], add_special_tokens=False)["input_ids"][-2:]
    assert network.too_long(contexts, steps) == [0]
    assert len(make(max_length=5).encode(contexts, steps)[0]) == 5


@pytest.mark.parametrize("step_only", [False, True])
@pytest.mark.parametrize("pooling", ["max", "mean", "cls"])
def test_padding_and_batching_do_not_change_scores(pooling: str, step_only: bool) -> None:
    network = make(pooling=pooling, pool_step_only=step_only)
    questions = [example.question for example in EXAMPLES[:6]] * 2
    prefixes = [TASK.join_steps(example.steps[:1]) for example in EXAMPLES[:6]] * 2
    steps = [f"{example.steps[-1]} |" for example in EXAMPLES[:6]] * 2
    alone = torch.cat([network.score([q], [p], [s]) for q, p, s in zip(questions, prefixes, steps, strict=True)])
    assert torch.allclose(network.score(questions, prefixes, steps, batch_size=5), alone, atol=1e-5)
    assert alone.std() > 0


def test_step_only_pooling_looks_at_the_step() -> None:
    network = make(pool_step_only=True)
    ids = torch.tensor([[3, 9, 4, 7, 8, 0], [3, 9, 9, 4, 7, 8]])
    assert network._after_separator(ids).tolist() == [[False] * 3 + [True] * 3, [False] * 4 + [True] * 2]


def test_own_checkpoint_keeps_scores_and_settings(tmp_path) -> None:
    network = make(pooling="mean", pool_step_only=True, max_length=64)
    network.save(tmp_path, "discriminator")
    again = load_discriminator(tmp_path)
    assert (again.pooling, again.pool_step_only, again.max_length) == ("mean", True, 64)
    given = (["Tom has 3 pens."], ["<<3+4=7>> |"], ["<<7+1=8>> |"])
    # A loaded network computes some layers in float64, so that a row does not depend on the rows beside it.
    assert torch.allclose(again.score(*given), network.score(*given), atol=1e-6)
    with pytest.raises(UserError, match="a verifier is needed"):
        load_verifier(tmp_path)


def released_folder(path, gated: bool, config: bool):
    """A folder as the authors released theirs: the whole T5 beside the head, in pytorch_model.bin."""
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    t5 = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer) + 5,
            d_model=24,
            d_kv=6,
            d_ff=40,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu" if gated else "relu",
            tie_word_embeddings=False,
        )
    ).eval()
    head = {"out_linear1": torch.nn.Linear(24, 24), "out_linear2": torch.nn.Linear(24, 1)}
    state = {f"model.{name}": weight for name, weight in t5.state_dict().items()}
    state |= {f"{name}.{key}": weight for name, layer in head.items() for key, weight in layer.state_dict().items()}
    torch.save(state, path / "pytorch_model.bin")
    tokenizer.save_pretrained(path)
    if config:
        t5.config.save_pretrained(path)
    return t5, head


@pytest.mark.parametrize(("gated", "config"), [(True, False), (False, False), (True, True)])
def test_released_layout(tmp_path, gated: bool, config: bool) -> None:
    t5, head = released_folder(tmp_path, gated, config)
    network = load_discriminator(tmp_path)
    ids, mask = torch.tensor([[3, 9, 4, 7], [3, 9, 9, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        hidden = t5.encoder(input_ids=ids, attention_mask=mask)[0].masked_fill(mask[..., None] == 0, -1e9).amax(1)
        expected = torch.tanh(head["out_linear2"](torch.relu(head["out_linear1"](hidden)))).squeeze(-1)
    assert torch.allclose(network.score_ids(ids, mask).float(), expected, atol=1e-5)  # in float64 on some processors
    assert -1 < network.score(["q"], [""], ["s |"]).item() < 1


def test_faulty_folders(tmp_path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load_discriminator(tmp_path / "none")
    with pytest.raises(UserError, match=r"neither .* nor pytorch_model"):
        load_discriminator(tmp_path)
    released_folder(tmp_path, gated=False, config=False)
    whole = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    torch.save({key: value for key, value in whole.items() if "out_linear2" not in key}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"weight out_linear2\.weight is missing"):
        load_discriminator(tmp_path)
    torch.save(whole | {"out_linear1.bias": torch.zeros(3)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"out_linear1\.bias has shape \[3\], expected \[24\]"):
        load_discriminator(tmp_path)
    torch.save({"x": 1, **whole}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="something else than weights"):
        load_discriminator(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"cut off")
    with pytest.raises(UserError, match="cannot be read"):
        load_discriminator(tmp_path)


class Runs:
    """Unpickling this would run code."""

    def __reduce__(self):
        return print, ("unsafe",)


def test_pickled_code_is_refused(tmp_path, capsys) -> None:
    torch.save({"model.shared.weight": Runs()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be read"):
        load_discriminator(tmp_path)
    assert "unsafe" not in capsys.readouterr().out


def test_configuration_is_read_from_shapes() -> None:
    config = T5Config(vocab_size=50, d_model=32, d_kv=4, d_ff=48, num_layers=3, num_heads=8, feed_forward_proj="relu")
    state = {f"model.{name}": weight for name, weight in T5ForConditionalGeneration(config).state_dict().items()}
    found = infer_t5_config(state)
    for name in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "relative_attention_num_buckets"):
        assert getattr(found, name) == getattr(config, name)
    assert found.dense_act_fn == "relu"
    with pytest.raises(UserError, match="not a T5 encoder"):
        infer_t5_config({})


def test_electra_backbone_with_cut_positions(tmp_path) -> None:
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    config = ElectraConfig(
        vocab_size=len(tokenizer),
        embedding_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
    )
    ElectraModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    options = DiscriminatorTraining(backbone=str(tmp_path))
    network = make_network(StepDiscriminator, options, tmp_path, TASK, 0)
    assert network.max_length == 40
    assert network.score([EXAMPLES[0].question * 3], [""], ["<<1+1=2>> |"]).shape == (1,)
    network.save(tmp_path / "trained", "discriminator")
    again = load_discriminator(tmp_path / "trained")
    # The loaded one computes as decoding does, whatever the batch; in float64 on some processors.
    loaded, trained = again.score(["q"], [""], ["s"]), network.eval().score(["q"], [""], ["s"])
    assert torch.allclose(loaded.float(), trained, rtol=0, atol=1e-6)


def test_missing_special_tokens_are_added(tmp_path) -> None:
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    tokenizer.cls_token = tokenizer.sep_token = None
    tokenizer.save_pretrained(tmp_path)
    bare = AutoTokenizer.from_pretrained(tmp_path)
    add_separators(bare, brackets=True)
    assert (bare.cls_token, bare.sep_token) == ("[CLS]", "[SEP]")


def test_generator_log_probabilities_count_free_tokens_of_the_step(tmp_path) -> None:
    model, tokenizer = tiny_generator(TASK, EXAMPLES)
    model.eval()
    example = next(example for example in EXAMPLES if len(example.steps) > 1)
    rows = training.step_rows(
        TASK, tokenizer, "encoder_decoder", [example.question], [example.steps[:1]], [example.steps[1]]
    )
    kept = [token for token, out in zip(rows[0].target, rows[0].ignored, strict=True) if not out]
    step = example.steps[1]
    result = step[step.index("=") + 1 : -2]
    assert tokenizer.decode(kept) == f"{step.replace(result + '>>', '>>')} | "
    sums, counts = training.log_probabilities(model, tokenizer.pad_token_id, rows * 3, 2)
    assert counts.tolist() == [len(kept)] * 3
    logits = model(
        input_ids=torch.tensor([rows[0].ids]), decoder_input_ids=torch.tensor([[0, *rows[0].target[:-1]]])
    ).logits
    each = logits[0].log_softmax(-1)[range(len(rows[0].target)), rows[0].target]
    expected = each[~torch.tensor(rows[0].ignored)].sum().item()
    assert sums.tolist() == pytest.approx([expected] * 3, abs=1e-4)


def test_pairs_are_split_by_question() -> None:
    def pair(name: str, split: str) -> Pair:
        return Pair(example_id=name, split=split, question="q", prefix=[], positive="a", negative="b")

    train, dev = training.split_pairs([pair("a", "train"), pair("b", "dev")], "pairs.jsonl")
    assert (len(train), len(dev)) == (1, 1)
    with pytest.raises(UserError, match=r"pairs\.jsonl: no pair has split 'dev'"):
        training.split_pairs([pair("a", "train")], "pairs.jsonl")
    with pytest.raises(UserError, match="question 'a' is in both"):
        training.split_pairs([pair("a", "train"), pair("a", "dev")], "pairs.jsonl")


def test_accuracy_counts_ties_as_wrong() -> None:
    entry = training.accuracy_of(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 0.0, 3.0]))
    assert (entry["accuracy"], entry["n"], entry["ties"]) == (pytest.approx(1 / 3), 3, 1)
    assert entry["low"] < 1 / 3 < entry["high"]


def test_scratch_network_takes_the_generators_sizes(tmp_path) -> None:
    folder = tiny_folder(tmp_path, TASK, EXAMPLES)
    options = DiscriminatorTraining(backbone="scratch", layers=2)
    network = make_network(StepDiscriminator, options, folder, TASK, 0)
    assert (network.model.config.d_model, network.model.config.num_layers) == (16, 2)
    with pytest.raises(UserError, match="no multiple of the generator's 2 heads"):
        make_network(StepDiscriminator, options.model_copy(update={"width": 15}), folder, TASK, 0)
