"""Locks between processes. A second open file stands for a second process: the kernel tells them apart."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from retrace.machine import locks
from retrace.machine.locks import FileLock, exclusive, hold_group, join, try_lock

SCRIPTS = Path(locks.__file__).parents[2]


def test_a_lock_is_held_until_it_is_closed(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as first, FileLock(tmp_path / "lock") as second:
        assert first.try_acquire()
        assert not second.try_acquire()
        first.close()
        assert second.try_acquire()


def test_patience_waits_for_the_holder(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.try_acquire()
    began = time.monotonic()
    assert not second.try_acquire(patience=0.2)
    assert time.monotonic() - began >= 0.2
    timer = threading.Timer(0.2, first.close)
    timer.start()
    assert second.try_acquire(patience=30)
    timer.join()
    second.close()


def test_a_shared_lock_keeps_out_who_wants_it_alone(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as first, FileLock(tmp_path / "lock") as second:
        first.share()
        second.share()
        assert try_lock(tmp_path / "lock") is None
        first.close()
        assert try_lock(tmp_path / "lock") is None
    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    lock.close()


def test_a_kept_lock_outlives_its_object(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as lock:
        assert lock.try_acquire()
        descriptor = lock.keep()
    assert try_lock(tmp_path / "lock") is None
    os.close(descriptor)
    with FileLock(tmp_path / "lock") as lock:
        assert lock.try_acquire()


def test_a_killed_process_gives_its_lock_back(tmp_path: Path) -> None:
    code = (
        f"import sys, time; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from retrace.machine.locks import FileLock\n"
        "lock = FileLock(sys.argv[1]); print(lock.try_acquire(), flush=True); time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        assert try_lock(tmp_path / "lock") is None
        holder.kill()
    with FileLock(tmp_path / "lock") as lock:
        assert lock.try_acquire()


def test_a_lock_for_reading_may_be_another_users_file(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("")
    (tmp_path / "lock").chmod(0o444)
    with FileLock(tmp_path / "lock", read_only=True) as lock:
        assert lock.try_acquire()
        assert lock.is_in_place()
        (tmp_path / "lock").unlink()
        assert not lock.is_in_place()


def test_one_process_at_a_time_is_in_an_exclusive_block_and_its_file_goes(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with exclusive(tmp_path / ".guard"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.0005)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EIO])
def test_only_a_file_system_without_locks_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    if number == errno.EIO:
        with pytest.raises(OSError, match="no locks"), exclusive(tmp_path / ".guard"):
            pass
        return
    with exclusive(tmp_path / ".guard"):
        assert (tmp_path / ".guard").exists()
    assert not (tmp_path / ".guard").exists()


def test_a_group_is_acquired_as_a_whole_and_can_be_joined(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    waits: list[int] = []
    assert hold_group(folder, ["a", "b", "c"], 2, lambda: waits.append(1)) == ["a", "b"]
    assert hold_group(folder, ["a", "b", "c"], 1, lambda: waits.append(1)) == ["c"]
    assert waits == []
    assert {path.name for path in folder.iterdir()} == {"gate", "a", "b", "c"}
    join([folder / "a", folder / "b"])  # returns at once
    assert try_lock(folder / "a") is None


def test_who_waits_for_a_group_holds_nothing_of_it_meanwhile_but_its_turn(tmp_path: Path) -> None:
    held = try_lock(tmp_path / "a")
    assert held is not None
    waiting, found = threading.Event(), []
    thread = threading.Thread(target=lambda: found.extend(hold_group(tmp_path, ["a", "b"], 2, waiting.set)))
    thread.start()
    assert waiting.wait(30)
    end = time.monotonic() + 30
    while (free := try_lock(tmp_path / "b")) is None:  # it looks at it from time to time
        assert time.monotonic() < end
    free.close()
    with FileLock(tmp_path / "gate", read_only=True) as gate:
        assert not gate.try_acquire()
    held.close()
    thread.join(30)
    assert found == ["a", "b"]


def test_no_other_module_locks() -> None:
    """One interface: `fcntl` is imported by retrace.machine.locks alone."""
    importing = [path.name for path in SCRIPTS.rglob("*.py") if "import fcntl" in path.read_text(encoding="utf-8")]
    assert importing == ["locks.py"]
