"""Teacher states, student and emulator on unmodified GPT-2 and Llama models."""

import copy

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from retrace.errors import UserError
from retrace.models.layers import blocks_of, compile_blocks, entering, put, stop, take, without_dropout
from retrace.systems.icot.files import load_coupled, load_emulator, write_parts
from retrace.systems.icot.networks import (
    Coupled,
    Emulator,
    Student,
    normalized,
    positions_of,
    teacher_states,
)
from unit.implicit_world import FAMILIES, LAYERS, WIDTH, base, coupled, tokenizer

IDS = torch.tensor([[6, 7, 1, 8, 9, 10, 1, 0, 0], [6, 1, 8, 9, 10, 11, 12, 13, 1], [6, 7, 8, 1, 1, 0, 0, 0, 0]])
FIRST, SECOND = torch.tensor([2, 1, 3]), torch.tensor([6, 8, 4])


def places(subset: str, delta, layers: int = 3, official: bool = False) -> list[list[int]]:
    return positions_of(layers, subset, delta, FIRST, SECOND, official).tolist()


def test_positions() -> None:
    # Row by row, ended by its own second separator: (6 - 2) / 2 = 2, (8 - 1) / 2 = 3.5 (half to even), (4 - 3) / 2.
    assert places("diagonal", "dynamic") == [[2, 4, 6], [1, 4, 8], [3, 4, 4]]
    assert places("diagonal", 3) == [[2, 5, 6], [1, 4, 7], [3, 4, 4]]
    assert places("diagonal", 0) == places("first_column", 2) == [[2] * 3, [1] * 3, [3] * 3]
    assert places("last_column", "dynamic") == [[6] * 3, [8] * 3, [4] * 3]
    assert places("top_row", "dynamic") == places("bottom_row", "dynamic") == places("diagonal", "dynamic")
    assert places("diagonal", "dynamic", layers=1) == [[2], [1], [3]]


