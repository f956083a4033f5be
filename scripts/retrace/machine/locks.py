"""Locks between processes: one GPU a job, one run a folder, one writer a file.

All are locks of the kernel on open files (flock), held for as long as the process that acquired them, or one that
inherited or joined them, lives: a process that was killed, however it was killed, gives its locks back. No torch import
here: finding devices must stay quick.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_POLL = 0.05  # seconds between attempts of a caller that has patience
_GROUP_POLL = 0.2  # seconds between looks at a group's locks that are taken
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP)


class FileLock:
    """A lock on one file, which is created where it is missing; it is released by `close`, or at the end of a block.

    Args:
        path: the file; what it holds does not matter to the lock.
        read_only: open it for reading, which suffices for locking: users can then lock each other's files. Network
            file systems want it open for writing.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str | Path, read_only: bool = False) -> None:
        self.path = Path(path)
        self.descriptor = _open_readable(self.path) if read_only else os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def try_acquire(self, patience: float = 0.0) -> bool:
        """Acquire the lock for this process alone, if nobody else holds it.

        Args:
            patience: seconds to go on trying.

        Raises:
            OSError: the file system knows no locks.
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
        """Acquire the lock for this process alone, waiting for its holders; waiting processes are served FIFO."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def share(self) -> None:
        """Hold the lock together with whoever else shares it; an exclusive lock becomes a shared one."""
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def is_in_place(self) -> bool:
        """Whether the opened file is still the one at its path, and was not removed or replaced."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def keep(self) -> int:
        """The descriptor, which `close` then leaves open: the lock is held until the process ends."""
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
                continue  # made by another process in between


@contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Keep other processes out of this block; `path` is a file for this lock only, which is removed again.

    A file system that knows no locks is used without.
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
        lock.close()  # the one before us removed the file while we waited: lock the new one
    try:
        yield
    finally:
        lock.path.unlink(missing_ok=True)
        lock.close()


def try_lock(path: Path) -> FileLock | None:
    """The lock on a file of a shared folder, or None where another process holds it."""
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

    So processes can neither block nor overtake each other. The locks are shared from then on, so that further processes
    of a job can hold them, too (`join`); whoever asks whether one is free asks for it alone, and behind the gate.

    Args:
        folder: of all users of the machine; made where it is missing.
        names: of the locks, the preferred ones first.
        count: how many are wanted.
        on_wait: called once where the process has to wait.

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
    """Hold the locks at `paths`, which the process that started this one shares, until this process ends."""
    for path in paths:
        lock = FileLock(path, read_only=True)
        lock.share()
        lock.keep()
