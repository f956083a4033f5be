"""The systems on models of each family, with their own trainers: every cell of the table in docs/own_model.md."""

from pathlib import Path

import pytest
import torch

from retrace.decoding.guided import solve_for_betas
from retrace.decoding.options import Guided
from retrace.decoding.setup import Generator, calculator_of, decoder_of
from retrace.models.discriminator import StepDiscriminator
from retrace.models.load import load_model
from retrace.models.options import ModelConfig
from retrace.prompting.prompting import Prompting, prompting_of
from retrace.schemas import MarkedAnswer, Pair, Preference
from retrace.systems.dpo_st import dpo
from retrace.systems.dpo_st.dpo_causal import train_dpo_causal
from retrace.systems.dpo_st.options import DpoTraining
from retrace.systems.grace.networks import make_network
from retrace.systems.grace.options import DiscriminatorTraining
from retrace.systems.grace.train_discriminator import pair_rows, train_discriminator
from retrace.systems.latro.options import LatroTraining
from retrace.systems.latro.rollouts import RationaleWriter
from retrace.systems.latro.run import train_latro
from retrace.systems.learn_to_reason import lessons
from retrace.systems.learn_to_reason.options import LearnToReasonTraining
from retrace.training.data import generator_rows
from retrace.training.options import SftTraining
from retrace.training.sft import extend_tokenizer, train_generator, write_generator
from unit.model_zoo import KINDS, POSITIONS, save
from unit.tiny_models import arithmetic_task, problems