def test_positions_of_the_official_code() -> None:
    # The first row's distance serves all rows, as far as they go.
    assert places("diagonal", "dynamic", official=True) == [[2, 4, 6], [1, 3, 5], [3, 4, 4]]
    assert places("last_column", 1, official=True) == places("first_column", 1)
    with pytest.raises(ValueError, match="fails for top_row"):
        places("top_row", 1, official=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("subset", ["diagonal", "first_column", "last_column", "top_row", "bottom_row"])
@torch.no_grad()
def test_teacher_states_are_those_of_the_library(family: str, subset: str) -> None:
    model = base(family)
    states = teacher_states(model, IDS, FIRST, SECOND, subset)
    hidden = model(IDS, output_hidden_states=True).hidden_states
    for row in range(len(IDS)):
        for layer in range(LAYERS):
            source = {"top_row": LAYERS - 1, "bottom_row": 0}.get(subset, layer)
            place = places(subset, "dynamic")[row][layer]
            expected = normalized(hidden[source][row, place])
            torch.testing.assert_close(states[row, layer], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states.mean(-1), torch.zeros(3, LAYERS), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_row_does_not_depend_on_its_batch(family: str) -> None:
    model = coupled(family)
    teacher = base(family)
    together = teacher_states(teacher, IDS, FIRST, SECOND)
    emulated = model.emulator(IDS[:, :4], FIRST)
    logits = model.student(IDS, FIRST, together)
    for row in range(len(IDS)):
        cut = IDS[row : row + 1, : SECOND[row] + 1]
        alone = teacher_states(teacher, cut, FIRST[row : row + 1], SECOND[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)
        question = IDS[row : row + 1, : FIRST[row] + 1]
        torch.testing.assert_close(
            emulated[row : row + 1], model.emulator(question, FIRST[row : row + 1]), atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(
            logits[row : row + 1, : cut.shape[1]], model.student(cut, FIRST[row : row + 1], alone), atol=1e-4, rtol=1e-3
        )


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_student_reads_states_at_the_separator_only(family: str) -> None:
    student = Student(base(family)).eval()
    torch.manual_seed(0)
    one, other = torch.randn(2, 3, LAYERS, WIDTH)
    before, after = student(IDS, FIRST, one), student(IDS, FIRST, other)
    for row, first in enumerate(FIRST.tolist()):
        assert torch.equal(before[row, :first], after[row, :first])
        assert (before[row, first:] - after[row, first:]).abs().amax(-1).min() > 1e-4
    # Every layer's state matters, and the model itself is as it was.
    for layer in range(LAYERS):
        changed = one.clone()
        changed[:, layer] += 1.0
        assert not torch.allclose(before, student(IDS, FIRST, changed))
    assert not any(block._forward_pre_hooks for block in blocks_of(student.base_model))
    assert torch.equal(student.base_model(IDS).logits, base(family)(IDS).logits)


@torch.no_grad()
def test_replacing_by_hand_is_the_same_as_the_hook() -> None:
    """The student's first layer, computed without hooks."""
    model = base("gpt2", layers=1)
    student = Student(model).eval()
    states = torch.randn(3, 1, WIDTH)
    hidden = model.transformer.wte(IDS) + model.transformer.wpe(torch.arange(IDS.shape[1]))[None]
    for row, first in enumerate(FIRST.tolist()):
        hidden[row, first] = student.mlps[0](states[row, 0])
    expected = model.lm_head(model.transformer.ln_f(model.transformer.h[0](hidden)))
    torch.testing.assert_close(student(IDS, FIRST, states), expected, atol=1e-5, rtol=1e-5)


def test_gradients_reach_all_that_the_states_depend_on() -> None:
    model = coupled(layers=4)  # with three layers the only query has a single key to choose
    logits = model(IDS, IDS[:, :4], FIRST)
    logits.square().sum().backward()
    without = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    body = "emulator.base_model.transformer."
    assert frozen
    assert all(name.startswith((f"{body}h.3.", f"{body}ln_f.")) for name in frozen)
    assert without == frozen


def test_a_fixed_emulator_gets_no_gradient() -> None:
    free = coupled()
    model = Coupled(free.emulator, free.student, fixed_emulator=True)
    model(IDS, IDS[:, :4], FIRST).square().sum().backward()
    assert all(weight.grad is None for weight in model.emulator.parameters())
    assert all(weight.grad is not None for weight in model.student.mlps.parameters())


def test_coupling_is_emulator_then_student() -> None:
    model = coupled()
    states = model.emulator(IDS[:, :4], FIRST)
    torch.testing.assert_close(model(IDS, IDS[:, :4], FIRST), model.student(IDS, FIRST, states))


def test_mixture_of_several_components() -> None:
    emulator = Emulator(base(), mixture_size=4, temperature=0.5)
    z = torch.randn(2, WIDTH)
    table = emulator.mixture_components.weight
    expected = torch.softmax(z @ table.T / 0.5, -1) @ table
    torch.testing.assert_close(emulator._mixture(z), expected)
    assert emulator(IDS[:, :4], FIRST).shape == (3, LAYERS, WIDTH)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_hooks_that_return_nothing_change_nothing(family: str) -> None:
    model, seen = base(family), []
    with entering(blocks_of(model), lambda layer, hidden: seen.append((layer, tuple(hidden.shape)))):
        logits = model(IDS).logits
    assert seen == [(layer, (3, 9, WIDTH)) for layer in range(LAYERS)]
    assert torch.equal(logits, model(IDS).logits)


def test_hooks_are_gone_after_an_error() -> None:
    model = base()

    def fail(layer: int, hidden: torch.Tensor) -> None:
        raise RuntimeError("fault")

    with pytest.raises(RuntimeError, match="fault"), entering(blocks_of(model), fail):
        model(IDS)
    assert not any(block._forward_pre_hooks for block in blocks_of(model))
    assert stop.__name__ == "stop"


def test_take_and_put() -> None:
    hidden = torch.arange(24.0).reshape(2, 4, 3)
    where = torch.tensor([1, 3])
    assert take(hidden, where).tolist() == [[3, 4, 5], [21, 22, 23]]
    changed = put(hidden, where, torch.zeros(2, 3))
    assert changed[0, 1].tolist() == changed[1, 3].tolist() == [0, 0, 0]
    assert hidden[0, 1].tolist() == [3, 4, 5]


def test_other_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="the emulator: 2 layers of width 16, but the student has 3 of width 16"):
        Coupled(Emulator(base(layers=2)), Student(base()))
    with pytest.raises(UserError, match="the states: 3 layers of width 8, but the student has 3 of width 16"):
        Student(base())(IDS, FIRST, torch.zeros(3, 3, 8))


def test_encoder_decoders_are_refused() -> None:
    model = T5ForConditionalGeneration(T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=2, num_heads=2))
    with pytest.raises(UserError, match="model type 't5': its layers cannot be hooked"):
        blocks_of(model)


def test_dropout_is_off_in_training_mode() -> None:
    model = base()
    assert model.config.resid_pdrop == 0.1
    without_dropout(model)
    model.train()
    assert torch.equal(model(IDS).logits, model(IDS).logits)
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, model.eval()(IDS).logits)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_layers_give_the_same(family: str) -> None:
    model = coupled(family)
    plain = model(IDS, IDS[:, :4], FIRST)
    again = copy.deepcopy(model)
    for part in (again.emulator, again.student):
        compile_blocks(part.base_model)
    torch.testing.assert_close(again(IDS, IDS[:, :4], FIRST), plain, atol=1e-4, rtol=1e-3)
    assert set(again.state_dict()) == set(model.state_dict())


def test_parts_are_written_and_read_again(tmp_path) -> None:
    model = coupled("llama")
    (tmp_path / "icot").mkdir()
    write_parts(tmp_path / "icot", tokenizer(), model.student, model.emulator)
    again, _ = load_coupled(tmp_path / "icot")
    for name, weight in again.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name]), name
    (tmp_path / "icot" / "emulator" / "icot.json").write_text('{"kind": "emulator", "mixture_size": 0}')
    with pytest.raises(UserError, match=r"mixture_size 0 or softmax_temperature 0.05 is no positive number"):
        load_emulator(tmp_path / "icot")
    assert base().config.n_layer == 3
