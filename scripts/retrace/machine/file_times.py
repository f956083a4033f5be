"""Files that a wrong clock dated in the future.

They seem newer than whatever is made from now on, and than what is made of them, so that Snakemake takes outdated files
for current ones.
"""

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

AHEAD = 60.0  # seconds that the clocks of a file server and a machine may differ


def files_from_future(folder: str | Path) -> list[str]:
    """The files and folders below `folder` that are dated in the future, the one dated last at the end."""
    now = time.time()
    found = []
    for path in walk(folder):
        try:
            moment = os.lstat(path).st_mtime
        except FileNotFoundError:  # a job that is being done removed it
            continue
        if moment > now + AHEAD:
            found.append((moment, path))
    return [path for _, path in sorted(found)]


def note_of(folder: str) -> list[str]:
    """What a run that starts tells the user about files dated in the future; nothing is changed."""
    ahead = files_from_future(folder)
    if not ahead:
        return []
    script = Path(os.path.relpath(Path(__file__).parents[2] / "check_files.py"))
    return [
        f"note: {len(ahead)} files in {folder} are dated in the future (last: {ahead[-1]}) and hide what is made from now "
        f"on; date them now: python {shlex.quote(str(script))} --mend-times"
    ]


def reset_future_times(folder: str | Path) -> list[str]:
    """Give files that are dated in the future the present time, in their order; returns their paths in that order."""
    ahead = files_from_future(folder)
    now = time.time()
    for place, path in enumerate(ahead):
        moment = now - (len(ahead) - place) * 1e-4
        os.utime(path, (moment, moment), follow_symlinks=False)
    return ahead


def walk(folder: str | Path) -> Iterator[str]:
    """Every file and folder in a folder; what goes away meanwhile is left out."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)
