"""LaTRO's training: epochs, restarts, the choice of the checkpoint, and what stops it."""

import json

import pytest
import torch
from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.training.trainer import finish
from suites import first_daily
from unit.latro_setting import Setting, options
from unit.stopping import Stop, StopAt


def test_epochs_count_questions_not_rationales(folder, tmp_path) -> None:
    """16 questions, 4 rationales each, 16 rationales a step: 4 steps an epoch."""
    curve, _ = Setting(folder, options(max_steps=-1, epochs=1.5, evaluations=1)).train(tmp_path)
    assert (curve[-1]["step"], curve[-1]["epoch"]) == (6, 1.5)


def test_epochs_count_rationales_as_in_the_authors_code(folder, tmp_path) -> None:
    """16 questions, 16 rationales a step: an epoch is one step, which shows 4 of the questions."""
    given = options(max_steps=-1, epochs=1.5, evaluations=1, epochs_count="rationales")
    curve, _ = Setting(folder, given).train(tmp_path)
    assert (curve[-1]["step"], curve[-1]["epoch"]) == (2, 0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_likelihood_that_is_no_number_stops_the_training(folder, tmp_path, value) -> None:
    class Break(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs) -> None:
            if state.global_step == 1:
                with torch.no_grad():
                    model.transformer.h[-1].mlp.c_proj.bias.fill_(value)

    setting = Setting(folder, options())
    sample = setting.writer.sample
    rows = []

    def remembered(model, questions, visits):  # a broken model could write nothing
        if not rows:
            rows.extend(sample(model, questions, visits))
        return rows

    setting.writer.sample = remembered
    with pytest.raises(UserError, match=r"of 'arithmetic-train-.*' is not finite at step 1; lower learning_rate"):
        setting.train(tmp_path, [Break()])


# ---------------------------------------------------------------- restarts and the choice


def first_texts():
    """A judge by which every solution of the start is right, and no other one is."""
    texts: dict[str, str] = {}
    return lambda question, text: (texts.setdefault(question.id, text) == text, False)


# The answer term alone: the answers' form becomes likelier at once, and the solutions change.
DECLINING = {"learning_rate": 2e-2, "sft_penalty": 5.0, "max_steps": 40, "evaluations": 10}


def alternating(setting: Setting):
    """A judge by which accuracy changes with the text, so that the best checkpoint lies somewhere in between."""
    return lambda question, text: (len(text) % 3 == 0, False)


@pytest.mark.parametrize(("device_batch_size", "step"), first_daily([(2, 5), (16, 1), (16, 5), (2, 1)]))
def test_stopped_training_goes_on_to_the_same_weights_and_curve(
    folder, tmp_path, step, device_batch_size, capsys
) -> None:
    given = options(device_batch_size=device_batch_size, stop_on_decline=False)
    judge = alternating(None)
    one = Setting(folder, given, judge)
    curve, report = one.train(tmp_path / "one")
    broken = Setting(folder, given, judge)
    with pytest.raises(Stop):
        broken.train(tmp_path / "two", [StopAt(step)])
    torch.manual_seed(123)  # another process has other random numbers
    two = Setting(folder, given, judge)
    torch.manual_seed(321)
    again, told = two.train(tmp_path / "two")
    assert "resuming at" in capsys.readouterr().err
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))
    assert curve == again
    assert report == told
    assert [row["step"] for row in curve if "dev_accuracy" in row] == [0, 2, 4, 6]


def test_the_best_checkpoint_is_kept_the_start_included(folder, tmp_path) -> None:
    setting = Setting(folder, options(learning_rate=1e-2, stop_on_decline=False), first_texts())
    start = [weight.detach().clone() for weight in setting.model.parameters()]
    curve, report = setting.train(tmp_path)
    assert report["start"]["accuracy"] == 1.0
    assert report["last"]["accuracy"] < 1.0
    assert report["chosen"]["step"] == 0
    assert all(torch.equal(a, b) for a, b in zip(start, setting.model.parameters(), strict=True))
    assert next(row["dev_accuracy"] for row in curve if "dev_accuracy" in row) == 1.0


def test_accuracy_that_falls_while_the_reward_rises_stops_the_training(folder, tmp_path, capsys) -> None:
    judge = first_texts()
    setting = Setting(folder, options(**DECLINING), judge)
    curve, report = setting.train(tmp_path)
    assert report["stopped"].startswith("stopped at step ")
    assert report["last"]["step"] < 40
    assert report["last"]["reward"] > report["start"]["reward"]
    assert report["chosen"]["step"] == 0
    assert "the checkpoint of step 0 is kept" in capsys.readouterr().err
    assert max(row["step"] for row in curve) == report["last"]["step"]
    # Started once more, it takes no further step.
    again = Setting(folder, options(**DECLINING), judge)
    assert again.train(tmp_path) == (curve, report)
    assert "the checkpoint of step 0 is kept" in capsys.readouterr().err
    assert all(torch.equal(a, b) for a, b in zip(setting.model.parameters(), again.model.parameters(), strict=True))


@pytest.mark.slow
def test_a_finished_training_is_not_repeated(folder, tmp_path) -> None:
    setting = Setting(folder, options())
    curve, _ = setting.train(tmp_path / "state")
    again = Setting(folder, options())
    assert again.train(tmp_path / "state")[0] == curve
    assert all(torch.equal(a, b) for a, b in zip(setting.model.parameters(), again.model.parameters(), strict=True))
    finish(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_no_pickle_lies_in_the_saved_state_but_the_trainers_own(folder, tmp_path) -> None:
    Setting(folder, options(max_steps=1, evaluations=1)).train(tmp_path)
    names = {path.name for path in tmp_path.glob("checkpoint-*/*")}
    assert "model.safetensors" in names
    assert "training_args.bin" not in names
    assert "README.md" not in names
    lines = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]
