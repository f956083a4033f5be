"""Find the files of a split in a folder or a Hub repository, by the data set's card or by file names."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from retrace.errors import UserError
from retrace.machine.storage import refusal
from retrace.tasks.data_files import READABLE, opened, stem_of

CARD = "README.md"
_MOST = 100_000  # files in a folder that are searched
_LONGEST_HEADER = 2**20  # bytes of a card
# train-00000-of-00002, train-00000-of-00002-0123456789abcdef, train_1, train.part3
_SHARD = re.compile(
    r"(?:(?P<name>.*?)[-_.])?(?:part[-_.]?)?(?P<index>\d+)(?:[-_.]of[-_.](?P<total>\d+))?(?:-[0-9a-f]{16})?"
)
# Folders that are not the name of a subset.
_NEUTRAL = ("", "data")


class _File(NamedTuple):
    """A data file. stem: its name without ending; name: also without the shard's number. index, total: of the shard."""

    path: str
    folder: str
    stem: str
    name: str
    ending: str
    index: int | None
    total: int | None


def in_folder(folder: Path, split: str, subset: str | None = None, without: str = "") -> list[Path]:
    """The files of a split in a folder; the subfolder `without` is ignored. Raises UserError if there are none."""
    names = [name for name in _names_in(folder) if not without or not name.startswith(f"{without}/")]
    card = folder / CARD
    return [folder / name for name in files_of(names, split, subset, card_text(card), str(folder))]


def card_text(card: Path) -> str | None:
    """The start of a data set's card, which holds its YAML header; None if there is no card."""
    if not card.is_file():
        return None
    with opened(card) as file:
        return file.read(_LONGEST_HEADER).decode("utf-8", errors="replace")


def _names_in(folder: Path) -> Iterator[str]:
    """Relative paths of the files below a folder, without hidden ones."""
    seen = 0
    visited = {os.path.realpath(folder)}  # a link to a folder further up would lead around in circles

    def is_new(path: str) -> bool:
        real = os.path.realpath(path)
        return real not in visited and not visited.add(real)

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read: {refusal(error) or error.strerror}")

    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        folders[:] = [n for n in sorted(folders) if not n.startswith(".") and is_new(os.path.join(place, n))]
        for name in sorted(files):
            seen += 1
            if seen > _MOST:
                raise UserError(f"{folder}: contains more than {_MOST} files; name a folder with the data only")
            if not name.startswith("."):
                yield (Path(place) / name).relative_to(folder).as_posix()


def files_of(names: Sequence[str], split: str, subset: str | None, card: str | None, where: str) -> list[str]:
    """The files of a split among the files of a data set, in the order of their rows.

    If the card lists the files of its subsets, it decides. Otherwise the first of these that matches: files named like
    the split (`train.jsonl`, then `train-00000-of-00002.parquet`), files in a folder named like it, files with it in
    their name (`my_train.csv`); a subset is a folder of that name. Raises UserError, which starts with `where`, if no
    file matches or the choice is ambiguous.
    """
    told = _told(card, subset, where)
    if told is not None and not isinstance(told, str):
        return _by_card(names, split, told, where)
    inside = _inside(names, told if told is not None else subset, where)
    files = [found for name in inside if (found := _file(name)) is not None]
    ways = (
        lambda file: file.stem == split,
        lambda file: file.name == split,
        lambda file: split in file.folder.split("/"),
        lambda file: re.search(rf"(?<![A-Za-z0-9]){re.escape(split)}(?![A-Za-z0-9])", file.name) is not None,
    )
    for way in ways:
        if matching := [file for file in files if way(file)]:
            return _one_group(matching, split, where)
    has = sorted({file.name for file in files})
    if not has:
        raise UserError(f"{where}: contains no data files (supported: {', '.join(READABLE)})")
    raise UserError(
        f"{where}: no file matches the split {split!r}; set `hub_split` to a split that is there ({_few(has)})"
    )


def _file(path: str) -> _File | None:
    stem = stem_of(path)
    if stem is None:
        return None
    folder, _, base = path.rpartition("/")
    shard = _SHARD.fullmatch(stem)
    name, index, total = shard.group("name", "index", "total") if shard else (stem, None, None)
    return _File(
        path, folder, stem, name or "", base[len(stem) :], *(int(part) if part else None for part in (index, total))
    )


def _inside(names: Iterable[str], subset: str | None, where: str) -> list[str]:
    """The files in the folder of a subset."""
    if subset is None:
        return list(names)
    kept = [name for name in names if f"/{subset.strip('/')}/" in f"/{name}"]
    if not kept:
        folders = sorted({name.rpartition("/")[0] for name in names if stem_of(name)} - {""})
        raise UserError(
            f"{where}: has no subset {subset!r}; set `subset` to one of its folders ({_few(folders) or 'there are none'})"
        )
    return kept


