"""Merge configuration layers: option defaults, preset, the user's YAML files, `--config`, and a variant's `set`.

Later layers override earlier ones, including their values for single tasks or models. A preset that extends another
is a separate layer.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.workflow.configuration import Configuration, Override
from retrace.workflow.seeds import written_out
from retrace.yaml_files import closest, read_yaml, validated


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `over` into `base`, recursively for mappings; lists are replaced."""
    result = dict(copy.deepcopy(dict(base)))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def with_options(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with dotted options (`grace.beta`) set."""
    for dotted, value in options.items():
        *parents, last = dotted.split(".")
        nested: Any = {last: value}
        for parent in reversed(parents):
            nested = {parent: nested}
        values = merged(values, _expanded_seeds(nested))
    return dict(values)


def _expanded_seeds(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with a list of seeds expanded to all systems, so that it overrides earlier layers for every one."""
    seeds = values.get("seeds")
    return {**values, "seeds": written_out(seeds)} if isinstance(seeds, list) else dict(values)


class Layers:
    """The preset, and user settings (config.yaml, further files, `--config`) already merged by Snakemake.

    Args:
        user: the user's values.
        folders: folders with presets/NAME.yaml, the shipped one first; files in presets/NAME/ are its parts.
    """

    def __init__(self, user: Mapping[str, Any], folders: Sequence[Path]) -> None:
        self.user = _expanded_seeds(user)
        self.folders = folders
        self.preset_name = str(self.user.get("preset", "paper"))
        self.presets = self._presets(self.preset_name, ())

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        yield from (*self.presets, self.user)

    def _presets(self, name: str, seen: tuple[str, ...]) -> list[dict[str, Any]]:
        """The preset's layers, parents first."""
        paths = {path.stem: path for folder in self.folders for path in sorted((folder / "presets").glob("*.yaml"))}
        if name not in paths:
            raise UserError(f"preset {name!r} is unknown; {closest(name, paths)}")
        if name in seen:
            raise UserError(f"{paths[name]}: presets extend each other in a circle: {' -> '.join((*seen, name))}")
        preset = _expanded_seeds(read_yaml(paths[name]))
        parent = preset.pop("extends", None)
        for part in sorted(paths[name].with_suffix("").glob("*.yaml")):
            values = read_yaml(part)
            if twice := sorted(values.keys() & preset.keys()):
                raise UserError(f"{part}: {paths[name]} says {', '.join(twice)} too; leave it in one of them")
            preset |= _expanded_seeds(values)
        return [*(self._presets(parent, (*seen, name)) if parent else []), preset]

    def check_overrides(self, tasks: Sequence[str], models: Sequence[str]) -> None:
        """Raise UserError for overrides of an unknown task or model, which would have no effect."""
        for layer in self:
            for override in layer.get("overrides") or []:
                when = validated(Override, override, "overrides").when
                for kind, named, known in (("task", when.task, tasks), ("model", when.model, models)):
                    for name in [named] if isinstance(named, str) else named or []:
                        if name not in known:
                            raise UserError(f"overrides: when.{kind}: {name!r} is unknown; {closest(name, known)}")

    def values(self, task: str | None, model: str | None, variant: Mapping[str, Any], where: str) -> Configuration:
        """The configuration for one task and model. Raises UserError, beginning with `where`, for a wrong key or value.

        variant: dotted options that win over all layers.
        """
        values: dict[str, Any] = {}
        for layer in self:
            values = merged(values, _applied(layer, task, model))
        return validated(Configuration, with_options({**values, "preset": self.preset_name}, variant), where)

    def mentioned(self, option: str) -> set[Any]:
        """What overrides set an option (`align.embedder`) to, for whatever task and model."""
        return {one["set"][option] for layer in self for one in layer.get("overrides") or [] if option in one["set"]}


def _applied(values: Mapping[str, Any], task: str | None, model: str | None) -> dict[str, Any]:
    """`values` with its `overrides` for this task and model applied, in order."""
    given = {"task": task, "model": model}
    for override in values.get("overrides") or []:
        when = override.get("when", {})
        if when and all(given.get(key) in (want if isinstance(want, list) else [want]) for key, want in when.items()):
            values = with_options(values, override.get("set", {}))
    return dict(values)
