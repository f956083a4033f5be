"""Locks between processes: one job per GPU, one run per folder, one writer per file.

All are kernel locks on open files (flock), held until the process that acquired, inherited or joined them ends, so that
a killed process always releases its locks. This module does not import torch, so that finding devices stays fast.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_POLL = 0.05  # seconds between attempts
_GROUP_POLL = 0.2  # seconds between polls of a group's locks
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP)


class FileLock:
    """A lock on one file, which is created if missing; released by `close` or at the end of a `with` block.

    Args:
        path: the file; its contents do not matter.
        read_only: open it for reading, which suffices for locking: users can then lock each other's files. Network
            file systems want it open for writing.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str | Path, read_only: bool = False) -> None:
        self.path = Path(path)
        self.descriptor = _open_readable(self.path) if read_only else os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def try_acquire(self, patience: float = 0.0) -> bool:
        """Acquire the lock exclusively, if it is free.

        Args:
            patience: seconds to keep trying.

        Raises:
            OSError: the file system does not support locks.
        """
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= end:
                    return False
            time.sleep(_POLL)

    def acquire(self) -> None:
        """Acquire the lock exclusively, waiting for its holders, FIFO."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def share(self) -> None:
        """Hold the lock as a shared one; an exclusive lock is downgraded."""
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def is_in_place(self) -> bool:
        """Whether the opened file is still the one at its path, not removed or replaced."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def keep(self) -> int:
        """Return the descriptor and leave it open in `close`, so that the lock is held until the process ends."""
        descriptor, self.descriptor = self.descriptor, -1
        return descriptor

    def close(self) -> None:
        """Release the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_readable(path: Path) -> int:
    while True:
        try:
            return os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            try:
                return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                continue  # created by another process in between


@contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Exclude other processes from this block; `path` is a file for this lock only, removed at the end.

    On file systems without locks, nothing is locked.
    """
    while True:
        lock = FileLock(path)
        try:
            lock.acquire()
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                lock.close()
                raise
        if lock.is_in_place():
            break
        lock.close()  # the previous holder removed the file while we waited: lock the new one
    try:
        yield
    finally:
        lock.path.unlink(missing_ok=True)
        lock.close()


def try_lock(path: Path) -> FileLock | None:
    """Lock a file in a shared folder; None if another process holds it."""
    while True:
        lock = FileLock(path, read_only=True)
        if not lock.try_acquire():
            lock.close()
            return None
        if lock.is_in_place():
            return lock
        lock.close()


def hold_group(folder: Path, names: Sequence[str], count: int, on_wait: Callable[[], None]) -> list[str]:
    """Hold `count` of the locks `names` in a folder until this process ends: acquired all-or-nothing, FIFO.

    This avoids deadlock and starvation. The locks are then shared, so that more processes of a job can hold them
    (`join`); testing whether one is free requests it exclusively, behind the gate.

    Args:
        folder: shared by all users of the machine; created if missing.
        names: of the locks, the preferred ones first.
        count: how many are wanted.
        on_wait: called once if the process has to wait.

    Returns:
        The names of the locks that are held, in the order given.

    Raises:
        OSError: the folder or its gate cannot be used.
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)
    with FileLock(folder / "gate", read_only=True) as gate:
        gate.acquire()
        waited = False
        while True:
            held: dict[str, FileLock] = {}
            for name in names:
                if (lock := try_lock(folder / name)) is not None:
                    held[name] = lock
                if len(held) == count:
                    for lock in held.values():
                        lock.share()
                        lock.keep()
                    return list(held)
            for lock in held.values():
                lock.close()
            if not waited:
                on_wait()
                waited = True
            time.sleep(_GROUP_POLL)


def join(paths: Sequence[str | Path]) -> None:
    """Share the locks at `paths`, held by the parent process, until this process ends."""
    for path in paths:
        lock = FileLock(path, read_only=True)
        lock.share()
        lock.keep()
