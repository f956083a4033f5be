"""One run in a folder at a time, whatever killed the one before; and files that a wrong clock dated in the future.

Snakemake's own lock says which files a run makes, and stays behind when the run is killed. Here a run, and each of its
jobs, also holds a lock of the kernel (flock), which ends with the process: so a lock without a holder is stale, and is
removed when the folder was last used by this machine. On file systems without such locks nothing is done.
"""

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.storage import disk_of

MARKS = Path(".snakemake")
RUN = MARKS / "retrace_run"  # held by a run; says by whom
JOBS = MARKS / "retrace_jobs"  # shared by all jobs
# Words for the start of a job's shell (Snakemake halves the braces): the lock passes on to all that the job starts.
HOLD_IN_SHELL = f"{{{{ exec 9<>{JOBS} && flock -s -w 5 9; }}}} 2>/dev/null || true; "
LEAST_BYTES = 200_000  # for Snakemake's own notes
AHEAD = 60.0  # seconds that the clocks of a file server and a machine may differ


class RunGuard:
    """What a run does before it plans (`start`) and before its first job (`hold`), in its working folder."""

    def __init__(self) -> None:
        self.held: int | None = None

    def start(self, unlocking: bool = False) -> list[str]:
        """Tidy up after a killed run, unless another one is alive; what to tell the user.

        unlocking: the user wants Snakemake's lock released. Raises UserError if that is unwise, and where the disk is so
        full that Snakemake could not even say so.
        """
        if shutil.disk_usage(".").free < LEAST_BYTES:
            raise UserError(f"the disk is full ({disk_of('.')}); free some space and start again")
        if not MARKS.is_dir():
            return []
        try:
            with Locked(RUN) as run, Locked(JOBS) as jobs:
                busy = self._busy(run, jobs)
                if busy and unlocking:
                    raise UserError(f"{busy}; its lock is needed")
                if busy:
                    return [f"note: {busy}"]
                return [*release_stale_lock(), *date_back("results")]
        except OSError:
            return []

    def hold(self) -> None:
        """Take the folder until this process ends. Raises UserError where another run works in it."""
        MARKS.mkdir(exist_ok=True)
        run = Locked(RUN, patience=2.0)
        try:
            with run, Locked(JOBS, patience=2.0) as jobs:
                busy = self._busy(run, jobs)
                self.held = None if busy else run.keep()
        except OSError:
            return
        if busy:
            raise UserError(
                f"{busy}; wait for its end, ask it for all files that you want, or use another folder (--directory)"
            )
        os.ftruncate(self.held, 0)
        os.pwrite(self.held, f"{socket.gethostname()} {os.getpid()} {datetime.now():%Y-%m-%d %H:%M}".encode(), 0)

    def _busy(self, run: "Locked", jobs: "Locked") -> str | None:
        """Who works in this folder."""
        if not run.mine:
            host, process, since = last_run() or ("an unknown machine", "?", "?")
            return f"another run works in this folder (process {process} on {host}, since {since})"
        if not jobs.mine:
            found = ", ".join(f"process {number}" for number in holders(JOBS)) or "on another machine"
            return (
                f"jobs of a run that was killed still work in this folder ({found}): stop them (kill; on a cluster "
                "scancel), or wait for their end"
            )
        return None


class Locked:
    """An exclusive lock on a file, where it can be had; given back at the end of the block."""

    def __init__(self, path: Path, patience: float = 0.5) -> None:
        self.path, self.patience = path, patience
        self.mine = False
        self.descriptor = -1

    def __enter__(self) -> "Locked":
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        end = time.monotonic() + self.patience  # others look at it for a moment, too
        while not self.mine:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.mine = True
            except BlockingIOError:
                if time.monotonic() > end:
                    break
                time.sleep(0.05)
            except OSError:
                os.close(self.descriptor)
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def keep(self) -> int:
        """The descriptor, which the end of the block then does not close."""
        descriptor, self.descriptor = self.descriptor, -1
        return descriptor


def last_run() -> tuple[str, str, str] | None:
    """Machine, process and start of the run that held this folder last."""
    words = RUN.read_text(encoding="utf-8", errors="replace").split(" ", 2) if RUN.exists() else []
    return (words[0], words[1], words[2]) if len(words) == 3 else None


def release_stale_lock() -> list[str]:
    """Remove Snakemake's lock, which no living process holds; what to tell the user."""
    locks = MARKS / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return []
    host, process, since = last_run() or ("", "", "")
    if host != socket.gethostname():
        # Not every shared file system tells one machine about another one's locks.
        where = f" by a run on {host} (process {process}, since {since})" if host else ""
        return [f"note: this folder was locked{where}; if that run is dead, release it: snakemake --unlock"]
    shutil.rmtree(locks)
    return [f"note: the run of {since} (process {process}) was killed; its lock is released"]


def holders(path: Path) -> list[int]:
    """Processes of this machine that have the file open."""
    wanted, found = str(path.absolute()), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(link) == wanted for link in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:
            continue
    return sorted(set(found) - {os.getpid()})


def date_back(folder: str) -> list[str]:
    """Give files that are dated in the future the present time, in their order; what to tell the user.

    Made when a clock was ahead, they would seem newer than whatever is made from now on, and than what is made of them.
    """
    now = time.time()
    ahead = sorted((seen, path) for path in walk(folder) if (seen := os.lstat(path).st_mtime) > now + AHEAD)
    for place, (_, path) in enumerate(ahead):
        moment = now - (len(ahead) - place) * 1e-4
        os.utime(path, (moment, moment), follow_symlinks=False)
    if not ahead:
        return []
    return [f"note: {len(ahead)} files in {folder} were dated in the future (last: {ahead[-1][1]}); they are dated now"]


def walk(folder: str) -> Iterator[str]:
    """Every file and folder in a folder; what goes away meanwhile is left out."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)
