"""Rows of data sets on the Hugging Face Hub, at a pinned commit, from a mirror, the Hub's cache or the Hub.

A mirror keeps a data set's files at MIRROR/huggingface.co/datasets/ID/resolve/REVISION/ or, simpler, at
MIRROR/huggingface.co/datasets/ID/, as they lie in its repository (Parquet, JSONL or JSON; a subset's in a folder of its
name).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.download import mirror_folder
from retrace.tasks.options import Source

HOST = "huggingface.co"
_READERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}


def rows(source: Source, split: str, mirror: str | Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where it stands, what) for each row of the split. Raises UserError saying what is missing and what to do."""
    name = source.hub_split or split
    folder = mirror_folder(mirror)
    found = _from_mirror(source, name, folder) if folder else None
    table = found if found is not None else _from_hub(source, name)
    for number, row in enumerate(table, start=1):
        yield f"{source.hub} {name}:{number}", dict(row)


def _from_mirror(source: Source, name: str, mirror: Path) -> Any:
    base = mirror / HOST / "datasets" / str(source.hub)
    for folder in (base / "resolve" / str(source.revision), base):
        folder = folder / source.subset if source.subset else folder
        files = sorted(path for path in folder.glob("*") if _is_of(path, name)) if folder.is_dir() else []
        if files:
            return _load(_READERS[files[0].suffix], data_files={name: [str(path) for path in files]}, split=name)
    return None


def _is_of(path: Path, split: str) -> bool:
    """Whether a file's name is the split's: test.jsonl, test-00000-of-00002.parquet."""
    return path.suffix in _READERS and re.fullmatch(rf"{re.escape(split)}(-\d+-of-\d+)?", path.stem) is not None


def _from_hub(source: Source, name: str) -> Any:
    from datasets.exceptions import DatasetNotFoundError

    ways = (
        f"Two ways on: put its files into MIRROR/{HOST}/datasets/{source.hub}/ and set RETRACE_MIRROR, or give a local "
        "`file` in the task's YAML"
    )
    try:
        return _load(source.hub, name=source.subset, revision=source.revision, split=name)
    except DatasetNotFoundError:
        raise UserError(
            f"{source.hub} at {source.revision}: no such data set or commit, a gated or private one (set HF_TOKEN), or "
            f"not in the cache of a machine without network. {ways}"
        ) from None
    except (ValueError, OSError) as error:
        fault = re.sub(r"\?\S*", "", str(error).strip().split("\n")[0])[:160]
        raise UserError(f"{source.hub}, split {name!r}: cannot be read ({fault}). {ways}") from None


def _load(*words: Any, **options: Any) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(*words, **options)
