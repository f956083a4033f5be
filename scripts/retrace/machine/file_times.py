"""Modification times: those in the future, caused by a wrong clock, and whether anything in a folder has changed.

Files from the future look newer than anything written from now on, so that Snakemake takes outdated files for current ones.
"""

import hashlib
import os
import shlex
import time
from collections.abc import Collection, Iterator
from pathlib import Path

AHEAD = 60.0  # tolerated clock difference between file server and machine, in seconds


def files_from_future(folder: str | Path) -> list[str]:
    """Files and folders below `folder` from the future, the latest at the end."""
    now = time.time()
    found = []
    for path in walk(folder):
        try:
            moment = os.lstat(path).st_mtime
        except FileNotFoundError:  # removed by a running job
            continue
        if moment > now + AHEAD:
            found.append((moment, path))
    return [path for _, path in sorted(found)]


def note_of(folder: str) -> list[str]:
    """Note to the user about files from the future; changes nothing."""
    ahead = files_from_future(folder)
    if not ahead:
        return []
    script = Path(os.path.relpath(Path(__file__).parents[2] / "check_files.py"))
    return [
        f"note: {len(ahead)} files in {folder} are dated in the future (last: {ahead[-1]}) and hide what is made from now "
        f"on; date them now: python {shlex.quote(str(script))} --mend-times"
    ]


def reset_future_times(folder: str | Path) -> list[str]:
    """Set files from the future to the current time, preserving their order; returns their paths in that order."""
    ahead = files_from_future(folder)
    now = time.time()
    for place, path in enumerate(ahead):
        moment = now - (len(ahead) - place) * 1e-4
        os.utime(path, (moment, moment), follow_symlinks=False)
    return ahead


def walk(folder: str | Path) -> Iterator[str]:
    """Every file and folder in a folder; skips what disappears meanwhile."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)


def digest_of_times(folder: str | Path, leave_out: Collection[str] = ()) -> str:
    """Digest of the names, sizes and times of all files in a folder, hidden ones and the paths in `leave_out` excepted."""
    digest = hashlib.sha256()
    for path in sorted(walk(folder)):
        inside = Path(path).relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or any(
            Path(path).is_relative_to(one) for one in leave_out
        ):
            continue
        if os.path.isfile(path):
            facts = os.stat(path)
            digest.update(f"{inside}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]
