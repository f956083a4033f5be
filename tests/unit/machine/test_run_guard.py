"""One run in a folder, and locks of dead runs."""

import fcntl
import os
import socket
import time
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.machine import run_guard
from retrace.machine.run_guard import RunGuard


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def first():
    guard = RunGuard()
    guard.hold()
    yield guard
    if guard.held is not None:
        os.close(guard.held)


def end(guard: RunGuard) -> None:
    """As the end of its process does, however it ends."""
    os.close(guard.held)
    guard.held = None


def lock_of_snakemake() -> Path:
    lock = Path(".snakemake/locks/0.output.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("results/a\n")
    return lock


def test_a_new_folder_needs_nothing(run_folder: Path) -> None:
    assert RunGuard().start() == []
    assert list(run_folder.iterdir()) == []


def test_the_second_run_is_refused_until_the_first_ends(first: RunGuard) -> None:
    lock = lock_of_snakemake()
    who = rf"another run works in this folder \(process {os.getpid()} on {socket.gethostname()}, since 2"
    with pytest.raises(UserError, match=who + ".*use another folder"):
        RunGuard().hold()
    with pytest.raises(UserError, match=who + ".*its lock is needed"):
        RunGuard().start(unlocking=True)
    (note,) = RunGuard().start()
    assert note.startswith("note: another run works in this folder")
    assert lock.exists()
    end(first)
    (note,) = RunGuard().start()
    assert f"(process {os.getpid()}) was killed; its lock is released" in note
    assert not lock.parent.exists()
    assert RunGuard().start() == []


def test_jobs_that_go_on_keep_the_folder(first: RunGuard) -> None:
    end(first)
    lock = lock_of_snakemake()
    with open(run_guard.JOBS, "w") as job:
        fcntl.flock(job, fcntl.LOCK_SH)
        (note,) = RunGuard().start()
        assert "jobs of a run that was killed still work in this folder" in note
        with pytest.raises(UserError, match="stop them"):
            RunGuard().hold()
        assert run_guard.holders(run_guard.JOBS) == []  # this process is not named to itself
    RunGuard().start()
    assert not lock.exists()


@pytest.mark.parametrize("left", ["other-machine 7 2026-01-01 10:00", "", "half"])
def test_a_lock_of_another_machine_stays(left: str) -> None:
    lock = lock_of_snakemake()
    run_guard.RUN.write_text(left)
    (note,) = RunGuard().start()
    assert "release it: snakemake --unlock" in note
    assert ("on other-machine (process 7, since 2026-01-01 10:00)" in note) == left.startswith("other")
    assert lock.exists()
    assert RunGuard().start(unlocking=True) == [note]


def test_a_dry_run_changes_nothing(first: RunGuard, run_folder: Path) -> None:
    """Neither the lock of a killed run nor times of results."""
    end(first)
    lock = lock_of_snakemake()
    result = run_folder / "results" / "a"
    result.parent.mkdir()
    result.touch()
    os.utime(result, (time.time() + 7200,) * 2)
    before = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")}
    killed, ahead = RunGuard().start(dry_run=True)
    assert "was killed; the next run releases its lock" in killed
    assert "1 files in results are dated in the future (last: results/a)" in ahead
    assert {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")} == before
    killed, ahead = RunGuard().start()
    assert "its lock is released" in killed
    assert not lock.exists()
    assert ahead.endswith("check_files.py --mend-times")
    assert result.stat().st_mtime_ns == before[result]
