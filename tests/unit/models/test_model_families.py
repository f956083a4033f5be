"""Every architecture that is said to work, as a tiny random model in a user's folder, by the code that users run."""

import copy
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from retrace.decoding.engine import Decoder
from retrace.decoding.sampling import generate
from retrace.models.architectures import DECODER_ONLY, ENCODER_DECODER
from retrace.models.discriminator import StepDiscriminator, load_discriminator
from retrace.models.load import check_tokenizer, load_model
from retrace.prompting.prompting import Prompting
from retrace.schemas import Example
from retrace.systems.dpo_st.options import RoundTraining
from retrace.systems.grace.networks import make_network
from retrace.systems.grace.options import DiscriminatorTraining
from retrace.systems.icot.networks import Coupled, Emulator, Student, teacher_states
from retrace.systems.learn_to_reason import contrastive
from retrace.text.calculator import Calculator
from retrace.training.adapters import merged, with_adapters
from retrace.training.data import Row, collate_generator, generator_rows
from retrace.training.likelihood import log_probabilities
from retrace.training.sft import extend_tokenizer, start_token, token_loss, write_generator
from unit.model_zoo import KINDS, POSITIONS, SPARE, save
from unit.tiny_generators import QUESTIONS
from unit.tiny_models import arithmetic_task

