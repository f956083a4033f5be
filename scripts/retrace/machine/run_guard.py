"""Allow one run per folder at a time, and recover from killed runs.

Snakemake's own lock is left behind when a run is killed. Here a run and each of its jobs also hold a kernel lock
(`retrace.machine.locks`), which ends with the process. A Snakemake lock without a holder is stale, and is removed if the
folder was last used by this machine. On file systems without locks nothing is done.
"""

import os
import shutil
import socket
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from retrace.errors import UserError
from retrace.machine import file_times
from retrace.machine.locks import FileLock
from retrace.machine.storage import disk_of

MARKS = Path(".snakemake")
RUN = MARKS / "retrace_run"  # locked by a run; its content says which
JOBS = MARKS / "retrace_jobs"  # shared by all jobs
# Prefix of a job's shell command (Snakemake halves the braces); the lock is inherited by all its processes.
HOLD_IN_SHELL = f"{{{{ exec 9<>{JOBS} && flock -s -w 5 9; }}}} 2>/dev/null || true; "
LEAST_BYTES = 200_000  # for Snakemake's own notes


class RunGuard:
    """Steps of a run before planning (`start`) and before its first job (`hold`), in its working folder."""

    def __init__(self) -> None:
        self.held: int | None = None

    def start(self, unlocking: bool = False, dry_run: bool = False) -> list[str]:
        """Clean up after a killed run, unless another one is alive.

        Args:
            unlocking: the user asked to release Snakemake's lock.
            dry_run: change nothing, only report.

        Returns:
            Notes for the user.

        Raises:
            UserError: a live run needs the lock, or the disk is too full for Snakemake to report it.
        """
        if shutil.disk_usage(".").free < LEAST_BYTES:
            raise UserError(f"the disk is full ({disk_of('.')}); free some space and start again")
        try:
            with ExitStack() as locks:
                busy = _busy(locks)
                if busy and unlocking:
                    raise UserError(f"{busy}; its lock is needed")
                if busy:
                    return [f"note: {busy}"]
                notes = release_stale_lock(dry_run)
        except OSError:
            return []
        return [*notes, *file_times.note_of("results")]

    def hold(self) -> None:
        """Lock the folder until this process ends. Raises UserError if another run uses it."""
        MARKS.mkdir(exist_ok=True)
        try:
            with ExitStack() as locks:
                run = locks.enter_context(FileLock(RUN))
                busy = _busy(locks, run, patience=2.0)
                self.held = None if busy else run.keep()
        except OSError:
            return
        if busy:
            raise UserError(
                f"{busy}; wait for its end, ask it for all files that you want, or use another folder (--directory)"
            )
        os.ftruncate(self.held, 0)
        os.pwrite(self.held, f"{socket.gethostname()} {os.getpid()} {datetime.now():%Y-%m-%d %H:%M}".encode(), 0)


def current_holder() -> str | None:
    """The run, or the jobs of a killed run, that use this folder; None if it is free or locks are not supported."""
    try:
        with ExitStack() as locks:
            return _busy(locks)
    except OSError:
        return None


def _busy(locks: ExitStack, run: FileLock | None = None, patience: float = 0.5) -> str | None:
    """Who uses this folder; no other run can start before `locks` are closed.

    Args:
        run: the lock on RUN if the caller keeps it; by default it is tested if it exists.
        patience: seconds to wait for a process that is briefly testing the locks.

    Raises:
        OSError: the file system does not support locks.
    """
    if run is None and RUN.exists():
        run = locks.enter_context(FileLock(RUN))
    if run is not None and not run.try_acquire(patience):
        host, process, since = last_run() or ("an unknown machine", "?", "?")
        return f"another run works in this folder (process {process} on {host}, since {since})"
    if JOBS.exists() and not locks.enter_context(FileLock(JOBS)).try_acquire(patience):
        found = ", ".join(f"process {number}" for number in holders(JOBS)) or "on another machine"
        return (
            f"jobs of a run that was killed still work in this folder ({found}): stop them (kill; on a cluster "
            "scancel), or wait for their end"
        )
    return None


def last_run() -> tuple[str, str, str] | None:
    """Machine, process and start time of the last run in this folder."""
    words = RUN.read_text(encoding="utf-8", errors="replace").split(" ", 2) if RUN.exists() else []
    return (words[0], words[1], words[2]) if len(words) == 3 else None


def release_stale_lock(dry_run: bool = False) -> list[str]:
    """Remove Snakemake's stale lock; returns notes for the user.

    Args:
        dry_run: only report.
    """
    locks = MARKS / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return []
    host, process, since = last_run() or ("", "", "")
    if host != socket.gethostname():
        # Not every shared file system propagates locks between machines.
        where = f" by a run on {host} (process {process}, since {since})" if host else ""
        return [f"note: this folder was locked{where}; if that run is dead, release it: snakemake --unlock"]
    if dry_run:
        return [f"note: the run of {since} (process {process}) was killed; the next run releases its lock"]
    shutil.rmtree(locks)
    return [f"note: the run of {since} (process {process}) was killed; its lock is released"]


def holders(path: Path) -> list[int]:
    """Processes on this machine that have the file open."""
    wanted, found = str(path.absolute()), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(link) == wanted for link in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:
            continue
    return sorted(set(found) - {os.getpid()})
