"""One configuration from its layers: option defaults, the preset, the user's YAML file, `--config`, and a variant's `set`.

A later layer wins over an earlier one, also over what the earlier one says for one task or model; a preset that
extends another is a layer of its own.
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
    """`base` with the values of `over` put on top, mapping by mapping; lists are replaced whole."""
    result = dict(copy.deepcopy(dict(base)))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def with_options(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with dotted options (`grace.beta`) put on top."""
    for dotted, value in options.items():
        *parents, last = dotted.split(".")
        nested: Any = {last: value}
        for parent in reversed(parents):
            nested = {parent: nested}
        values = merged(values, _expanded_seeds(nested))
    return dict(values)


def _expanded_seeds(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with a list of seeds as the seeds of all systems, so that it wins over what earlier layers say of one."""
    seeds = values.get("seeds")
    return {**values, "seeds": written_out(seeds)} if isinstance(seeds, list) else dict(values)


class Layers:
    """The preset and what the user gave (config.yaml, further files, `--config`), already merged by Snakemake.

    Args:
        user: the user's values.
        folders: where presets/NAME.yaml are looked for, the shipped ones first; files of presets/NAME/ belong to it.
    """

    def __init__(self, user: Mapping[str, Any], folders: Sequence[Path]) -> None:
        self.user = _expanded_seeds(user)
        self.folders = folders
        self.preset_name = str(self.user.get("preset", "paper"))
        self.presets = self._presets(self.preset_name, ())

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        yield from (*self.presets, self.user)

    def _presets(self, name: str, seen: tuple[str, ...]) -> list[dict[str, Any]]:
        """The preset's layers, the one that it extends first."""
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
        """Raise UserError for overrides that hold for a task or model that there is not: they would change nothing."""
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
    """`values` with its own `overrides` for this task and model applied, in their order."""
    given = {"task": task, "model": model}
    for override in values.get("overrides") or []:
        when = override.get("when", {})
        if when and all(given.get(key) in (want if isinstance(want, list) else [want]) for key, want in when.items()):
            values = with_options(values, override.get("set", {}))
    return dict(values)