TASK = arithmetic_task()
EXAMPLES = problems(8)
STEPS = {"batch_size": 4, "device_batch_size": 4, "max_steps": 2, "evaluations": 1, "learning_rate": 1e-3}
MAIN = ("qwen2", "gpt2", "t5")
ALL = [kind if kind in MAIN else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
CAUSAL = [  # with and without chat template
    pytest.param(kind, chat, marks=[] if kind in MAIN else pytest.mark.slow)
    for kind in KINDS
    for chat in (False, True)
    if KINDS[kind].family == "decoder_only" and (KINDS[kind].chats or not chat)
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of a family's model after the SFT of GRACE and DPO-ST, made when it is first asked for."""
    home = tmp_path_factory.mktemp("systems")
    torch.set_num_threads(1)

    def folder(kind: str) -> Path:
        if not (home / kind).exists():
            family = KINDS[kind].family
            model, tokenizer = load_model(save(kind, home / f"{kind}_base"), family)
            extend_tokenizer(model, tokenizer, TASK)
            rows = generator_rows(EXAMPLES, TASK, tokenizer, family, POSITIONS, mask_calculator=True)
            curve = train_generator(
                model, tokenizer, rows[4:], rows[:4], SftTraining(**STEPS), 0, home / f"{kind}_state"
            )
            assert curve[-1]["dev_loss"] > 0
            write_generator(model, tokenizer, curve, home / kind)
        return home / kind

    return folder


def config_of(kind: str, chat: bool = False) -> ModelConfig:
    return ModelConfig(name="tiny", title="Tiny", family=KINDS[kind].family, scratch={}, chat=chat)


def before_and_after(model, train) -> bool:
    """Whether a training changes weights and leaves numbers."""
    old = [weight.detach().clone() for weight in model.parameters()]
    train()
    assert all(bool(weight.isfinite().all()) for weight in model.parameters())
    return any(not torch.equal(one, weight.to(one.dtype)) for one, weight in zip(old, model.parameters(), strict=True))


@pytest.mark.parametrize("kind", ALL)
def test_grace_trains_a_discriminator_beside_the_generator_and_is_guided_by_it(kind: str, folders, tmp_path) -> None:
    folder = folders(kind)
    options = DiscriminatorTraining(backbone="generator", **STEPS)
    network = make_network(StepDiscriminator, options, folder, TASK, 0, pooling="max", pool_step_only=False)
    pairs = [
        Pair(
            example_id=example.id,
            split="train",
            question=example.question,
            prefix=example.steps[:-1],
            positive=example.steps[-1],
            negative="<<1+1=2>>",
        )
        for example in EXAMPLES
    ]
    rows = pair_rows(network, TASK, pairs)
    assert before_and_after(
        network, lambda: train_discriminator(network, rows[2:], rows[:2], options, 0, tmp_path / "state")
    )
    model, tokenizer = load_model(folder, KINDS[kind].family)
    prompting = prompting_of(TASK, config_of(kind), tokenizer)
    generator = Generator(
        TASK, config_of(kind), decoder_of(model, prompting), calculator_of(TASK, tokenizer), prompting
    )
    guided = Guided(candidates=3, max_steps=2, max_step_tokens=8, batch_size=2)
    found = dict(solve_for_betas(generator, network.eval(), EXAMPLES[:2], guided, [0.0, 1.0], 0))
    assert sorted(found) == [0, 1]
    alone = dict(solve_for_betas(generator, network, EXAMPLES[1:2], guided, [0.0, 1.0], 0))
    assert [row.samples[0].text for row in alone[0]] == [row.samples[0].text for row in found[1]], "batch of one"


@pytest.mark.parametrize("kind", ALL)
def test_dpo_st_prefers(kind: str, folders, tmp_path) -> None:
    family = KINDS[kind].family
    model, tokenizer = load_model(folders(kind), family)
    pairs = [
        Preference(
            example_id=example.id,
            split="train",
            question=example.question,
            chosen=TASK.solution_text(example),
            rejected=TASK.solution_text(EXAMPLES[number - 1]),
            similarity=0.5,
        )
        for number, example in enumerate(EXAMPLES)
    ]
    rows, _ = dpo.preference_rows(pairs, TASK, tokenizer, family, POSITIONS)
    rows = dpo.with_reference(rows, model, tokenizer.pad_token_id, 4, "float32")
    options = DpoTraining(**STEPS)
    curves = []

    def train() -> None:
        if family == "encoder_decoder":
            curves.append(dpo.train_dpo(model, tokenizer, rows[2:], rows[:2], options, 0, tmp_path / "state"))
        else:
            curves.append(train_dpo_causal(model, tokenizer, rows[2:], rows[:2], options, 0, tmp_path / "state")[1])

    assert before_and_after(model, train)
    # The reference is the model that training starts from, so both trainers start at log 2.
    assert curves[0][0]["loss"] == pytest.approx(0.693147, abs=2e-3)


def test_dpo_st_pairs_read_the_tokens_of_byt5(folders) -> None:
    """Its tokenizer is written in Python and has no tokenizer.json."""
    from retrace.systems.dpo_st.preferences import token_sets

    found = token_sets(folders("byt5"), ["3+4", "ü"])
    assert found["3+4"] == {"3", "+", "4"}
    assert len(found["ü"]) == 2


@pytest.mark.parametrize(("kind", "chat"), CAUSAL)
def test_latro_samples_and_learns(kind: str, chat: bool, folders, tmp_path) -> None:
    model, tokenizer = load_model(folders(kind), "decoder_only")
    assert KINDS[kind].chats == (tokenizer.chat_template is not None)
    options = LatroTraining(
        **STEPS, rationales=2, max_rationale_tokens=8, max_answer_tokens=24, sft_penalty=0.1, stop_on_decline=False
    )
    prompting = prompting_of(TASK, config_of(kind, chat), tokenizer)
    writer = RationaleWriter(prompting, model, options, 0, None if chat else calculator_of(TASK, tokenizer))
    questions = writer.questions(EXAMPLES, model, "examples")
    curves = []

    def judge(question, text: str) -> tuple[bool, bool]:
        return len(text) % 2 == 0, False

    def train() -> None:
        curves.append(
            train_latro(model, writer, questions[4:], questions[:4], judge, options, 0, tmp_path / "state")[0]
        )

    before_and_after(model, train)
    assert curves[0][-1]["dev_reward"] < 0
    assert curves[0][-1]["step"] == 2


@pytest.mark.parametrize("kind", ALL)
def test_learn_to_reason_learns_from_rationales_and_mistakes(kind: str, folders, tmp_path) -> None:
    family = KINDS[kind].family
    model, tokenizer = load_model(folders(kind), family)
    options = LearnToReasonTraining(**STEPS)
    mistakes = [
        MarkedAnswer(example_id=example.id, text=f"<<{number}+1=0>> | #### 0", answer="0", correct=False)
        for number, example in enumerate(EXAMPLES)
    ]
    solutions = [(example.id, TASK.solution_text(example)) for example in EXAMPLES]
    made = lessons.make_lessons(TASK, EXAMPLES, solutions, mistakes, options)
    encoded = lessons.encode_lessons(made, Prompting(TASK, family, tokenizer), options, POSITIONS)
    dev = [row for lesson in encoded[:2] for row in lesson.samples]
    curves = []

    def train() -> None:
        given = (encoded[2:], dev, options, 0, tmp_path / "state")
        curves.append(lessons.train_lessons(model, tokenizer, *given)[0])

    assert before_and_after(model, train)
    assert curves[0][-1]["dev_loss"] > 0
