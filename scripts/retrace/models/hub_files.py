"""The files of a model: which of a repository's are used, and whether they are whole."""

import fnmatch
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from retrace.errors import UserError
from retrace.machine.storage import read_json

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
WEIGHTS = (".safetensors", ".bin")
OTHER_WEIGHTS = ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"]


_POINTER = b"version https://git-lfs.github.com/spec/"


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


def names_in(folder: Path) -> list[str]:
    """Files of a folder and its direct subfolders, by their repository names."""
    return [path.relative_to(folder).as_posix() for path in (*folder.glob("*"), *folder.glob("*/*"))]


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


def damage(folder: Path, files: Iterable[str]) -> str | None:
    """What is wrong with the first file that cannot be what it is called, with its mend; None if all may be."""
    for name in files:
        path = folder / name
        again = f"or delete {folder} to download it anew"
        if not path.exists():
            if path.is_symlink():
                target = os.readlink(path)
                return f"{path}: a link to {target}, and nothing is there; copy what it names, too (cp -rL), {again}"
            return f"{path}: missing; complete the folder, {again}"
        size = path.stat().st_size
        if size == 0 and name.endswith(WEIGHTS):
            return f"{path}: empty; copy it again, {again}"
        if size < 1024 and path.is_file():
            with open(path, "rb") as handle:
                if handle.read(len(_POINTER)) == _POINTER:
                    where = "run `git lfs pull` where it comes from"
                    return f"{path}: a Git LFS pointer in the place of the file; {where} and copy it again, {again}"
    return None
