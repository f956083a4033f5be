"""One configuration from four layers: option defaults, the preset, the user's YAML file and `--config`.

A later layer wins over an earlier one, also over what the earlier one says for one task or model; a preset that
extends another is a layer of its own.
"""

import copy
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from retrace.config import Configuration, MethodConfig, ModelConfig, TaskConfig
from retrace.errors import UserError
from retrace.tasks import load_task
from retrace.yaml_files import closest, load_method_config, load_model_config, read_yaml, validated


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` put on top, mapping by mapping; lists are replaced whole."""
    result = dict(copy.deepcopy(dict(base)))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


class Settings:
    """The resolved configuration and the names that targets may hold.

    `user` is what the user gave (config.yaml, further files, `--config`), already merged by Snakemake.
    """

    def __init__(self, user: Mapping[str, Any], config_dir: str | Path = "config") -> None:
        self.folder = Path(config_dir)
        self.user = dict(user)
        self.preset_name = str(self.user.get("preset", "paper"))
        self.presets = self._presets(self.preset_name, ())
        self.values = validated(Configuration, self._layers(None, None), "configuration")

    def _presets(self, name: str, seen: tuple[str, ...]) -> list[dict[str, Any]]:
        """The preset's layers, the one that it extends first."""
        path = self.folder / "presets" / f"{name}.yaml"
        if not path.exists():
            raise UserError(f"preset {name!r} is unknown; {closest(name, self._stems('presets'))}")
        if name in seen:
            raise UserError(f"{path}: presets extend each other in a circle: {' -> '.join((*seen, name))}")
        preset = read_yaml(path)
        parent = preset.pop("extends", None)
        return [*(self._presets(parent, (*seen, name)) if parent else []), preset]

    def _stems(self, kind: str) -> list[str]:
        return sorted(path.stem for path in (self.folder / kind).glob("*.yaml"))

    @staticmethod
    def _apply(values: dict[str, Any], task: str | None, model: str | None) -> dict[str, Any]:
        """`values` with its own `overrides` for this task and model applied, in their order."""
        for override in values.get("overrides") or []:
            when = override.get("when", {})
            given = {"task": task, "model": model}
            fits = all(given.get(key) in (want if isinstance(want, list) else [want]) for key, want in when.items())
            if fits and when:
                for dotted, value in override.get("set", {}).items():
                    *parents, last = dotted.split(".")
                    nested: Any = {last: value}
                    for parent in reversed(parents):
                        nested = {parent: nested}
                    values = merged(values, nested)
        return values

    def _layers(self, task: str | None, model: str | None) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for layer in (*self.presets, self.user):
            values = merged(values, self._apply(layer, task, model))
        return {**values, "preset": self.preset_name}

    @lru_cache(maxsize=4096)  # noqa: B019 - one Settings lives as long as the workflow
    def for_target(self, task: str, model: str) -> Configuration:
        """The configuration as it holds for one task and model."""
        return validated(Configuration, self._layers(task, model), f"configuration of {task} with {model}")

    def resolved(self) -> dict[str, Any]:
        """Everything as plain data, to be saved beside the results."""
        return self.values.model_dump(mode="json")

    @cached_property
    def tasks(self) -> list[str]:
        return self._stems("tasks")

    @cached_property
    def models(self) -> list[str]:
        return self._stems("models")

    @cached_property
    def methods(self) -> list[str]:
        return self._stems("methods")

    @lru_cache(maxsize=256)  # noqa: B019
    def task(self, name: str) -> TaskConfig:
        if name not in self.tasks:
            raise UserError(f"task {name!r} is unknown; {closest(name, self.tasks)}")
        return load_task(self.folder / "tasks" / f"{name}.yaml").config

    @lru_cache(maxsize=256)  # noqa: B019
    def model(self, name: str) -> ModelConfig:
        if name not in self.models:
            raise UserError(f"model {name!r} is unknown; {closest(name, self.models)}")
        return load_model_config(self.folder / "models" / f"{name}.yaml")

    def generator_model(self, name: str) -> ModelConfig:
        """A model that writes solutions. Raises UserError for an encoder."""
        model = self.model(name)
        if model.family == "encoder":
            writers = [other for other in self.models if self.model(other).family != "encoder"]
            raise UserError(f"model {name!r} is an encoder and writes no solutions; valid: {', '.join(writers)}")
        return model

    @lru_cache(maxsize=256)  # noqa: B019
    def method(self, name: str) -> MethodConfig:
        """A method by its file, or any `{checkpoint}_{decoder}` pair, for instance `sft_grace`.

        The checkpoints of LaTRO make a method one of that paper's.
        """
        if name in self.methods:
            return load_method_config(self.folder / "methods" / f"{name}.yaml")
        for decoder in sorted(self.decoders, key=len, reverse=True):
            checkpoint = name.removesuffix(f"_{decoder}")
            if checkpoint != name and checkpoint in self.checkpoints:
                return MethodConfig(
                    name=name,
                    title=f"{decoder} from {checkpoint}",
                    checkpoint=checkpoint,
                    decoder=decoder,
                    paper="latro" if checkpoint.startswith("latro") else "grace",
                )
        raise UserError(
            f"method {name!r} is unknown; {closest(name, self.methods)}; or CHECKPOINT_DECODER, "
            f"with a checkpoint of {', '.join(self.checkpoints)} and a decoder of {', '.join(self.decoders)}"
        )

    # Checkpoints that a decoder can decode from; later systems add theirs here.
    checkpoints = ("base", "sft", "latro", "latro_sft")
    decoders = (
        *("greedy", "beam", "self_consistency", "verifier", "stepwise", "grace", "grace_self_consistency"),
        *("maj", "few_shot", "few_shot_maj"),
    )

    def headline_model(self, task: str, method: str | None = None) -> str:
        """The model of `results/{task}/{method}_acc.json`: its paper's own, the task's or the default."""
        models = self.values.headline_models
        paper = self.method(method).paper if method else None
        return models.get(paper or "") or models.get(task) or models["default"]

    def generator(self, task: str, model: str) -> str:
        """The checkpoint that a model's methods decode from, where the method says `generator`.

        Hub models say it themselves (`generator: base` is frozen, as the paper's LLaMA). A model trained from
        scratch is frozen on a task that brings a related corpus to train it on, and fine-tuned elsewhere.
        """
        return generator_of(self.task(task), self.model(model))

    def checkpoint(self, task: str, model: str, method: str) -> str:
        """The checkpoint of a method on this task and model."""
        checkpoint = self.method(method).checkpoint
        return self.generator(task, model) if checkpoint == "generator" else checkpoint


def generator_of(task: TaskConfig, model: ModelConfig) -> str:
    """As `Settings.generator`."""
    if model.scratch is None:
        return model.generator
    return "base" if "corpus" in task.splits else "sft"


def section_classes() -> dict[str, type[BaseModel]]:
    """Name of each option section of the configuration and its class."""
    return {
        name: field.annotation
        for name, field in Configuration.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
