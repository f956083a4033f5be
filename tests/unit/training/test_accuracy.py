"""Development accuracy during a training: what it counts, and that it leaves no trace."""

import random

import numpy as np
import pytest
import torch

from retrace.decoding.setup import calculator_of
from retrace.errors import UserError
from retrace.models.share import measuring_together
from retrace.prompting.prompting import Prompting
from retrace.tasks.load import load_task
from retrace.training.accuracy import GreedyAccuracy
from retrace.training.trainer import train
from suites import first_daily
from unit.tiny_generators import TASK, examples, learned
from unit.tiny_models import arithmetic_task, problems, tiny_generator

FAMILIES = ["encoder_decoder", "decoder_only"]


@pytest.fixture(params=first_daily(reversed(FAMILIES)))
def setting(request, tmp_path):
    """A model that knows four answers by heart, and how it is asked."""
    model, tokenizer = learned(request.param)
    answer_prompt = "" if request.param == "encoder_decoder" else "A:"
    (tmp_path / "toy.yaml").write_text(TASK.format(prompt="{question}", answer_prompt=answer_prompt))
    return model, Prompting(load_task(tmp_path / "toy.yaml"), request.param, tokenizer)


def test_the_share_of_right_greedy_answers(setting) -> None:
    model, prompting = setting
    rows = examples()
    assert GreedyAccuracy(prompting, rows, 32)(model) == {"accuracy": 1.0}
    wrong = [row.model_copy(update={"answer": "#### 77"}) if number == 1 else row for number, row in enumerate(rows)]
    for batch_size in (1, 3):
        assert GreedyAccuracy(prompting, wrong, 32, batch_size)(model) == {"accuracy": 0.75}
    # The model has learned wrong results by heart, which a calculator mends.
    helped = calculator_of(prompting.task, prompting.tokenizer)
    for calculator, share in ((None, 0.0), (helped, 0.25)):
        found = GreedyAccuracy(prompting, rows, 32, calculator=calculator, grade=lambda text, _: "3+4=7" in text)(model)
        assert found == {"accuracy": share}
    seen = []

    def grade(text: str, example) -> bool:
        seen.append((example.id, text))
        return "11" in text

    measured = GreedyAccuracy(prompting, rows, 32, grade=grade, also=[lambda model: {"loss": 2.5}])(model)
    assert measured == {"loss": 2.5, "accuracy": 0.25}
    assert sorted(name for name, _ in seen) == [row.id for row in rows]
    with measuring_together(torch.device("cpu")):  # a single process has all of it
        assert GreedyAccuracy(prompting, rows, 32)(model) == {"accuracy": 1.0}
    with pytest.raises(UserError, match="no development questions"):
        GreedyAccuracy(prompting, [], 32)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_is_left_as_it_was_found(family: str) -> None:
    """Weights, type, attention and layers, the mode of each part, and all random streams."""
    task = arithmetic_task()
    model, tokenizer = tiny_generator(task, problems(8), family, dropout=0.5)
    model.train()
    part = next(module for module in model.modules() if isinstance(module, torch.nn.Dropout))
    part.eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    forwards = {module: module.forward for module in model.modules()}
    attention = model.config._attn_implementation
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(3)
    GreedyAccuracy(Prompting(task, family, tokenizer), problems(6), 8)(model)
    drawn = torch.rand(3).tolist(), np.random.rand(), random.random()
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(3)
    assert drawn == (torch.rand(3).tolist(), np.random.rand(), random.random())
    assert [module.training for module in model.modules()] == modes
    assert model.config._attn_implementation == attention
    assert all(module.forward == forwards[module] for module in model.modules())
    after = model.state_dict()
    assert all(
        torch.equal(weight, after[name]) and weight.dtype == after[name].dtype for name, weight in before.items()
    )


def test_it_is_refused_before_a_training_that_cannot_decode(monkeypatch, tmp_path) -> None:
    task = arithmetic_task()
    model, tokenizer = tiny_generator(task, problems(8))
    evaluation = GreedyAccuracy(Prompting(task, "encoder_decoder", tokenizer), problems(6), 8)
    monkeypatch.setenv("RETRACE_STRATEGY", "fsdp")
    with pytest.raises(UserError, match=r"launch\.strategy fsdp does not support decoding answers"):
        train(model, [1], [1], None, None, None, evaluation, None, 0, tmp_path)


def test_wider_numbers_are_narrowed_again_and_the_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a layer depends on the number of rows, decoding makes the model float64; and the common trainer measures in
    inference mode, whose tensors no training can use."""
    monkeypatch.setattr("retrace.models.exact._rows_agree", lambda *shape: False)
    task = arithmetic_task()
    model, tokenizer = tiny_generator(task, problems(8))
    before = [weight.clone() for weight in model.parameters()]
    seen = []

    def grade(text: str, example) -> bool:
        seen.append(next(model.parameters()).dtype)
        return True

    with torch.inference_mode():
        GreedyAccuracy(Prompting(task, "encoder_decoder", tokenizer), problems(2), 4, grade=grade)(model)
    assert set(seen) == {torch.float64}
    after = list(model.parameters())
    assert all(weight.dtype == torch.float32 for weight in after)
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    ids = torch.tensor([[5, 6]])
    model.train()(input_ids=ids, labels=ids).loss.backward()
    assert after[0].grad is not None
