"""The lock file of fetched models (config/models.lock.json): for each source its revision and the checksum of every file.

The first fetch of a source writes its entry; every later one is held to it.
"""

from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.locks import exclusive
from retrace.machine.storage import read_json, write_json

_NEEDED = {"revision", "files"}
_KNOWN = _NEEDED | {"quantization", "license"}


def read_lock(lock: str | Path) -> dict[str, Any]:
    """Entries of the lock file; empty if it does not exist."""
    entries = read_json(lock) if Path(lock).exists() else {}
    if not isinstance(entries, dict):
        raise UserError(f"{lock}: should hold an object with an entry for each model; delete it to lock all anew")
    for name, entry in entries.items():
        whole = isinstance(entry, dict) and set(entry) >= _NEEDED and set(entry) <= _KNOWN
        if not whole or not isinstance(entry["files"], dict):
            raise UserError(f"{lock}: entry {name!r} should hold `revision` and `files`; remove it to lock it anew")
    return entries


def add_to_lock(lock: str | Path, source: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Add a source's entry, unless another job already has; returns the current entry."""
    path = Path(lock)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two models may be fetched at once, also on two machines.
    with exclusive(path.with_name(f".{path.name}.guard")):
        entries = read_lock(lock)
        if source not in entries:
            entries[source] = entry
            write_json(lock, dict(sorted(entries.items())))
        return entries[source]