ROOT = Path(__file__).parents[3]
TASK = arithmetic_task()
# What a family shares with one of these is tried with the slow tests.
EVERY_DAY = ("llama", "qwen3", "gemma3", "gpt2", "t5")
ALL = [kind if kind in EVERY_DAY else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
PROMPTS = ["Q: Tom has 3 apples and 4 pears A:", "Q: Tom A:", "Q: Ann buys 6 boxes of 7 pens and then 9 more and 4 A:"]
EXAMPLES = [
    Example(
        id=f"toy-{number}",
        question=question,
        answer=answer,
        steps=answer.split(" | ")[:-1],
        final_answer=answer.partition("#### ")[2],
        split="train",
        source="",
    )
    for number, (question, answer) in enumerate(list(QUESTIONS.items())[:3:2])
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of a family's model, made when it is first asked for."""
    home = tmp_path_factory.mktemp("families")

    def folder(kind: str) -> Path:
        return home / kind if (home / kind).exists() else save(kind, home / kind)

    return folder


def opened(folders, kind: str):
    torch.set_num_threads(1)
    return load_model(folders(kind), KINDS[kind].family)


def ready(folders, kind: str):
    """A model whose tokenizer has what the task's solutions need, as fine-tuning makes it."""
    folder = folders(kind).with_name(f"{kind}_ready")
    if not folder.exists():
        model, tokenizer = opened(folders, kind)
        extend_tokenizer(model, tokenizer, TASK)
        check_tokenizer(tokenizer, TASK)
        write_generator(model, tokenizer, [], folder)
    torch.set_num_threads(1)
    return load_model(folder, KINDS[kind].family)


def test_each_architecture_that_works_is_tried() -> None:
    tried = {"decoder_only": set(), "encoder_decoder": set()}
    import transformers

    for kind in KINDS.values():
        tried[kind.family].add(getattr(transformers, kind.config).model_type)
    assert tried == {"decoder_only": set(DECODER_ONLY), "encoder_decoder": set(ENCODER_DECODER)}


@pytest.mark.parametrize("kind", ALL)
def test_greedy_tokens_are_the_librarys_alone_and_in_a_batch(kind: str, folders) -> None:
    model, tokenizer = opened(folders, kind)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer) + SPARE
    plain, decoder = copy.deepcopy(model), Decoder(model, tokenizer, KINDS[kind].family)
    prompts = decoder.encode(PROMPTS)

    def written(batch_size: int) -> list[list[int]]:
        found = {
            answer.index: list(answer.samples[0].ids)
            for answer in generate(decoder, PROMPTS, PROMPTS, max_new_tokens=20, batch_size=batch_size)
        }
        return [found[index] for index in range(len(PROMPTS))]

    expected = []
    for row in prompts:
        given = torch.tensor([row])
        options = {"do_sample": False, "max_new_tokens": 20, "pad_token_id": tokenizer.pad_token_id}
        options |= {"eos_token_id": tokenizer.eos_token_id, "attention_mask": torch.ones_like(given)}
        ids = plain.generate(given, **options)[0].tolist()
        ids = ids[len(row) if KINDS[kind].family == "decoder_only" else 1 :]
        end = tokenizer.eos_token_id
        expected.append(ids[: ids.index(end) + 1] if end in ids else ids)
    assert written(1) == expected
    assert written(len(PROMPTS)) == expected
    assert kind == "bloom" or len({tuple(row) for row in expected}) > 1


@pytest.mark.parametrize("kind", ALL)
def test_solutions_are_learned_by_heart_scored_and_decoded_with_the_calculator(kind: str, folders, tmp_path) -> None:
    """Training and decoding read a prompt alike, end tokens are learned, and the calculator mends what was learned wrong."""
    model, tokenizer = ready(folders, kind)
    family = KINDS[kind].family
    prompting = Prompting(TASK, family, tokenizer)
    rows = generator_rows(EXAMPLES, TASK, tokenizer, family, POSITIONS)
    batch = collate_generator(rows, tokenizer.pad_token_id, start_token(model))
    assert [row.target[-1] for row in rows] == [tokenizer.eos_token_id] * 2
    assert all((batch["labels"] == tokenizer.eos_token_id).sum(1) == 1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.div_(6.0 if family == "decoder_only" else 3.0)  # of the size that they start from in a training
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = token_loss(model, batch).item()
    for _ in range(120):
        loss = token_loss(model, batch)  # without dropout
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.05:
            break
    assert loss.item() < 0.02 * first
    model.eval()
    together, _ = log_probabilities(model, tokenizer.pad_token_id, rows, 2)
    alone, counts = log_probabilities(model, tokenizer.pad_token_id, rows, 1)
    assert together.tolist() == pytest.approx(alone.tolist(), abs=1e-3)
    assert counts.tolist() == [len(row.target) for row in rows]
    write_generator(model, tokenizer, [], tmp_path / "learned")
    model, tokenizer = load_model(tmp_path / "learned", family)
    prompts = [prompting.text(example.question) for example in EXAMPLES]
    decoder = Decoder(model, tokenizer, family, control_tokens=False)
    assert decoder.encode(prompts) == [row.ids for row in rows]
    for calculator in (None, Calculator(tokenizer)):
        found = {
            answer.index: answer.samples[0]
            for answer in generate(decoder, prompts, prompts, max_new_tokens=40, calculator=calculator)
        }
        if calculator is None:
            assert all(one.finished for one in found.values())
            # T5 keeps no space before the tokens that were added.
            assert [found[index].text for index in range(2)] == [
                tokenizer.decode(row.target[:-1]).strip() for row in rows
            ]
            assert [found[index].logprob for index in range(2)] == pytest.approx(alone.tolist(), abs=2e-2)
        else:
            assert found[0].text.replace(" ", "").startswith("hehas<<3+4=7>>")


@pytest.mark.parametrize("kind", ALL)
def test_adapters_are_found_trained_and_merged(kind: str, folders) -> None:
    model, tokenizer = ready(folders, kind)
    family = KINDS[kind].family
    rows = generator_rows(EXAMPLES, TASK, tokenizer, family, POSITIONS)
    batch = collate_generator(rows, tokenizer.pad_token_id, start_token(model))
    start = token_loss(model, batch).item()
    adapted = with_adapters(model, RoundTraining(lora_rank=2, learning_rate=1e-3), family, 0)
    names = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert names
    assert all("lora_" in name for name in names)
    layers = {re.search(r"\.(\d+)\.", name).group(1) for name in names}
    assert layers == {"0", "1"}, "every layer has some"
    assert token_loss(adapted, batch).item() == pytest.approx(start, rel=1e-4), "fresh ones change nothing"
    optimizer = torch.optim.AdamW([weight for weight in adapted.parameters() if weight.requires_grad], lr=1e-2)
    for _ in range(8):
        optimizer.zero_grad()
        token_loss(adapted, batch).backward()
        optimizer.step()
    trained = token_loss(adapted, batch).item()
    assert trained < start
    assert token_loss(merged(adapted), batch).item() == pytest.approx(trained, rel=1e-3)


@pytest.mark.parametrize("kind", ALL)
def test_a_discriminator_on_this_backbone(kind: str, folders, tmp_path) -> None:
    options = DiscriminatorTraining(backbone=str(folders(kind)), learning_rate=1e-3)
    network = make_network(StepDiscriminator, options, folders(kind), TASK, 0, pooling="max", pool_step_only=False)
    wrong, right = ([question, *("",), step] for question, step in (("Tom has 3 of 4", "2+2 |"), ("Ann", "1+1 |")))
    ids = network.encode(["Q: Tom has 3 A:"], ["2+2 |"])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    score = network(torch.tensor(ids), torch.ones(1, len(ids[0]), dtype=torch.long))
    score.sum().backward()
    optimizer.step()
    network.eval()
    network.save(tmp_path / "judge", "discriminator")
    again = load_discriminator(tmp_path / "judge")
    both = again.score(*[list(column) for column in zip(wrong, right, strict=True)])
    alone = torch.cat([again.score(*[[part] for part in row]) for row in (wrong, right)])
    assert torch.allclose(both, alone, atol=1e-5), "padding changes nothing"
    assert torch.allclose(network.score(*[[part] for part in wrong]), alone[:1], atol=1e-4)
    assert both[0] != both[1]


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in EVERY_DAY else pytest.param(kind, marks=pytest.mark.slow)
        for kind in KINDS
        if KINDS[kind].family == "decoder_only"  # the plan refuses the others
    ],
)
def test_the_stages_of_implicit_chain_of_thought(kind: str, folders) -> None:
    model, _ = opened(folders, kind)
    ids = torch.arange(24).view(2, 12) + 5
    first, second = torch.tensor([3, 4]), torch.tensor([7, 9])
    states = teacher_states(model, ids, first, second)
    hidden = model(input_ids=ids, output_hidden_states=True).hidden_states
    # The state that enters a layer is what the layer before gave.
    for layer in range(2):
        entered = torch.nn.functional.layer_norm(hidden[layer][torch.arange(2), [first, second][layer]].float(), [32])
        assert torch.allclose(states[:, layer], entered, atol=1e-4)
    coupled = Coupled(Emulator(copy.deepcopy(model)), Student(copy.deepcopy(model))).train()
    logits = coupled(ids, ids[:, :5], first)
    logits.logsumexp(-1).sum().backward()
    blind = [name for name, weight in coupled.student.mlps.named_parameters() if weight.grad is None]
    assert not blind, "the emulator's states reach the answer"
    assert coupled.emulator.mlps[0][0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ALL)
