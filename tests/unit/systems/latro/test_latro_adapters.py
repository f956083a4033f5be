"""LaTRO with low-rank adapters: the model without them is the reference, and the checkpoint is a plain, merged model."""

import gc
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.models.load import load_model
from retrace.systems.latro.trainer import LatroTrainer
from retrace.training import sft
from retrace.training.adapters import saved_weights
from unit.latro_setting import EXAMPLES, TASK, Setting
from unit.latro_setting import options as whole
from unit.stopping import Stop, StopAt
from unit.systems.latro.test_latro_training import alternating, first_texts
from unit.tiny_models import tiny_folder


def options(**changes):
    return whole(**{"lora_rank": 4, "lora_alpha": 8, "learning_rate": 2e-2, "stop_on_decline": False} | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("base") / "model", TASK, EXAMPLES, "decoder_only")


def copied(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


class Look(TrainerCallback):
    """Looks at the trainer as it starts, and at what the model writes with and without adapters."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def on_train_begin(self, args, state, control, model=None, **kwargs) -> None:
        trainers = [one for one in gc.get_objects() if isinstance(one, LatroTrainer) and one.model is model]
        self.reference = [trainer.ref_model for trainer in trainers]
        self.adapters = list(model.peft_config)
        own = {weight.data_ptr() for weight in self.setting.model.parameters()}
        self.frozen = {weight.data_ptr() for weight in model.parameters() if not weight.requires_grad}
        self.shares = self.frozen <= own
        self.trained = {name for name, weight in model.named_parameters() if weight.requires_grad}

    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
        writer, questions = self.setting.writer, self.setting.questions[:4]
        self.written = writer.sample(model.get_base_model(), questions, [9] * 4)
        with model.disable_adapter():
            self.by_reference = writer.sample(model.get_base_model(), questions, [9] * 4)


@pytest.mark.slow
@pytest.mark.parametrize("device_batch_size", [16, 2])
def test_without_adapters_the_model_is_the_reference_and_there_is_no_second_one(
    folder, tmp_path, device_batch_size
) -> None:
    """The rationales are scored by the pass that is differentiated, or by one of their own."""
    setting = Setting(folder, options(device_batch_size=device_batch_size), alternating(None))
    start, look = copied(setting.model), Look(setting)
    curve, report = setting.train(tmp_path, [look])
    divergence = [row["kl"] for row in curve if "kl" in row]
    assert divergence[0] == 0.0  # exactly: the adapters change nothing yet
    assert abs(divergence[-1]) > 1e-3
    assert look.reference == [None]
    assert look.adapters == ["default"]
    assert look.shares
    assert len(look.frozen) == len(start)
    assert look.trained
    assert all("lora_" in name for name in look.trained)
    # What is sampled and measured is the adapted model's.
    assert look.written != look.by_reference
    assert report["last"]["reward"] != report["start"]["reward"]


def test_the_checkpoint_is_the_base_with_the_best_adapters_merged(folder, tmp_path) -> None:
    same_as_at_the_start = first_texts()
    setting = Setting(folder, options(), lambda question, text: (not same_as_at_the_start(question, text)[0], False))
    start = copied(setting.model)
    _, report = setting.train(tmp_path / "state")
    saved = tmp_path / "state" / f"checkpoint-{report['chosen']['step']}"
    assert report["chosen"]["step"] > 0
    assert not (saved / "model.safetensors").exists()  # the adapters alone are saved for restarts
    adapters = load_file(saved / "adapter_model.safetensors")
    sft.write_generator(setting.model, setting.writer.tokenizer, [], tmp_path / "model")
    merged = dict(load_model(tmp_path / "model", "decoder_only")[0].named_parameters())
    assert merged.keys() == start.keys()
    changed = 0
    for name, weight in start.items():
        place = f"base_model.model.{name.removesuffix('.weight')}"
        down, up = (adapters.get(f"{place}.lora_{side}.weight") for side in "AB")
        if down is None:
            assert torch.equal(merged[name], weight), name
        else:
            change = 8 / 4 * (up @ down).t()  # GPT-2 keeps its matrices the other way round
            assert change.abs().max() > 0
            assert torch.allclose(merged[name], weight + change, atol=1e-6), name
            changed += 1
    assert changed == len(adapters) // 2 > 0


@pytest.mark.slow
def test_a_start_that_stays_the_best_is_the_base_itself(folder, tmp_path) -> None:
    setting = Setting(folder, options(), first_texts())
    start = copied(setting.model)
    _, report = setting.train(tmp_path)
    assert report["chosen"]["step"] == 0
    assert all(torch.equal(weight, start[name]) for name, weight in setting.model.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"device_batch_size": 2, "gradient_checkpointing": True}])
def test_stopped_training_goes_on_to_the_same_weights_and_curve(folder, tmp_path, changes, capsys) -> None:
    given, judge = options(**changes), alternating(None)
    one = Setting(folder, given, judge)
    curve, report = one.train(tmp_path / "one")
    with pytest.raises(Stop):
        Setting(folder, given, judge).train(tmp_path / "two", [StopAt(5)])
    torch.manual_seed(123)
    two = Setting(folder, given, judge)
    torch.manual_seed(321)
    assert two.train(tmp_path / "two") == (curve, report)
    assert "resuming at" in capsys.readouterr().err
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))


def test_saved_states_of_adapters_need_the_room_of_adapters(folder, tmp_path, monkeypatch) -> None:
    short = {"max_steps": 1, "evaluations": 1}
    size = 4 * sum(weight.numel() for weight in Setting(folder, options()).model.parameters())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=size, used=0, free=3 * size))
    with pytest.raises(UserError, match="saved states need up to"):
        Setting(folder, whole(**short)).train(tmp_path / "whole")
    given = options(lora_rank=1, lora_modules=["c_attn"], **short)
    setting = Setting(folder, given)
    setting.train(tmp_path / "adapters")
    (saved,) = (tmp_path / "adapters" / "checkpoint-1").glob("adapter_model.safetensors")
    told = saved_weights(load_model(folder, "decoder_only")[0], given)
    assert told == sum(weight.numel() for weight in load_file(saved).values())


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (["sideways"], "lora_modules sideways: Target modules"),
        (["lm_head"], "lora_modules lm_head: Applying a PEFT adapter to `lm_head` is not supported"),
    ],
)
def test_layers_that_cannot_have_adapters(folder, tmp_path, modules, message) -> None:
    with pytest.raises(UserError, match=message):
        Setting(folder, options(lora_modules=modules)).train(tmp_path)


def test_adapters_are_not_divided(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RETRACE_STRATEGY", "zero3")
    with pytest.raises(UserError, match=r"lora_rank 4: adapters are not divided .* set launch\.strategy to ddp"):
        Setting(folder, options()).train(tmp_path)
