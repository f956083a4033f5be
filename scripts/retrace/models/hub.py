"""Models from the Hugging Face Hub: pinned by revision and checksums, from the network, the Hub's cache or a mirror.

The lock file (config/models.lock.json) holds, for each Hub id, the revision and the SHA-256 of every file that is
used. The first download writes the entry; every later one must agree with it.

The entry is written under a lock before the files are placed: of two jobs that fetch a model for the first time, the
second is held to what the first one found.

A mirror is a folder that keeps a model's files at MIRROR/huggingface.co/ID/resolve/REVISION/FILE or, simpler, at
MIRROR/huggingface.co/ID/FILE.
"""

import errno
import fcntl
import fnmatch
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from retrace.errors import UserError
from retrace.machine.download import mirror_folder
from retrace.machine.locks import exclusive
from retrace.machine.storage import atomic_path, read_json, sha256_of, write_json
from retrace.models.architectures import check_generator
from retrace.models.options import ModelConfig

HOST = "huggingface.co"
_FICLONE = 0x40049409  # Linux: make a file share the blocks of another
DESCRIPTIONS = [
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "spiece.model",
    "sentencepiece*.model",
    "chat_template*",
    # Of sentence-transformers: without them a text's vector would be the mean over its tokens, whatever the model says.
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
]
# The folders of the modules behind the encoder; pooling has no weights.
MODULES = re.compile(r"\d+_\w+/config\.json|\d+_Dense/(model\.safetensors|pytorch_model\.bin)")
SAFE_WEIGHTS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
OTHER_WEIGHTS = ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"]


class Snapshot(NamedTuple):
    """A folder with a model's files, and the revision that they are of (empty where a mirror does not say)."""

    folder: Path
    revision: str
    files: list[str]


def needed_files(names: Iterable[str]) -> list[str]:
    """Of a repository's files those that Retrace uses: configuration, tokenizer, and weights as safetensors if there
    are any, as pytorch_model.bin otherwise; of an embedder what comes behind the encoder, too."""
    names = sorted(names)
    modules = [name for name in names if MODULES.fullmatch(name)] if "modules.json" in names else []
    names = [name for name in names if "/" not in name]  # other variants stand in folders of their own

    def matching(patterns: list[str]) -> list[str]:
        return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]

    safe = matching(SAFE_WEIGHTS)
    return matching(DESCRIPTIONS) + modules + (safe or matching(OTHER_WEIGHTS))


def _names_in(folder: Path) -> list[str]:
    """Files of a folder and its direct subfolders, by their repository names."""
    return [path.relative_to(folder).as_posix() for path in (*folder.glob("*"), *folder.glob("*/*"))]


