"""One pass over a question and three rationales gives what three passes give; losses by hand."""

import math

import pytest
import torch
from transformers import GPT2Config, GPTJConfig, LlamaConfig, T5Config
from transformers.models.auto import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from retrace.errors import UserError
from retrace.systems.learn_to_reason.contrastive import (
    ReflectionRow,
    attention_of,
    collate_reflection,
    last_state,
    pooled_state,
    prompt_weights,
    reflection_counts,
    reflection_sums,
    share_questions,
    triplet_losses,
    weighted_loss,
)
from retrace.training.data import IGNORED, Row

END, PAD, START, WORDS = 1, 0, 0, 40
CONFIGS = {
    "gpt2": GPT2Config(vocab_size=WORDS, n_positions=64, n_embd=16, n_layer=2, n_head=2),
    "gptj": GPTJConfig(vocab_size=WORDS, n_positions=64, n_embd=16, n_layer=2, n_head=2, rotary_dim=4),
    "llama": LlamaConfig(
        vocab_size=WORDS,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
    ),
    "t5": T5Config(
        vocab_size=WORDS, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=START
    ),
}


def network(kind: str, attention: str = "eager"):
    torch.manual_seed(0)
    automatic = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    model = automatic.from_config(CONFIGS[kind], attn_implementation=attention).eval()
    share_questions(model)
    return model


def words(count: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, WORDS, (count,), generator=generator).tolist()


def row(question: int, sample: int, positive: int, negative: int, seed: int, **changes) -> ReflectionRow:
    target = [*words(sample, seed + 1), END]
    given = {
        "sample": Row(words(question, seed), target, [False] * len(target)),
        "positive": [*words(positive, seed + 2), END] if positive else [],
        "negative": [*words(negative, seed + 3), END] if negative else [],
    }
    return ReflectionRow(**given | changes)


ROWS = [row(7, 4, 6, 3, 10), row(3, 8, 2, 5, 20), row(5, 5, 0, 4, 30), row(9, 1, 1, 7, 40)]


def separately(
    model, kind: str, one: ReflectionRow, weight: float, ends: bool = False
) -> tuple[float, list[torch.Tensor]]:
    """The language-model loss (a sum) and the three last-token states, a pass each, without padding.

    ends: the token that ends a rationale is read, too.
    """
    states, loss = [], 0.0
    for target in (one.sample.target, one.positive, one.negative):
        if kind == "t5":
            fed = torch.tensor([[START, *(target if ends else target[:-1])]])
            out = model(input_ids=torch.tensor([one.sample.ids]), decoder_input_ids=fed, output_hidden_states=True)
            states.append(out.decoder_hidden_states[-1][0])
            scores, wanted, weights = out.logits[0, : len(target)], target, [1.0] * len(target)
        else:
            ids = [*one.sample.ids, *target]
            out = model(input_ids=torch.tensor([ids if ends else ids[:-1]]), output_hidden_states=True)
            states.append(out.hidden_states[-1][0, len(one.sample.ids) :])
            head = len(one.sample.ids) - 1
            scores, wanted, weights = out.logits[0, : len(ids) - 1], ids[1:], [weight] * head + [1.0] * len(target)
        if target is one.sample.target:
            picked = scores.log_softmax(-1)[torch.arange(len(wanted)), torch.tensor(wanted)]
            loss = -(picked * torch.tensor(weights)).sum().item()
    return loss, states


