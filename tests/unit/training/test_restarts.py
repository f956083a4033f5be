"""When a training saves its state, and that a run whose folder was taken over stops."""

import os
import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.training import restarts, sft
from retrace.training.restarts import Owner, TimedSaves, checkpoints_in, drop_old, last_checkpoint
from unit.training.test_training import Stop, StopAt, options, setting


class Saved(TrainerCallback):
    """Keeps the steps at which the state was saved."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_save(self, args, state, control, **kwargs) -> None:
        self.steps.append(state.global_step)


def trained(folder, *callbacks, **changes):
    model, tokenizer, rows, dev = setting(dropout=0.1)
    saved = Saved()
    curve = sft.train_generator(
        model, tokenizer, rows, dev, options(evaluations=2, **changes), 0, folder, callbacks=[saved, *callbacks]
    )
    return curve, model.state_dict(), saved.steps


def test_saving_in_time_changes_neither_weights_nor_curve(tmp_path) -> None:
    curve, weights, steps = trained(tmp_path / "rarely")
    same_curve, same_weights, more = trained(tmp_path / "often", TimedSaves(0.0))
    assert steps == [6, 12]
    assert {1, 6, 12} <= set(more)
    assert curve == same_curve
    assert all(torch.equal(weights[name], same_weights[name]) for name in weights)


def test_a_run_goes_on_from_a_save_in_time(tmp_path, capsys) -> None:
    _, weights, _ = trained(tmp_path / "one")
    with pytest.raises(Stop):
        trained(tmp_path / "two", TimedSaves(0.0), StopAt(4))
    _, same_weights, _ = trained(tmp_path / "two")
    assert "resuming at" in capsys.readouterr().err
    assert all(torch.equal(weights[name], same_weights[name]) for name in weights)


def test_saves_wait_for_a_logged_step_and_for_the_clock(monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr(restarts.time, "monotonic", lambda: now)
    saves, args = TimedSaves(60.0), SimpleNamespace(device="cpu", world_size=1)

    def asks(step: int) -> bool:
        control = SimpleNamespace(should_save=False)
        saves.on_step_end(args, SimpleNamespace(global_step=step, logging_steps=5), control)
        return control.should_save

    saves.on_train_begin(args, None, None)
    now = 59.0
    assert not asks(5)
    now = 61.0
    assert not asks(7)
    assert asks(10)
    now = 71.0  # saving took ten seconds: not before 200 more
    saves.on_save(args, None, None)
    now = 270.0
    assert not asks(15)
    now = 271.0
    assert asks(20)


class TakenOver(TrainerCallback):
    """Another run claims the folder while this one trains."""

    def __init__(self, folder, at: int) -> None:
        self.folder, self.at = folder, at

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == self.at:
            Owner(self.folder).claim((self.folder / "fingerprint").read_text())


def test_a_run_whose_folder_was_taken_over_stops_and_writes_nothing(tmp_path) -> None:
    with pytest.raises(UserError, match="this training was started again elsewhere"):
        trained(tmp_path, TakenOver(tmp_path, at=4))
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_run_whose_folder_is_gone_stops(tmp_path) -> None:
    owner = Owner(tmp_path)
    owner.claim("options and data")
    owner.check()
    owner.file.unlink()
    with pytest.raises(UserError, match="started again elsewhere"):
        owner.check()


def test_saved_states_are_kept_by_their_steps_whatever_the_clock_said(tmp_path) -> None:
    for step, day in ((9, 4), (10, 3), (100, 2), (20, 1)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        os.utime(tmp_path / f"checkpoint-{step}", (day * 86400, day * 86400))
    (tmp_path / "checkpoint-new.tmp").mkdir()
    names = lambda: [path.name for path in checkpoints_in(tmp_path)]  # noqa: E731
    assert names() == ["checkpoint-9", "checkpoint-10", "checkpoint-20", "checkpoint-100"]
    drop_old(tmp_path, None)
    assert names() == ["checkpoint-20", "checkpoint-100"]
    (tmp_path / "checkpoint-30").mkdir()
    drop_old(tmp_path, "elsewhere/checkpoint-20")
    assert names() == ["checkpoint-20", "checkpoint-100"]
    drop_old(tmp_path, "elsewhere/checkpoint-100")
    assert names() == ["checkpoint-20", "checkpoint-100"]


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    trained(folder)
    return folder


@pytest.mark.parametrize("file", ["trainer_state.json", "model.safetensors", "optimizer.pt", "rng_state.pth"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_state_is_passed_over(state, tmp_path, file: str, damage: str, capsys) -> None:
    shutil.copytree(state, tmp_path / "copy")
    tmp_path /= "copy"
    newest = tmp_path / "checkpoint-12"
    assert last_checkpoint(tmp_path) == newest
    content = bytearray((newest / file).read_bytes())
    if damage == "cut":
        (newest / file).write_bytes(content[:-7])
    else:
        content[len(content) // 2] ^= 255
        (newest / file).write_bytes(content)
    found = last_checkpoint(tmp_path)
    if damage == "flipped" and file == "model.safetensors":
        assert found == newest  # has no checksum
    else:
        assert found == tmp_path / "checkpoint-6"
        assert f"{newest} is incomplete or damaged" in capsys.readouterr().err


def test_a_state_is_not_lost_where_its_owner_is_written_again(tmp_path) -> None:
    Owner(tmp_path).claim("options and data")
    (tmp_path / "checkpoint-3").mkdir()
    before = (tmp_path / "fingerprint").stat().st_mtime_ns
    Owner(tmp_path).claim("options and data")
    assert (tmp_path / "fingerprint").stat().st_mtime_ns == before
    assert checkpoints_in(tmp_path)
    Owner(tmp_path).claim("others")
    assert checkpoints_in(tmp_path) == []