def test_rationales_read_together_are_as_those_read_alone(kind: str, folders) -> None:
    """Learn-to-Reason's pass over a question and three of its rationales, whatever the model's attention sees."""
    model, tokenizer = opened(folders, kind)
    start = start_token(model)
    contrastive.share_questions(model)
    ids = torch.randint(5, 60, (2, 60), generator=torch.Generator().manual_seed(1)).tolist()
    rows = [
        contrastive.ReflectionRow(
            Row(one[:size], one[20 : 20 + more], [False] * more), one[32 : 32 + more - 2], one[44 : 44 + size]
        )
        for one, size, more in zip(ids, (14, 6), (9, 11), strict=True)
    ]
    batch = contrastive.collate_reflection(rows, tokenizer.pad_token_id, 1.0, start)
    states_of = contrastive._causal_states if start is None else contrastive._seq2seq_states
    with torch.no_grad():
        logits, states = states_of(model, batch, False, None)
        _, pooled = states_of(model, batch, True, 4)
        for index, row in enumerate(rows):
            for number, text in enumerate((row.sample.target, row.positive, row.negative)):
                given = {"input_ids": torch.tensor([row.sample.ids + (text[:-1] if start is None else [])])}
                if start is not None:
                    given["decoder_input_ids"] = torch.tensor([[start, *text[:-1]]])
                out = model(**given, output_hidden_states=True, use_cache=False)
                hidden = (out.hidden_states if start is None else out.decoder_hidden_states)[-1][0]
                assert torch.allclose(states[number][index], hidden[-1], atol=2e-3 * float(hidden.std()))
                own = hidden[len(row.sample.ids) if start is None else 0 :]
                own = own[: 4 + (start is not None)] if number == 0 else own
                assert torch.allclose(pooled[number][index], own.mean(0), atol=2e-3 * float(hidden.std()))
                if number == 0:
                    learned = batch["labels"][index] != contrastive.IGNORED
                    expected = out.logits[0]
                    assert torch.allclose(logits[index][learned], expected, atol=2e-3 * float(expected.std()))


@pytest.mark.parametrize("kind", ["gpt_neox", "mixtral"])
def test_a_saved_state_is_read_back_by_the_names_of_the_network(kind: str, folders, tmp_path) -> None:
    """Published files of these families have other names of weights than the network."""
    from retrace.training.options import SftTraining
    from retrace.training.sft import train_generator

    model, tokenizer = ready(folders, kind)
    rows = generator_rows(EXAMPLES * 4, TASK, tokenizer, "decoder_only", POSITIONS)
    options = SftTraining(batch_size=4, device_batch_size=4, max_steps=2, evaluations=2, learning_rate=1e-3)
    curve = train_generator(model, tokenizer, rows[2:], rows[:2], options, 0, tmp_path / "state")
    assert [row["step"] for row in curve if "dev_loss" in row] == [1, 2]


def test_classes_that_load_a_model_are_those_of_its_family(folders) -> None:
    for kind, automatic in (("llama", AutoModelForCausalLM), ("t5", AutoModelForSeq2SeqLM)):
        assert type(opened(folders, kind)[0]) is type(automatic.from_pretrained(folders(kind)))