def model_files(folder: str | Path) -> list[Path]:
    """Files of a model's folder that Retrace uses; none if the folder does not exist."""
    folder = Path(folder)
    return [folder / name for name in needed_files(_names_in(folder))] if os.path.isdir(folder) else []


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
    """
    if model.file is not None:
        folder = Path(model.file)
        if not (folder / "config.json").exists():
            raise UserError(f"{folder / 'config.json'}: missing; `file` of model {model.name} must be a model folder")
        files = needed_files(_names_in(folder))
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
    if not any(name.endswith((".safetensors", ".bin")) for name in found.files):
        raise UserError(f"{model.hub}: holds no weights as safetensors or pytorch_model.bin; choose another model")
    if lacking := missing_shards(found.folder, found.files):
        raise UserError(
            f"{found.folder}: {lacking[0]} is missing ({len(lacking)} of the weights' files); complete the folder, or "
            "delete it to download anew"
        )
    _check_use(model, found.folder, try_out)
    if not locked:
        checksums = {name: sha256_of(found.folder / name) for name in found.files}
        entry = {"revision": found.revision, "files": checksums}
        locked = _add_to_lock(lock, model.hub, entry)
        if locked is entry:
            _place(found.folder, sorted(checksums), output)
            return entry
    verify(found, locked["files"], f"{lock}: {model.hub}")
    _place(found.folder, sorted(locked["files"]), output)
    return locked


def _check_use(model: ModelConfig, folder: Path, try_out: Callable[[Path], None]) -> None:
    if reason := check_generator(folder, model.family):
        raise UserError(f"model {model.name}: {reason}")
    try_out(folder)


def missing_shards(folder: Path, files: Iterable[str]) -> list[str]:
    """Weight shards that the index lists but the folder lacks."""
    named: set[str] = set()
    for name in files:
        if name.endswith(".index.json"):
            document = read_json(folder / name)
            parts = document.get("weight_map") if isinstance(document, dict) else None
            if not isinstance(parts, dict):
                raise UserError(f"{folder / name}: holds no `weight_map`; delete the file to download it anew")
            named |= set(map(str, parts.values()))
    return sorted(name for name in named if not (folder / name).exists())


def read_lock(lock: str | Path) -> dict[str, Any]:
    """Entries of the lock file; empty if it does not exist."""
    entries = read_json(lock) if Path(lock).exists() else {}
    if not isinstance(entries, dict):
        raise UserError(f"{lock}: should hold an object with an entry for each model; delete it to lock all anew")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or set(entry) != {"revision", "files"} or not isinstance(entry["files"], dict):
            raise UserError(f"{lock}: entry {name!r} should hold `revision` and `files`; remove it to lock it anew")
    return entries


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
        files = needed_files(_names_in(folder)) if folder.is_dir() else []
        if files:
            return Snapshot(folder, revision or "", files)
    return None


def _from_hub(hub: str, revision: str | None, license_note: str, wanted: Iterable[str] = ()) -> Snapshot:
    from huggingface_hub import HfApi, constants, errors, snapshot_download

    ways = (
        f"Two ways on: put the model's files into MIRROR/{HOST}/{hub}/ and set RETRACE_MIRROR (or fill the Hub's "
        "cache, HF_HOME); or run the tiny preset, which downloads no model (--workflow-profile profiles/tiny)"
    )
    http_error = errors.HfHubHTTPError.__bases__[0]  # of the HTTP library that this version of the Hub's client uses
    page = f"https://{HOST}/{hub}"
    try:
        if revision or constants.HF_HUB_OFFLINE:
            cached = _from_cache(hub, revision, wanted)
            if cached:
                return cached
            if constants.HF_HUB_OFFLINE:
                raise UserError(f"{hub}: not in the Hub's cache, and HF_HUB_OFFLINE is set. {ways}")
        info = HfApi().model_info(hub, revision=revision)
        files = needed_files(sibling.rfilename for sibling in info.siblings)
        folder = Path(snapshot_download(hub, revision=info.sha, allow_patterns=files))
        return Snapshot(folder, info.sha, files)
    except errors.GatedRepoError:
        note = f" {license_note}" if license_note else ""
        raise UserError(
            f"{hub}: gated. Accept its license at {page} with your account, make a read token at "
            f"https://{HOST}/settings/tokens and set it as HF_TOKEN.{note}"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{hub}: has no revision {revision!r}; mend `revision` in the model's YAML") from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"{hub}: no such model, or a private one; check {page}, or set HF_TOKEN") from None
    except (http_error, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise UserError(
                f"{hub}: the disk of the Hub's cache is full; free some space or move it (HF_HOME)"
            ) from None
        # Addresses of files are signed; what is behind the question mark is nobody else's business.
        fault = re.sub(r"\?\S*", "", str(error).strip().split("\n")[0])[:120]
        raise UserError(f"{hub}: the Hub cannot be reached ({fault or type(error).__name__}). {ways}") from None


def _from_cache(hub: str, revision: str | None, wanted: Iterable[str] = ()) -> Snapshot | None:
    """A model that was downloaded before, with its weights and the `wanted` files, from the Hub's cache."""
    from huggingface_hub import errors, snapshot_download

    for weights in (SAFE_WEIGHTS, OTHER_WEIGHTS):
        patterns = DESCRIPTIONS + weights
        try:
            found = snapshot_download(hub, revision=revision, local_files_only=True, allow_patterns=patterns)
        except errors.LocalEntryNotFoundError:
            continue
        files = needed_files(_names_in(Path(found)))
        whole = set(wanted) <= set(files) and not missing_shards(Path(found), files)
        if whole and any(name.endswith((".safetensors", ".bin")) for name in files):
            return Snapshot(Path(found), Path(found).name, files)
    return None


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
            if not (shared and name.endswith((".safetensors", ".bin")) and _linked(source, target / name)):
                _copy(source, target / name)


def _copy(source: Path, target: Path) -> None:
    """Copy a file; its blocks stay shared until one of both changes, where the file system can do that."""
    with open(source, "rb") as read, open(target, "wb") as written:
        try:
            fcntl.ioctl(written.fileno(), _FICLONE, read.fileno())
        except OSError:
            shutil.copyfileobj(read, written, 1 << 20)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _add_to_lock(lock: str | Path, hub: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Add a model's entry, unless another job already has; returns the current entry."""
    path = Path(lock)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two models may be fetched at once, also on two machines.
    with exclusive(path.with_name(f".{path.name}.guard")):
        entries = read_lock(lock)
        if hub not in entries:
            entries[hub] = entry
            write_json(lock, dict(sorted(entries.items())))
        return entries[hub]
