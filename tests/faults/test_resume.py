"""Every trainer, killed in mid-epoch, before, in and after a save: it ends with the weights of an undisturbed run."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from faults.resume_series import RESUMED, moments_of

pytestmark = pytest.mark.slow
SERIES = Path(__file__).parent / "resume_series.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    done = subprocess.run(
        [sys.executable, str(SERIES), "--folder", str(folder), *RESUMED], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize("name", RESUMED)
def test_killed_training_ends_with_the_same_weights(trained, name: str) -> None:
    starts = json.loads((trained / name / "starts.json").read_text())
    assert [step for step, _ in starts] == [*moments_of(name).values(), 8]
    assert [ended for _, ended in starts] == [signal.SIGKILL] * len(moments_of(name)) + [0]
    one, killed = (torch.load(trained / name / file, weights_only=True) for file in ("one.pt", "killed.pt"))
    assert one.keys() == killed.keys()
    assert all(torch.equal(one[part], killed[part]) for part in one)
