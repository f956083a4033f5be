"""Files with modification times in the future, caused by a wrong clock.

They look newer than anything written from now on, so that Snakemake takes outdated files for current ones.
"""

import os
import shlex
import time
from collections.abc import Iterator
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
