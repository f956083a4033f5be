"""Rows of data sets on the Hugging Face Hub, at a pinned commit, from a mirror, the Hub or the Hub's cache.

A mirror keeps a data set's files at MIRROR/huggingface.co/datasets/ID/resolve/REVISION/ or, simpler, at
MIRROR/huggingface.co/datasets/ID/, as they lie in its repository (retrace.tasks.split_files says which are a split's).

The files are read like any other data files and not by `datasets`, which turns texts such as 2024-01-05 into dates.
"""

import errno
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.download import mirror_folder
from retrace.tasks.options import Source
from retrace.tasks.raw_rows import Row
from retrace.tasks.row_files import FileLayout, joined_rows, rows_of
from retrace.tasks.split_files import CARD, card_text, files_of, in_folder, is_whole

HOST = "huggingface.co"


def rows(source: Source, split: str, mirror: str | Path | None, layout: FileLayout = "rows") -> Iterator[Row]:
    """The rows of a split. Raises UserError saying what is missing and what to do."""
    name = source.hub_split or split
    folder = mirror_folder(mirror)
    files = _from_mirror(source, name, folder) if folder else None
    if files is None:
        files = _from_hub(source, name)
    for row in joined_rows(rows_of(file, layout, source.skip_faulty, name) for file in files):
        yield row._replace(where=f"{source.hub} {name}:{row.number}")


def _from_mirror(source: Source, name: str, mirror: Path) -> list[Path] | None:
    """The files of a split in a mirror; None if it has none."""
    base = mirror / HOST / "datasets" / str(source.hub)
    pinned = base / "resolve" / str(source.revision)
    folder = pinned if pinned.is_dir() else base
    if not folder.is_dir() or (folder == base and {path.name for path in base.iterdir()} <= {"resolve"}):
        return None
    try:
        return in_folder(folder, name, source.subset, without="resolve")
    except UserError as error:
        print(f"note: {error}; trying the Hub", file=sys.stderr)
        return None


def _ways(source: Source) -> str:
    return (
        f"Either put its files into MIRROR/{HOST}/datasets/{source.hub}/ and set RETRACE_MIRROR, or set a local "
        "`file` in the task's YAML"
    )


def _from_hub(source: Source, name: str) -> list[Path]:
    """The files of a split from the Hub, or from its cache if the Hub cannot be reached."""
    from huggingface_hub import HfApi, constants, errors, hf_hub_download

    hub, revision = str(source.hub), source.revision
    http_error = errors.HfHubHTTPError.__bases__[0]  # of the HTTP library of this version of huggingface_hub
    page = f"https://{HOST}/datasets/{hub}"
    try:
        if constants.HF_HUB_OFFLINE:
            return _from_cache(source, name, "HF_HUB_OFFLINE is set")
        about = HfApi().dataset_info(hub, revision=revision)
        names = [sibling.rfilename for sibling in about.siblings or []]

        def fetched(file: str) -> Path:
            return Path(hf_hub_download(hub, file, repo_type="dataset", revision=revision))

        card = card_text(fetched(CARD)) if CARD in names else None
        return [fetched(file) for file in files_of(names, name, source.subset, card, hub)]
    except errors.GatedRepoError:
        raise UserError(
            f"{hub}: gated. Accept its terms at {page} with your account, make a read token at "
            f"https://{HOST}/settings/tokens and set it as HF_TOKEN. {_ways(source)}"
        ) from None
    except errors.HFValidationError as error:
        raise UserError(
            f"{hub}: not the id of a data set, owner/name ({error}); correct `hub` in the task's YAML"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{hub}: has no commit {revision!r}; correct `revision` in the task's YAML") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{hub}: no such data set, or a private one; check {page}, or set HF_TOKEN. {_ways(source)}"
        ) from None
    except (http_error, errors.HfHubHTTPError, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise UserError(
                f"{hub}: the disk of the Hub's cache is full; free some space or move it (HF_HOME)"
            ) from None
        # The query of a signed URL is secret.
        fault = re.sub(r"\?\S*", "", str(error).strip().split("\n")[0])[:120]
        return _from_cache(source, name, f"the Hub cannot be reached: {fault or type(error).__name__}")


def _from_cache(source: Source, name: str, why: str) -> list[Path]:
    """The files of a split in the Hub's cache, if all of them are there."""
    from huggingface_hub import errors, snapshot_download

    hub, revision = str(source.hub), source.revision
    try:
        folder = Path(snapshot_download(hub, repo_type="dataset", revision=revision, local_files_only=True))
        files = in_folder(folder, name, source.subset)
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, OSError):
        raise UserError(f"{hub} at {revision}: not in the Hub's cache, and {why}. {_ways(source)}") from None
    except UserError as error:
        raise UserError(f"{error}. In the Hub's cache, because {why}. {_ways(source)}") from None
    # The cache contains what was downloaded before, which may be only a part of the split.
    if not is_whole([file.name for file in files]):
        raise UserError(f"{hub} at {revision}: {folder} may lack files of {name}, and {why}. {_ways(source)}")
    return files
