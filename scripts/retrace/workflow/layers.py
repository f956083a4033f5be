"""Merge configuration layers: option defaults, preset, the user's YAML files, `--config`, and a variant's `set`.

Later layers override earlier ones, including their values for single tasks or models. A preset that extends another
is a separate layer.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.workflow.configuration import Configuration, Override
from retrace.workflow.seeds import written_out
from retrace.yaml_files import Refused, closest, read_yaml, validated


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


# What a part of a preset adds to, where the preset says something of other systems there.
SHARED = ("headline_models", "seeds", "overrides")


def said_twice(preset: Mapping[str, Any], part: Mapping[str, Any]) -> list[str]:
    """What a preset and a part of it both say. Overrides join, and so do models and seeds of different systems."""
    twice = []
    for key in sorted(preset.keys() & part.keys()):
        one, other = preset[key], part[key]
        if key in SHARED and isinstance(one, Mapping) and isinstance(other, Mapping):
            twice += [f"{key}.{name}" for name in sorted(map(str, one.keys() & other.keys()))]
        elif not (key in SHARED and isinstance(one, list) and isinstance(other, list)):
            twice.append(key)
    return twice


def with_part(preset: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """A preset with one of its parts, which says nothing that the preset says."""
    joined = merged(preset, part)
    if isinstance(preset.get("overrides"), list) and "overrides" in part:
        joined["overrides"] = [*preset["overrides"], *part["overrides"]]
    return joined


def _expanded_seeds(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with a list of seeds expanded to all systems, so that it overrides earlier layers for every one."""
    seeds = values.get("seeds")
    return {**values, "seeds": written_out(seeds)} if isinstance(seeds, list) else dict(values)


