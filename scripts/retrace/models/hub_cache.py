"""The Hub's cache on this machine: a model that was downloaded before, or why it does not serve.

HF_HOME/hub/models--OWNER--NAME holds `refs` (which commit a branch meant when it was last looked up), `snapshots` (a
folder of links for each commit) and `blobs` (the files that they point to). Copies of it often lack some of these.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from retrace.models.hub_files import (
    DESCRIPTIONS,
    OTHER_WEIGHTS,
    SAFE_WEIGHTS,
    WEIGHTS,
    Snapshot,
    damage,
    missing_shards,
    names_in,
    needed_files,
)

_COMMIT = re.compile(r"[0-9a-f]{40}")


def cache_folder() -> Path:
    """The folder of the Hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def from_cache(hub: str, revision: str | None, wanted: Iterable[str] = ()) -> Snapshot | str:
    """A model's files, all there, at a revision (None: the newest known one); or, as text, why the cache has none.

    wanted: files that must be among them.
    """
    from huggingface_hub import errors, snapshot_download

    commit = _commit_of(hub, revision)
    if not _COMMIT.fullmatch(commit):
        return commit
    lack = ""
    for weights in (SAFE_WEIGHTS, OTHER_WEIGHTS):
        try:
            # It knows the list of the repository's files, if it was kept.
            place = snapshot_download(
                hub, revision=commit, local_files_only=True, allow_patterns=DESCRIPTIONS + weights
            )
        except errors.LocalEntryNotFoundError:
            continue
        folder = Path(place)
        files = needed_files(names_in(folder))
        lacking = sorted({*wanted} - {*files}) + missing_shards(
            folder, (name for name in files if (folder / name).exists())
        )
        if lacking:
            lack = f"{folder / lacking[0]} is missing"
        elif not any(name.endswith(WEIGHTS) for name in files):
            lack = f"{folder} holds no weights"
        elif fault := damage(folder, files):
            lack = fault
        else:
            return Snapshot(folder, commit, files)
    return f"not in the Hub's cache as a whole ({lack or 'a download broke off'})"


def _commit_of(hub: str, revision: str | None) -> str:
    """The commit of a revision, as far as the cache knows it; or why it does not."""
    home = cache_folder() / f"models--{hub.replace('/', '--')}"
    known = sorted(path.name for path in home.glob("snapshots/*") if _COMMIT.fullmatch(path.name))
    if not known:
        return "not in the Hub's cache"
    reference = home / "refs" / (revision or "main")
    if revision and _COMMIT.fullmatch(revision):
        commit = revision
    elif reference.is_file():
        commit = reference.read_text(encoding="utf-8", errors="replace").strip()
    else:
        commit = ""
    if commit in known:
        return commit
    if not revision and len(known) == 1:
        return known[0]  # a copy without `refs`: no other can be meant
    has = f"the cache has revision {', '.join(known)}"
    if revision:
        return f"not in the Hub's cache at revision {revision} ({has})"
    return f"in the Hub's cache without a record of its newest revision ({has}: set `revision` in the model's YAML)"
