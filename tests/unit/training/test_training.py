"""The shared trainer: exact losses, batch sizes, order, restarts, errors."""

from functools import partial
from importlib.util import find_spec
from typing import get_args

import numpy as np
import pytest
import torch
from transformers import TrainerCallback, TrainingArguments
from transformers.training_args import OptimizerNames

from retrace.errors import UserError
from retrace.training import parallel, sft, trainer
from retrace.training.arguments import _OPTIMIZERS, arguments_of_training
from retrace.training.data import bucketed_order, collate_generator, generator_rows
from retrace.training.options import SftTraining
from suites import first_daily
from unit.stopping import Stop, StopAt
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TASK = arithmetic_task()
EXAMPLES = problems(64)


def setting(dropout: float = 0.0):
    model, tokenizer = tiny_generator(TASK, EXAMPLES, dropout=dropout)
    rows = generator_rows(EXAMPLES, TASK, tokenizer, "encoder_decoder", 512)
    return model, tokenizer, rows[:48], rows[48:]


def options(**changes) -> SftTraining:
    values = {"batch_size": 16, "device_batch_size": 16, "max_steps": 12, "evaluations": 4, "learning_rate": 3e-3}
    return SftTraining(**values | changes)


class Gradients(TrainerCallback):
    """Keeps the gradient of the first step, before clipping is undone by the update."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step == 0:
            self.first = torch.cat([weight.grad.flatten().clone() for weight in model.parameters()])


def run(tmp_path, **changes):
    model, tokenizer, rows, dev = setting()
    gradients = Gradients()
    curve = sft.train_generator(
        model, tokenizer, rows, dev, options(max_grad_norm=1e9, **changes), 0, tmp_path, callbacks=[gradients]
    )
    return curve, gradients.first, model.state_dict()


def test_accumulation_changes_neither_loss_nor_gradient(tmp_path) -> None:
    """T5 takes any keyword and ignores the number of items, so Trainer alone would make both four times too large.

    The rows differ in length: a mean of means over the parts would differ as well.
    """
    whole = run(tmp_path / "whole", max_steps=3)
    parts = run(tmp_path / "parts", max_steps=3, device_batch_size=4)
    assert [row["loss"] for row in whole[0] if "loss" in row] == pytest.approx(
        [row["loss"] for row in parts[0] if "loss" in row], rel=1e-4
    )
    assert torch.allclose(whole[1], parts[1], atol=1e-6)
    assert whole[1].norm() > 0
    # ... and the logged loss is the mean over the tokens of the first batch
    model, _, rows, _ = setting()
    order = bucketed_order([row.length for row in rows], 16, 3, 0)
    batch = collate_generator([rows[index] for index in order[:16]], 0, 0)
    expected = (sft.token_loss(model, batch) / sft.token_count(batch)).item()
    assert whole[0][0]["loss"] == pytest.approx(expected, rel=1e-4)


def test_batch_sizes() -> None:
    assert parallel.accumulation_of(options(batch_size=32, device_batch_size=8), 1) == (8, 4)
    assert parallel.accumulation_of(options(batch_size=32, device_batch_size=8), 2) == (8, 2)
    assert parallel.accumulation_of(options(batch_size=4, device_batch_size=8), 1) == (4, 1)
    assert parallel.accumulation_of(options(batch_size=4, device_batch_size=8), 4) == (1, 1)
    for batch, device, world, mend in (
        (32, 5, 1, "not a multiple of device_batch_size 5 x 1 .* set device_batch_size to 1, 2, 4, 8, 16, 32$"),
        (32, 8, 3, "among 3 processes; set batch_size to 30 or 33, or use 1, 2, 4, 8, 16, 32 processes$"),
        (2, 8, 4, "among 4 processes; set batch_size to 4, or use 1, 2 processes$"),
        (30, 8, 2, "not a multiple of device_batch_size 8 x 2 .* set device_batch_size to 1, 3, 5, 15$"),
    ):
        with pytest.raises(UserError, match=mend):
            parallel.accumulation_of(options(batch_size=batch, device_batch_size=device), world)


def test_steps() -> None:
    assert trainer.steps_of(options(max_steps=-1, epochs=2), 40) == 5
    assert trainer.steps_of(options(max_steps=-1, epochs=0.001), 40) == 1
    assert trainer.steps_of(options(max_steps=7), 40) == 7


def test_order_shows_every_example_once_an_epoch_and_groups_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 500)
    order = bucketed_order(lengths, 10, 150, seed=3)
    assert order.shape == (1500,)
    for epoch in range(3):
        assert sorted(order[epoch * 500 : (epoch + 1) * 500]) == list(range(500))
    assert (order == bucketed_order(lengths, 10, 150, seed=3)).all()
    assert (order != bucketed_order(lengths, 10, 150, seed=4)).any()
    spread = np.ptp(lengths[order].reshape(-1, 10), axis=1).mean()
    assert spread < 10
    means = lengths[order].reshape(-1, 10).mean(axis=1)[:50]
    assert (np.diff(means) < 0).sum() > 10  # batches of all lengths mixed, not from short to long
    short = bucketed_order([5, 6, 7], 4, 2, seed=0)
    assert sorted(short[:3]) == [0, 1, 2] or len(short) == 8


@pytest.mark.parametrize("step", first_daily([2, 8]))
def test_stopped_training_goes_on_to_the_same_weights(tmp_path, step: int, capsys) -> None:
    """With dropout, in the third epoch, with accumulation; stopped before the first and after the second save."""
    changes = {"device_batch_size": 8}
    model, tokenizer, rows, dev = setting(dropout=0.2)
    torch.manual_seed(5)
    sft.train_generator(model, tokenizer, rows, dev, options(**changes), 0, tmp_path / "one")
    again, *_ = setting(dropout=0.2)
    with pytest.raises(Stop):
        sft.train_generator(
            again, tokenizer, rows, dev, options(**changes), 0, tmp_path / "two", callbacks=[StopAt(step)]
        )
    if step == 8:  # a save that a kill cut short must be passed over
        broken = tmp_path / "two" / "checkpoint-9"
        broken.mkdir()
        (broken / "model.safetensors").write_bytes(b"")
    fresh, *_ = setting(dropout=0.2)
    curve = sft.train_generator(fresh, tokenizer, rows, dev, options(**changes), 0, tmp_path / "two")
    assert ("resuming at" in capsys.readouterr().err) == (step == 8)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), fresh.parameters(), strict=True))
    assert [row["step"] for row in curve if "dev_loss" in row] == [3, 6, 9, 12]


def test_finished_training_is_not_repeated(tmp_path, capsys) -> None:
    model, tokenizer, rows, dev = setting()
    sft.train_generator(model, tokenizer, rows, dev, options(), 0, tmp_path / "state")
    again, *_ = setting()
    sft.train_generator(again, tokenizer, rows, dev, options(), 0, tmp_path / "state")
    assert "resuming at" in capsys.readouterr().err
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), again.parameters(), strict=True))
    trainer.finish(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_state_of_other_options_is_thrown_away(tmp_path, capsys) -> None:
    model, tokenizer, rows, dev = setting()
    sft.train_generator(model, tokenizer, rows, dev, options(max_steps=4), 0, tmp_path)
    again, *_ = setting()
    sft.train_generator(again, tokenizer, rows, dev, options(max_steps=4, learning_rate=1e-3), 0, tmp_path)
    assert "different options or data" in capsys.readouterr().err
    assert not torch.equal(next(model.parameters()), next(again.parameters()))


def test_best_checkpoint_is_kept(tmp_path) -> None:
    model, _, rows, _ = setting()
    losses = iter([3.0, 1.0, 2.0, 4.0])
    seen = []

    def evaluation(network):
        seen.append(next(network.parameters()).detach().clone())
        return {"loss": next(losses)}

    trainer.train(
        model,
        rows,
        [row.length for row in rows],
        partial(collate_generator, pad_id=0, start_id=0),
        sft.token_loss,
        sft.token_count,
        evaluation,
        options(),
        0,
        tmp_path,
    )
    assert torch.equal(next(model.parameters()), seen[1])


@pytest.mark.parametrize("where", ["training", "development"])
def test_loss_that_is_no_number_stops(tmp_path, where: str) -> None:
    model, _, rows, _ = setting()

    def broken(model, batch):
        return sft.token_loss(model, batch) * (float("nan") if where == "training" else 1)

    with pytest.raises(UserError, match=f"the {where} loss is not finite at step [13]; lower learning_rate"):
        trainer.train(
            model,
            rows,
            [row.length for row in rows],
            partial(collate_generator, pad_id=0, start_id=0),
            broken,
            sft.token_count,
            lambda network: {"loss": float("inf")},
            options(),
            0,
            tmp_path,
        )


def test_no_rows_and_full_disk(tmp_path, monkeypatch) -> None:
    model, tokenizer, rows, dev = setting()
    with pytest.raises(UserError, match="nothing to train on"):
        sft.train_generator(model, tokenizer, [], dev, options(), 0, tmp_path)
    usage = type("Usage", (), {"free": 10, "total": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="free some space"):
        sft.train_generator(model, tokenizer, rows, dev, options(), 0, tmp_path)


# ---------------------------------------------------------------- the optimizer


def arguments(tmp_path, **changes):
    return arguments_of_training(options(**changes), 0, tmp_path, 16, 1, 12, None, False)


def test_the_optimizer_is_the_librarys_own_unless_another_is_asked_for(tmp_path) -> None:
    assert arguments(tmp_path).optim == TrainingArguments(str(tmp_path), use_cpu=True).optim


@pytest.mark.parametrize("optim", ["adamw_8bit", "paged_adamw_8bit"])
def test_an_optimizer_in_8_bits_says_what_it_needs(tmp_path, monkeypatch, optim: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if find_spec("bitsandbytes") is None:
        with pytest.raises(UserError, match=f"optim {optim} needs bitsandbytes: pip install bitsandbytes"):
            arguments(tmp_path, optim=optim)
        (tmp_path / "bitsandbytes").mkdir()
        (tmp_path / "bitsandbytes" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"optim {optim} needs a GPU"):
        arguments(tmp_path, optim=optim)
    monkeypatch.setenv("RETRACE_STRATEGY", "zero2")
    with pytest.raises(UserError, match=r"zero2: .* set launch\.strategy to ddp, or optim to adamw"):
        arguments(tmp_path, optim=optim)


def test_the_names_of_optimizers_are_the_librarys() -> None:
    asked = set(get_args(SftTraining.model_fields["optim"].annotation)) - {"adamw"}
    assert set(_OPTIMIZERS) == asked
    assert set(_OPTIMIZERS.values()) <= {one.value for one in OptimizerNames}
