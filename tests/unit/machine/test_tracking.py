"""Trainings report to experiment trackers, under their targets' names, and end as they would without."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from retrace.errors import UserError
from retrace.machine.tracking import LOG_TO, check_installed, run_name, tracking_options, variables_for
from retrace.workflow.configuration import Configuration
from suites import first_daily
from unit import tiny_trainers
from unit.tiny_trainers import TRAINERS

STATE = "results/gsm8k/tiny_t5/seed0/sft/state"
NAME = "gsm8k/tiny_t5/seed0/sft"
# TRL's trainers write logs of their own; what all others share is in one place.
DIFFERENT = ["sft_encoder_decoder", "dpo_decoder_only", "latro"]


def needs(package: str):
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder, in an environment without trackers' variables."""
    for name in ("WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT", "WANDB_API_KEY", "TRACKIO_DIR", LOG_TO):
        monkeypatch.setenv(name, "")  # is put back at the end, whatever the test does
        monkeypatch.delenv(name)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_tracker_hears_of_a_training_by_default() -> None:
    assert tracking_options(STATE, {}) == {"report_to": []}
    assert Configuration().logging.to == []


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (STATE, NAME),
        ("/data/results/run/results/gsm8k/tiny_t5/seed0/latro/state", "gsm8k/tiny_t5/seed0/latro"),
        ("/tmp/mine/state", "mine"),
    ],
)
def test_a_run_is_named_like_its_target(state: str, name: str) -> None:
    assert run_name(state) == name


@needs("tensorboard")
@pytest.mark.parametrize("name", first_daily(DIFFERENT))
def test_tensorboard_hears_of_a_training_and_changes_nothing(name: str, folder, monkeypatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain, curve = TRAINERS[name].train(folder / "plain/state", dropout=0.1, max_steps=4)
    monkeypatch.setenv(LOG_TO, "tensorboard")
    monkeypatch.setenv("MY_API_KEY", "key-that-nobody-shall-see")
    followed, curve_followed = TRAINERS[name].train(Path(STATE), dropout=0.1, max_steps=4)
    assert curve_followed == curve
    for one, other in zip(plain.state_dict().values(), followed.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    files = list((folder / "logs" / NAME).glob("events.out.tfevents.*"))
    assert len(files) == 1
    assert b"key-that-nobody-shall-see" not in files[0].read_bytes()
    seen = EventAccumulator(str(files[0]))
    seen.Reload()
    losses = {event.step: event.value for event in seen.Scalars("train/loss")}
    assert losses == pytest.approx({row["step"]: row["loss"] for row in curve if "loss" in row}, rel=1e-5)
    assert any(tag.startswith("eval/") for tag in seen.Tags()["scalars"])


@needs("wandb")
def test_wandb_without_a_login_stays_on_this_machine(folder, monkeypatch, capfd) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv(LOG_TO, "wandb")
    TRAINERS["sft_decoder_only"].train(Path(STATE), max_steps=4)
    import wandb

    assert (wandb.run.name, wandb.run.project) == (NAME, "retrace")
    wandb.finish()
    assert list(folder.glob("logs/wandb/offline-run-*/*.wandb"))
    assert "note: wandb keeps this run in logs/wandb: no login" in capfd.readouterr().err


@needs("trackio")
def test_trackio_keeps_the_run_on_this_machine(folder) -> None:
    variables = variables_for(["trackio"])
    assert variables == {LOG_TO: "trackio", "TRACKIO_DIR": str(folder / "logs/trackio")}
    words = [sys.executable, tiny_trainers.__file__, "sft_decoder_only", "--folder", str(folder)]
    subprocess.run(words, env={**os.environ, **variables}, check=True, capture_output=True)
    assert list((folder / "logs/trackio").glob("retrace*"))


def test_where_wandb_goes(tmp_path, monkeypatch, folder) -> None:
    monkeypatch.setattr("retrace.machine.tracking.PACKAGES", {"wandb": ("pytest",)})  # one that is there
    monkeypatch.setenv("HOME", str(tmp_path))
    for given, mode in [
        ({}, "offline"),
        ({"WANDB_API_KEY": "x"}, None),
        ({"WANDB_API_KEY": "x", "HF_HUB_OFFLINE": "1"}, "offline"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
    ]:
        environment = {LOG_TO: "wandb", **given}
        assert tracking_options(STATE, environment)["run_name"] == NAME
        assert environment.get("WANDB_MODE") == mode
        assert environment["WANDB_DIR"] == "logs"
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    environment = {LOG_TO: "wandb"}
    assert "secret" not in str(tracking_options(STATE, environment)) + str(environment)
    assert "WANDB_MODE" not in environment


def test_a_missing_package_is_named(monkeypatch) -> None:
    monkeypatch.setattr("retrace.machine.tracking.PACKAGES", {"wandb": ("no_such_package",)})
    with pytest.raises(
        UserError, match=rf"logging\.to: wandb is not installed for {sys.executable}; pip install no_such"
    ):
        check_installed(["wandb"])
    with pytest.raises(UserError, match="'mlflow' is no tracker; valid: tensorboard, wandb, trackio"):
        tracking_options(STATE, {LOG_TO: "mlflow"})
    # Of several processes only the first one reports.
    assert tracking_options(STATE, {LOG_TO: "wandb", "RANK": "1"}) == {"report_to": []}
