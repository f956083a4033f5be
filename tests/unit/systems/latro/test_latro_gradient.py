"""The gradient of LaTRO's training, against the formula and from batch size to batch size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from suites import first_daily
from unit.latro_setting import Setting, options


class Gradients(TrainerCallback):
    """Keeps the gradient of the first step."""

    first = None

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step == 0:
            self.first = torch.cat([weight.grad.flatten().clone() for weight in model.parameters()])


def first_gradient(folder, state, **changes):
    setting, gradients = Setting(folder, options(max_steps=1, evaluations=1, **changes)), Gradients()
    curve, _ = setting.train(state, [gradients])
    return gradients.first, next(row for row in curve if "loss" in row)


@pytest.mark.parametrize("sft_penalty", first_daily([0.5, 0.0]))
def test_one_pass_two_passes_and_small_batches_give_one_gradient(folder, tmp_path, sft_penalty) -> None:
    """Whole groups are scored by the very pass that is differentiated; half a group needs a pass before it."""
    whole, line = first_gradient(folder, tmp_path / "a", sft_penalty=sft_penalty)
    groups, same = first_gradient(folder, tmp_path / "b", sft_penalty=sft_penalty, device_batch_size=4)
    halves, other = first_gradient(folder, tmp_path / "c", sft_penalty=sft_penalty, device_batch_size=2)
    assert whole.norm() > 0
    assert torch.allclose(whole, groups, atol=1e-6)
    assert torch.allclose(whole, halves, atol=1e-6)
    for key in ("loss", "reward", "kl", "rationale_length", "finished_share"):
        assert line[key] == pytest.approx(same[key], abs=1e-4) == pytest.approx(other[key], abs=1e-4)


def test_the_gradient_is_that_of_the_formula(folder, tmp_path) -> None:
    """Everything once more by hand: each row alone, plain log-softmax, leave-one-out, equation 4."""
    found, line = first_gradient(folder, tmp_path / "a", sft_penalty=0.5)
    setting = Setting(folder, options(sft_penalty=0.5))
    from retrace.training.data import bucketed_order

    order = bucketed_order([question.length for question in setting.questions], 4, 1, 0)
    questions = [setting.questions[index] for index in order]
    with torch.no_grad():
        rows = setting.writer.sample(setting.model, questions, [0] * 4)

    def sums(row):
        text = [*row.prompt, *row.ids, *row.answer]
        logs = setting.model(input_ids=torch.tensor([text])).logits[0].log_softmax(-1)
        chosen = logs[torch.arange(len(text) - 1), torch.tensor(text[1:])]
        start, end = len(row.prompt) - 1, len(row.prompt) + len(row.ids) - 1
        return (chosen[start:end] * torch.tensor(row.sampled)).sum(), chosen[end:].sum()

    own, answers = (torch.stack(part) for part in zip(*map(sums, rows), strict=True))
    rewards = answers.detach().view(4, 4)  # the reference is the policy itself at the start: no KL
    advantages = rewards - (rewards.sum(1, keepdim=True) - rewards) / 3
    loss = -(advantages.flatten() * own).mean() - 0.5 * answers.mean()
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(setting.model.parameters()))])
    assert torch.allclose(found, expected, atol=1e-5)
    assert line["loss"] == pytest.approx(loss.item(), abs=1e-3)
    assert line["reward"] == pytest.approx(rewards.mean().item(), abs=1e-3)
    assert line["kl"] == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_the_penalty_of_unfinished_rationales_is_over_the_whole_batch(folder, tmp_path) -> None:
    kept, line = first_gradient(folder, tmp_path / "a")
    penalised, other = first_gradient(folder, tmp_path / "b", unfinished="batch_mean")
    assert line["finished_share"] < 1
    assert line["reward"] == pytest.approx(other["reward"], abs=1e-4)  # the curve shows what was measured
    assert not torch.allclose(kept, penalised, atol=1e-6)


def test_equal_rewards_give_no_gradient(folder, tmp_path) -> None:
    """Rationales of at most one forced token each: all alike, so nothing is better than anything else."""
    setting = Setting(folder, options(max_steps=1, evaluations=1, kl_coef=0.0))
    sample = setting.writer.sample

    def alike(model, questions, visits):
        rows = sample(model, questions, visits)
        return [rows[number // 4 * 4] for number in range(len(rows))]

    setting.writer.sample = alike
    gradients = Gradients()
    curve, _ = setting.train(tmp_path, [gradients])
    assert gradients.first.abs().max() < 1e-6
    assert next(row for row in curve if "loss" in row)["equal_share"] == 1.0


def test_rationales_without_tokens_train_too(folder, tmp_path) -> None:
    setting = Setting(folder, options(max_steps=1, evaluations=1, sft_penalty=1.0))
    sample = setting.writer.sample
    setting.writer.sample = lambda *given: [replace(row, ids=[], sampled=[]) for row in sample(*given)]
    curve, _ = setting.train(tmp_path)
    assert next(row for row in curve if "loss" in row)["rationale_length"] == 0


@pytest.mark.parametrize("device_batch_size", first_daily([2, 16]))
def test_gradient_checkpointing_changes_nothing(folder, tmp_path, device_batch_size) -> None:
    plain, _ = first_gradient(folder, tmp_path / "a", device_batch_size=device_batch_size)
    changes = {"device_batch_size": device_batch_size, "gradient_checkpointing": True}
    spared, _ = first_gradient(folder, tmp_path / "b", **changes)
    assert torch.allclose(plain, spared, atol=1e-7)


def test_bfloat16_trains(folder, tmp_path) -> None:
    curve, report = Setting(folder, options(precision="bfloat16", max_steps=2, evaluations=1)).train(tmp_path)
    assert [row["step"] for row in curve if "loss" in row] == [1, 2]
    assert np.isfinite(report["last"]["reward"])


def test_without_weight_there_is_no_reference_model(folder, tmp_path) -> None:
    _, line = first_gradient(folder, tmp_path, kl_coef=0.0)
    assert line["kl"] == 0


def test_kl_grows_as_the_policy_leaves_the_reference(folder, tmp_path) -> None:
    curve, _ = Setting(folder, options(learning_rate=1e-2)).train(tmp_path)
    values = [row["kl"] for row in curve if "kl" in row]
    assert abs(values[0]) < 1e-5
    assert abs(values[-1]) > 1e-3
