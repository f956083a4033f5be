"""The user's configuration files and `--config`, checked for what Snakemake passes over in silence."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrace.yaml_files import read_settings, refuse_twice

TEMPLATE = "__use_yte__"  # makes a file a template, whose values only Snakemake knows


def read_files(paths: Sequence[Path], argv: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Contents of configuration files by path, in order; those of templates are left out.

    Raises UserError naming file and line for a file that is not plain settings, or has a key twice; also for such a value of
    `--config` in the arguments of Snakemake.
    """
    found = {}
    for path in dict.fromkeys(Path(os.path.relpath(path)) for path in paths):
        if not path.exists():  # Snakemake says so
            continue
        values = read_settings(path)
        if TEMPLATE not in values:
            found[str(path)] = values
    for word in config_words(argv):
        name, _, value = word.partition("=")
        refuse_twice(value, f"--config {name}")
    return found


def config_words(argv: Sequence[str]) -> list[str]:
    """The words after `--config` (or `-C`) among the arguments of Snakemake."""
    found: list[str] = []
    inside = False
    for word in argv:
        if word.startswith("-") and "=" not in word.partition(" ")[0]:
            inside = word in ("--config", "-C")
        elif word.startswith("--config="):
            found.append(word.removeprefix("--config="))
            inside = True
        elif inside:
            found.append(word)
    return found