@pytest.mark.parametrize(("pooled", "ends"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(
    ("kind", "attention"), [("gpt2", "eager"), ("gpt2", "sdpa"), ("gptj", "eager"), ("llama", "sdpa"), ("t5", "eager")]
)
def test_one_pass_gives_what_three_give(kind: str, attention: str, pooled: bool, ends: bool) -> None:
    model = network(kind, attention)
    batch = collate_reflection(ROWS, PAD, 0.1, START if kind == "t5" else None, ends=ends)
    sums = reflection_sums(model, batch, pooled, margin=1.0)
    language, triplets = 0.0, []
    for one in ROWS:
        loss, states = separately(model, kind, one, 0.1, ends)
        language += loss
        if one.contrasts:
            points = [state.mean(0, keepdim=True) if pooled else state[-1:] for state in states]
            triplets.append(triplet_losses(*points, margin=1.0).item())
    assert sums[0].item() == pytest.approx(language, rel=1e-5)
    assert sums[1].item() == pytest.approx(sum(triplets), abs=1e-5)
    assert len(triplets) == 3
    prompts = 0 if kind == "t5" else sum(len(one.sample.ids) - 1 for one in ROWS)
    assert reflection_counts(batch).tolist() == [prompts + sum(len(one.sample.target) for one in ROWS), 3]


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_a_long_sample_is_contrasted_by_its_beginning(kind: str, pooled: bool) -> None:
    """As its positives and negatives are; it is learned whole."""
    model = network(kind)
    batch = collate_reflection(ROWS, PAD, 0.1, START if kind == "t5" else None, ends=True)
    whole = reflection_sums(model, batch, pooled, 1.0)
    cut = reflection_sums(model, batch, pooled, 1.0, longest=3)
    triplets = []
    for one in ROWS:
        sample, *others = separately(model, kind, one, 0.1, ends=True)[1]
        sample = sample[: 3 + (kind == "t5")]
        points = [state.mean(0, keepdim=True) if pooled else state[-1:] for state in (sample, *others)]
        triplets += [triplet_losses(*points, margin=1.0).item()] if one.contrasts else []
    assert cut[1].item() == pytest.approx(sum(triplets), abs=1e-5)
    assert cut[1].item() != pytest.approx(whole[1].item(), abs=1e-4)
    assert cut[0].item() == whole[0].item()


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_gradients_are_those_of_three_passes(kind: str) -> None:
    """All three rationales move the weights, as the authors' code lets them."""
    model, one = network(kind), ROWS[0]
    sums = reflection_sums(model, collate_reflection([one], PAD, 0.1, START if kind == "t5" else None), False, 1.0)
    sums[1].backward()
    ours = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    _, states = separately(model, kind, one, 0.1)
    triplet_losses(*(state[-1:] for state in states), margin=1.0).sum().backward()
    theirs = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    assert max(grad.abs().max() for grad in theirs.values()) > 1e-3
    for name, grad in theirs.items():
        assert torch.allclose(ours[name], grad, atol=1e-6), name


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_without_contrasts_only_the_sample_is_read(kind: str) -> None:
    model, start = network(kind), START if kind == "t5" else None
    plain = [row(5, 5, 0, 4, 30), row(4, 6, 3, 0, 50)]
    sums = reflection_sums(model, collate_reflection(plain, PAD, 0.1, start), False, 1.0)
    assert sums[1] == 0
    alone = [reflection_sums(model, collate_reflection([one], PAD, 0.1, start), False, 1.0)[0].item() for one in plain]
    assert sums[0].item() == pytest.approx(sum(alone), rel=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_rows_that_only_contrast_are_not_learned(kind: str) -> None:
    model, start = network(kind), START if kind == "t5" else None
    silent = [row(7, 4, 6, 3, 10, learn=False)]
    batch = collate_reflection(silent, PAD, 0.1, start)
    sums = reflection_sums(model, batch, False, 1.0)
    assert sums[0] == 0
    assert reflection_counts(batch).tolist() == [0, 1]
    both = reflection_sums(model, collate_reflection(ROWS[:1], PAD, 0.1, start), False, 1.0)
    assert sums[1].item() == pytest.approx(both[1].item(), abs=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_masked_tokens_are_read_but_not_in_the_loss(kind: str) -> None:
    start = START if kind == "t5" else None
    one = row(4, 5, 0, 0, 60)
    masked = ReflectionRow(Row(one.sample.ids, one.sample.target, [False, True, True, False, False, False]), [], [])
    whole, part = (collate_reflection([given], PAD, 0.1, start) for given in (one, masked))
    assert (reflection_counts(whole) - reflection_counts(part)).tolist() == [2, 0]
    assert torch.equal(whole["input_ids"], part["input_ids"])


def test_weights_of_the_prompt_by_hand() -> None:
    assert prompt_weights(3, 6, 0.1) == [0.1, 0.1, 1.0, 1.0, 1.0]
    assert prompt_weights(3, 6, 0.1, official=True) == [0.1, 0.1, 0.1, 1.0, 1.0]
    assert prompt_weights(3, 3, 0.5, official=True) == [0.5, 0.5]
    logits = torch.zeros(1, 2, 4)
    logits[0, 0, 1] = math.log(3)  # probabilities 1/6 1/2 1/6 1/6, then 1/4 each
    loss = weighted_loss(logits, torch.tensor([[1, 2]]), torch.tensor([[0.1, 1.0]]))
    assert loss.item() == pytest.approx(0.1 * math.log(2) + math.log(4))
    left_out = weighted_loss(logits, torch.tensor([[1, IGNORED]]), torch.tensor([[0.1, 1.0]]))
    assert left_out.item() == pytest.approx(0.1 * math.log(2))


def test_triplets_and_states_by_hand() -> None:
    east, north, west = (torch.tensor([vector]) for vector in ([1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]))
    assert triplet_losses(east, east, west, 1.0).tolist() == [0.0]
    assert triplet_losses(east, north, east, 1.0).tolist() == [2.0]
    assert triplet_losses(east, north, north, 0.3).tolist() == pytest.approx([0.3])
    assert triplet_losses(east * float("nan"), north, west, 1.0).tolist() == [0.0]
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert last_state(hidden, mask).tolist() == [[3.0, 6.0]]
    assert pooled_state(hidden, mask).tolist() == [[2.0, 4.0]]


def test_an_attention_without_a_mask_is_refused() -> None:
    with pytest.raises(UserError, match="attention 'flash_attention_2' does not accept the mask"):
        attention_of(torch.zeros(1, 2, dtype=torch.long), "flash_attention_2", torch.float32)


def test_texts_of_the_end_token_alone_are_not_contrasted() -> None:
    assert not row(3, 4, 5, 0, 0).contrasts
    assert not ReflectionRow(row(3, 4, 0, 0, 0).sample, [END], [*words(3, 1), END]).contrasts
    assert row(3, 1, 1, 1, 0).contrasts
