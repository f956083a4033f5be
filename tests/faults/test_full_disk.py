"""A disk that fills up: it is named, nothing half-written stays, and the same command goes on when there is room."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = "results/arithmetic/tiny_t5/seed0/base/model"
DATA = "results/data/arithmetic/train.jsonl"
MB = 1 << 20
pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={24 * MB}", "retrace_test", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount a small disk: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left: int, name: str = "filler") -> Path:
    """A file that leaves only so many bytes free."""
    path = folder / name
    with open(path, "wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, shutil.disk_usage(folder).free - left)
    return path


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(smoke, workflow_class, small_disk) -> None:
    workflow = workflow_class(small_disk, smoke.project).configured("preset: smoke\nlimits: {train: 3000}\n")
    filler = fill(small_disk, MB // 2)
    shown = workflow.refused(DATA)
    assert f"error: {DATA}: the disk is full ({small_disk}: 0." in shown
    assert "of 25.2 MB free); free some space and run again" in shown
    fill(small_disk, 0, "rest")
    assert f"the disk is full ({small_disk}: 0.0 of 25.2 MB free); free some space and start again" in workflow.refused(
        DATA
    )
    (small_disk / "rest").unlink()
    left = [path.name for path in (small_disk / "results").rglob("*") if path.is_file()]
    assert left == []
    workflow.configured("preset: smoke\n")
    shown = workflow.refused(MODEL)
    assert "the trainer's saved states need up to" in shown
    assert f"the disk has too little space ({small_disk}: 0." in shown
    assert not (small_disk / MODEL).exists()
    filler.unlink()
    workflow.make(MODEL)
    weights = f"{MODEL}/model.safetensors"
    assert (small_disk / weights).read_bytes() == (smoke.folder / weights).read_bytes()


def test_a_disk_that_fills_up_while_a_model_is_saved(smoke, workflow_class, small_disk) -> None:
    """The room that the trainer looks for is there when it starts, and gone when it saves."""
    workflow = workflow_class(small_disk, smoke.project).configured("preset: smoke\n")
    workflow.make("results/data/arithmetic/corpus.jsonl", "results/data/arithmetic/corpus_dev.jsonl", DATA)
    hog = small_disk / "hog"
    # Another program takes what is left as soon as the state folder shows that the training has begun.
    taking = subprocess.Popen(
        [
            "bash",
            "-c",
            f"until [ -e {small_disk}/{MODEL[:-5]}state/owner ]; do sleep 0.01; done; cat /dev/zero > {hog}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        shown = workflow.refused(MODEL)
    finally:
        taking.kill()
        taking.wait()
    assert f"the disk is full ({small_disk}: 0.0 of 25.2 MB free)" in shown, shown[-3000:]
    assert not (small_disk / MODEL).exists()
    hog.unlink()
    workflow.make(MODEL)
    weights = f"{MODEL}/model.safetensors"
    assert (small_disk / weights).read_bytes() == (smoke.folder / weights).read_bytes()