class Layers:
    """The preset, and user settings (config.yaml, further files, `--config`) already merged by Snakemake.

    Args:
        user: the user's values.
        folders: folders with presets/NAME.yaml, the shipped one first; files in presets/NAME/ are its parts.
        files: contents of the user's files by path, in the order in which they were merged, so that faults name the file.
    """

    def __init__(
        self, user: Mapping[str, Any], folders: Sequence[Path], files: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.user = _expanded_seeds(user)
        self.folders = folders
        self.files = files or {}
        self._sources: list[tuple[Path, dict[str, Any]]] = []  # presets and their parts, parents first
        self.preset_name = self._name_of_preset(f"{self.said_by(('preset',))}preset", self.user.get("preset", "paper"))
        self.presets = self._presets(self.preset_name, ())
        for layer in self:
            self._check_shape(layer)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        yield from (*self.presets, self.user)

    @cached_property
    def _paths(self) -> dict[str, Path]:
        """The files of all presets by name."""
        return {path.stem: path for folder in self.folders for path in sorted((folder / "presets").glob("*.yaml"))}

    def _name_of_preset(self, where: str, name: Any) -> str:
        if not isinstance(name, str):
            raise UserError(
                f"{where}: should be the name of a preset (got {str(name)[:80]}); {closest('', self._paths)}"
            )
        return name

    def _presets(self, name: str, seen: tuple[str, ...]) -> list[dict[str, Any]]:
        """The preset's layers, parents first."""
        paths = self._paths
        if name not in paths:
            where = f"{paths[seen[-1]]}: extends: " if seen else self.said_by(("preset",))
            raise UserError(f"{where}preset {name!r} is unknown; {closest(name, paths)}")
        if name in seen:
            raise UserError(f"{paths[name]}: presets extend each other in a circle: {' -> '.join((*seen, name))}")
        preset = _expanded_seeds(read_yaml(paths[name]))
        parent = preset.pop("extends", None)
        if parent is not None:
            self._name_of_preset(f"{paths[name]}: extends", parent)
        above = self._presets(parent, (*seen, name)) if parent else []
        self._sources.append((paths[name], dict(preset)))
        for part in sorted(paths[name].with_suffix("").glob("*.yaml")):
            values = _expanded_seeds(read_yaml(part))
            if twice := said_twice(preset, values):
                raise UserError(f"{part}: {paths[name]} says {', '.join(twice)} too; leave it in one of them")
            self._sources.append((part, values))
            preset = with_part(preset, values)
        return [*above, preset]

    def faults(self) -> list[str]:
        """Faults of the user's own presets that are not in use."""
        found = []
        for name, path in self._paths.items():
            if path.parents[1] != self.folders[0] and name != self.preset_name:
                try:
                    read_yaml(path)
                except UserError as error:
                    found.append(str(error))
        return found

    def _check_shape(self, layer: Mapping[str, Any]) -> None:
        """Raise UserError for overrides that are no list of `when` and `set`."""
        overrides = layer.get("overrides")
        if overrides is not None and not isinstance(overrides, list):
            wanted = "a list of {when: {task: NAME}, set: {OPTION: VALUE}}"
            said = self.said_by(("overrides",))
            raise UserError(f"{said}overrides: should be {wanted} (got {str(overrides)[:80]})")
        for number, override in enumerate(overrides or []):
            validated(Override, override, f"{self.said_by(('overrides',))}overrides.{number}")

    def check_overrides(self, tasks: Sequence[str], models: Sequence[str]) -> None:
        """Raise UserError for overrides of an unknown task or model, which would have no effect."""
        for layer in self:
            for override in layer.get("overrides") or []:
                when = validated(Override, override, "overrides").when
                for kind, named, known in (("task", when.task, tasks), ("model", when.model, models)):
                    for name in [named] if isinstance(named, str) else named or []:
                        if name not in known:
                            said = f"{self.said_by(('overrides',))}overrides: when.{kind}"
                            raise UserError(f"{said}: {name!r} is unknown; {closest(name, known)}")

    def values(self, task: str | None, model: str | None, variant: Mapping[str, Any], where: str) -> Configuration:
        """The configuration for one task and model. Raises UserError, beginning with `where`, for a wrong key or value;
        with the file in front if it is known.

        variant: dotted options that win over all layers.
        """
        values: dict[str, Any] = {}
        for layer in self:
            values = merged(values, _applied(layer, task, model))
        try:
            return validated(Configuration, with_options({**values, "preset": self.preset_name}, variant), where)
        except Refused as error:
            of_variant = any(within(error.place, option.split(".")) for option in variant)
            raise UserError(f"{'' if of_variant else self.said_by(error.place)}{error}") from None

    def said_by(self, place: Sequence[str]) -> str:
        """`FILE: ` for the file that says what stands at a place of the merged values; empty if it is not known."""
        for path, values in reversed(self.files.items()):
            # As texts: not-a-number equals nothing.
            if says(values, place) and str(found_at(values, place)) == str(found_at(self.user, place)):
                return f"{path}: "
        if says(self.user, place):
            return "--config: " if self.files else ""
        named = [*self._sources, *self.files.items()]
        told = next((path for path, values in reversed(self._sources) if says(values, place)), None)
        # A section with a wrong name may stand in options of overrides alone.
        told = told or next((path for path, values in reversed(named) if says_inside(values, place)), None)
        return f"{told}: " if told else ""

    def mentioned(self, option: str) -> set[Any]:
        """What overrides set an option (`align.embedder`) to, for whatever task and model."""
        return {one["set"][option] for layer in self for one in layer.get("overrides") or [] if option in one["set"]}


def within(place: Sequence[str], option: Sequence[str]) -> bool:
    """Whether a place in the values is that of an option, or inside it."""
    return list(place[: len(option)]) == list(option)


def found_at(values: Any, place: Sequence[str]) -> Any:
    """What stands at a place of the values, as deep as they go."""
    for key in place:
        if not isinstance(values, Mapping) or key not in values:
            break
        values = values[key]
    return values


def says(values: Mapping[str, Any], place: Sequence[str]) -> bool:
    """Whether values, or the overrides among them, say what stands at a place."""
    if not place:
        return False
    if any(within(place, option) for option in options_of_overrides(values)):
        return True
    holder = found_at(values, place[:-1])
    return place[0] in values and (not isinstance(holder, Mapping) or place[-1] in holder)


def says_inside(values: Mapping[str, Any], place: Sequence[str]) -> bool:
    """Whether the overrides among values set an option inside a place."""
    return bool(place) and any(within(option, place) for option in options_of_overrides(values))


def options_of_overrides(values: Mapping[str, Any]) -> list[list[str]]:
    """The options that the overrides among values set, each as its parts; those of faulty overrides are left out."""
    overrides = values.get("overrides")
    sets = [one.get("set") for one in overrides if isinstance(one, Mapping)] if isinstance(overrides, list) else []
    return [str(option).split(".") for one in sets if isinstance(one, Mapping) for option in one]


def _applied(values: Mapping[str, Any], task: str | None, model: str | None) -> dict[str, Any]:
    """`values` with its `overrides` for this task and model applied, in order."""
    given = {"task": task, "model": model}
    for override in values.get("overrides") or []:
        when = override.get("when", {})
        if when and all(given.get(key) in (want if isinstance(want, list) else [want]) for key, want in when.items()):
            values = with_options(values, override.get("set", {}))
    return dict(values)