def _one_group(files: list[_File], split: str, where: str) -> list[str]:
    """The shards of one file, complete and in order. Raises UserError if the files belong to several."""
    groups: dict[tuple[str, str, str], list[_File]] = defaultdict(list)
    for file in files:
        # In a folder named like the split all files belong to it.
        named = "" if split in file.folder.split("/") else file.name
        groups[file.folder, named, file.ending].append(file)
    chosen = list(groups.values())
    if len(groups) > 1:
        chosen = [files for (folder, _, _), files in groups.items() if folder in _NEUTRAL]
    if len(chosen) != 1:
        paths = [group[0].path for group in groups.values()]
        raise UserError(
            f"{where}: the split {split!r} is ambiguous ({_few(paths)}); set `subset` to a folder, or `hub_split` to a file "
            "name without its ending"
        )
    shards = sorted(chosen[0], key=lambda file: (file.name, file.index if file.index is not None else -1, file.path))
    totals = {file.total for file in shards}
    if totals != {None}:
        indexes = {file.index for file in shards}
        if len(totals) > 1 or len(indexes) != shards[0].total:
            raise UserError(
                f"{where}: the split {split!r} is incomplete: {len(indexes)} of {shards[0].total} files are there (such as "
                f"{shards[0].path}); fetch the others"
            )
    return [file.path for file in shards]


def is_whole(files: Sequence[str]) -> bool:
    """Whether the names of a split's files show that none is missing."""
    found = [_file(name) for name in files]
    return all(file is not None and (file.index is None or file.total is not None) for file in found) and (
        len(files) == 1 or all(file is not None and file.total == len(files) for file in found)
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


# ---------------------------------------------------------------- the card


def _told(card: str | None, subset: str | None, where: str) -> Any:
    """The card's description of a subset's files: patterns for each split, or a folder; None if there is none."""
    configs = _configs(card, where)
    if not configs:
        return None
    names = [config["config_name"] for config in configs]
    if subset is not None:
        if subset not in names:
            raise UserError(f"{where}: has no subset {subset!r}; set `subset` to one that it has ({_few(names)})")
        chosen = configs[names.index(subset)]
    else:
        standard = [config for config in configs if config.get("default") is True or config["config_name"] == "default"]
        if len(configs) > 1 and not standard:
            raise UserError(f"{where}: has several subsets; set `subset` to one of them ({_few(names)})")
        chosen = (standard or configs)[0]
    folder, files = chosen.get("data_dir"), chosen.get("data_files")
    folder = folder if isinstance(folder, str) else None
    if files is None:
        return folder
    if isinstance(files, dict):
        files = [{"split": split, "path": path} for split, path in files.items()]
    elif not isinstance(files, list) or not all(isinstance(entry, dict) for entry in files):
        files = [{"split": "train", "path": files}]
    prefix = f"{folder.strip('/')}/" if folder else ""
    told: dict[str, list[str]] = {}
    for entry in files:
        paths = entry.get("path")
        paths = paths if isinstance(paths, list) else [paths]
        named = entry.get("split")
        if not isinstance(named, str) or not paths or not all(isinstance(path, str) for path in paths):
            raise UserError(
                f"{where}/{CARD}: data_files of {chosen['config_name']} need `split` and `path`; correct its YAML header"
            )
        told[named] = [prefix + path.removeprefix("./") for path in paths]
    return told


def _configs(card: str | None, where: str) -> list[dict[str, Any]]:
    """The subsets in the YAML header of a card."""
    head = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", card or "", re.DOTALL)
    if head is None or "configs:" not in head.group(1):
        return []
    try:
        told = yaml.safe_load(head.group(1))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        fault = " ".join(str(getattr(error, "problem", None) or error).split())[:80]
        raise UserError(f"{where}/{CARD}: its YAML header cannot be read ({fault}); correct or remove it") from None
    configs = told.get("configs") if isinstance(told, dict) else None
    configs = configs if isinstance(configs, list) else []
    return [config for config in configs if isinstance(config, dict) and isinstance(config.get("config_name"), str)]


def _by_card(names: Sequence[str], split: str, told: dict[str, list[str]], where: str) -> list[str]:
    if split not in told:
        raise UserError(f"{where}: has no split {split!r}; set `hub_split` to one that it has ({_few(list(told))})")
    found: list[str] = []
    for pattern in told[split]:
        matching = [name for name in sorted(names) if _pattern(pattern).fullmatch(name) and name not in found]
        if not matching and not any(_pattern(pattern).fullmatch(name) for name in found):
            raise UserError(f"{where}: no file matches {pattern!r}, listed for {split} in {CARD}; fetch it")
        found += matching
    if unread := [name for name in found if stem_of(name) is None]:
        raise UserError(f"{where}: {unread[0]} is not supported (supported: {', '.join(READABLE)})")
    files = [file for name in found if (file := _file(name)) is not None]
    if any(file.total is not None for file in files) and len({(file.folder, file.name) for file in files}) == 1:
        return _one_group(files, split, where)  # checks that no shard is missing
    return found


def _pattern(glob: str) -> re.Pattern[str]:
    """A card's file pattern as a regular expression: `*` within a folder, `**` across folders."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces))
