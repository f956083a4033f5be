"""One run in a folder, locks of dead runs, files of the future."""

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


def test_files_of_the_future_keep_their_order() -> None:
    now = time.time()
    ages = {"a": 7200, "b": 3600, "deep/c": 5400, "past": -100, "soon": 10}
    for name, ahead in ages.items():
        path = Path("results", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (now + ahead, now + ahead))
    (note,) = run_guard.date_back("results")
    assert note == "note: 3 files in results were dated in the future (last: results/a); they are dated now"
    times = {name: Path("results", name).stat().st_mtime for name in ages}
    assert sorted(("a", "b", "deep/c", "past"), key=times.get) == ["past", "b", "deep/c", "a"]
    assert now - 1 < times["b"] < times["a"] <= time.time()
    assert times["past"] == pytest.approx(now - 100)
    assert times["soon"] == pytest.approx(now + 10)  # as far as clocks of machines may differ
    assert run_guard.date_back("results") == []
    assert run_guard.date_back("nowhere") == []
