"""One configuration from four layers: option defaults, the preset, the user's YAML file and `--config`.

A later layer wins over an earlier one, also over what the earlier one says for one task or model; a preset that
extends another is a layer of its own.
"""

import copy
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from retrace.checkpoints import (
    DECODERS,
    KINDS,
    LAST,
    LOOPS,
    NAMED_BY_CHECKPOINT,
    NEVER_CALCULATE,
    SINGLE,
    WITHOUT_CALCULATOR,
    kind_of,
    loop_of,
    round_of,
    same_model,
    system_of,
)
from retrace.config import Configuration, MethodConfig, ModelConfig, Override, TaskConfig
from retrace.config_icot import FROM_SCRATCH_ONLY
from retrace.config_learn_to_reason import VARIANTS
from retrace.errors import UserError
from retrace.tasks import load_task
from retrace.tasks.splits import TRANSFER, split_of_set
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
        self.values = self._checked(self._layers(None, None), "configuration")
        self._check_overrides()

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

    def _check_overrides(self) -> None:
        """Raise UserError for overrides that hold for a task or model that there is not: they would change nothing."""
        for layer in (*self.presets, self.user):
            for override in layer.get("overrides") or []:
                when = validated(Override, override, "overrides").when
                for kind, named, known in (("task", when.task, self.tasks), ("model", when.model, self.models)):
                    for name in [named] if isinstance(named, str) else named or []:
                        if name not in known:
                            raise UserError(f"overrides: when.{kind}: {name!r} is unknown; {closest(name, known)}")

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
        return self._checked(self._layers(task, model), f"configuration of {task} with {model}")

    def _checked(self, layers: Mapping[str, Any], where: str) -> Configuration:
        """The values as a configuration. Raises UserError for a wrong key or value, and for a backbone that is none."""
        values = validated(Configuration, layers, where)
        for section in ("discriminator", "verifier"):
            name = getattr(values, section).backbone
            known = ["scratch", "generator", *self.models]
            if name not in known and "/" not in name and not Path(name).exists():
                raise UserError(
                    f"{where}: {section}.backbone {name!r} is unknown; {closest(name, known)}; or a folder, or a Hub id "
                    "(OWNER/NAME)"
                )
        return values

    def resolved(self) -> dict[str, Any]:
        """Everything that results are made with as plain data, to be saved beside them; where trainings are followed
        is no part of it."""
        return self.values.model_dump(mode="json", exclude={"logging"})

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
        """A model that writes solutions. Raises UserError for an unknown one and for an encoder."""
        if name in self.models and (model := self.model(name)).family != "encoder":
            return model
        writers = [other for other in self.models if self.model(other).family != "encoder"]
        if name in self.models:
            raise UserError(f"model {name!r} is an encoder and writes no solutions; valid: {', '.join(writers)}")
        raise UserError(f"model {name!r} is unknown; {closest(name, writers)}")

    @lru_cache(maxsize=256)  # noqa: B019
    def method(self, name: str) -> MethodConfig:
        """A method by its file, a checkpoint of a round (`dpo_st_round2`, decoded greedily), any
        `{checkpoint}_{decoder}` pair (`sft_grace`), and each of these with `_no_calculator` behind it."""
        if name in self.methods:
            return self._possible(load_method_config(self.folder / "methods" / f"{name}.yaml"))
        if name.endswith(WITHOUT_CALCULATOR) and (helped := self._method(name.removesuffix(WITHOUT_CALCULATOR))):
            if helped.decoder in NEVER_CALCULATE:
                raise UserError(f"method {name!r}: {NEVER_CALCULATE[helped.decoder]}; there is no calculator")
            changes = {"name": name, "decoder": helped.decoder + WITHOUT_CALCULATOR, "paper_names": []}
            changes["title"] = f"{helped.title}, without the calculator"
            changes["votes"] = helped.votes and helped.votes + WITHOUT_CALCULATOR
            return self._possible(helped.model_copy(update=changes))
        if found := self._method(name):
            return self._possible(found)
        raise UserError(
            f"method {name!r} is unknown; {closest(name, self.methods)}; or CHECKPOINT_DECODER, "
            f"with a checkpoint of {', '.join(self.checkpoints)} and a decoder of {', '.join(DECODERS)}; "
            f"any of these with {WITHOUT_CALCULATOR} behind it"
        )

    def _method(self, name: str) -> MethodConfig | None:
        if name in self.methods:
            return load_method_config(self.folder / "methods" / f"{name}.yaml")
        if system_of(name) in NAMED_BY_CHECKPOINT:
            return self._method_of_round(name)
        for decoder in sorted(self.decoders, key=len, reverse=True):
            checkpoint = name.removesuffix(f"_{decoder}")
            if checkpoint != name and kind_of(checkpoint):
                title = f"{decoder} from {checkpoint}"
                paper = system_of(checkpoint)
                return MethodConfig(name=name, title=title, checkpoint=checkpoint, decoder=decoder, paper=paper)
        return None

    @staticmethod
    def _possible(method: MethodConfig) -> MethodConfig:
        if (method.checkpoint == "icot") != (method.decoder == "implicit"):
            raise UserError(
                f"method {method.name!r}: the checkpoint icot, and no other, is decoded with implicit: it has an emulator "
                "and a student; use the method icot"
            )
        return method

    @staticmethod
    def _method_of_round(name: str) -> MethodConfig:
        number, loop = round_of(name), loop_of(name)
        return MethodConfig(
            name=name,
            title=f"{LOOPS[loop]}, round {number}",
            checkpoint=name,
            decoder="greedy",
            paper=system_of(name),
            paper_names=[f"{LOOPS[loop]}, iteration {number}"] if loop in ("dpo_st", "st") else [],  # DPO-ST, Figure 5
        )

    # As messages name them: N is any number.
    checkpoints = tuple(kind.shown for kind in KINDS)
    decoders = (*DECODERS, *(name + WITHOUT_CALCULATOR for name in DECODERS if name not in NEVER_CALCULATE))

    def headline_model(self, task: str, method: str | None = None) -> str:
        """The model of `results/{task}/{method}_acc.json`: that of the method's paper, the task's or the default."""
        models = self.values.headline_models
        paper = self.method(method).paper if method else ""
        return models.get(paper) or models.get(task) or models["default"]

    def generator(self, task: str, model: str) -> str:
        """The checkpoint that a model's methods decode from, where the method says `generator`.

        Hub models say it themselves (`generator: base` is frozen, as the paper's LLaMA). A model trained from
        scratch is frozen on a task that brings a related corpus to train it on, and fine-tuned elsewhere.
        """
        return generator_of(self.task(task), self.model(model))

    def checkpoint(self, task: str, model: str, method: str) -> str:
        """The checkpoint of a method on this task and model. Raises UserError where the method cannot be run on it."""
        checkpoint, config = self.method(method).checkpoint, self.model(model)
        if checkpoint.endswith(LAST):
            loop = checkpoint.removesuffix(LAST)
            checkpoint = f"{loop}_round{self.rounds(task, model, loop)}"
        kind = kind_of(checkpoint)
        if kind and kind.decoder_only and config.family != "decoder_only":
            fit = [name for name in self.models if self.model(name).family == "decoder_only"]
            raise UserError(
                f"method {method!r} needs a decoder-only model, {model} is of family {config.family}; "
                f"valid: {', '.join(fit)}"
            )
        if checkpoint in FROM_SCRATCH_ONLY and config.scratch is None:
            raise UserError(f"method {method!r} is a control for models from scratch; {model} comes pretrained")
        if config.chat and (reason := self._plain_only(task, model, checkpoint)):
            raise UserError(f"method {method!r} on {model}: {reason}, and the model has a chat template")
        return self._or_generator(task, model, same_model(checkpoint))

    def _plain_only(self, task: str, model: str, checkpoint: str) -> str | None:
        """Why a checkpoint cannot be trained through a chat template; None where it can."""
        if system_of(checkpoint) == "learn_to_reason":
            return "a teacher's rationales are learned as plain text (a model file with `chat: false` does)"
        if system_of(checkpoint) == "dpo_st" and self.form(task, model, checkpoint) == "steps":
            return "dpo_st.form steps is plain text (`dpo_st.form: dpo_st` has a prompt of its own)"
        return None

    def _or_generator(self, task: str, model: str, checkpoint: str) -> str:
        return self.generator(task, model) if checkpoint == "generator" else checkpoint

    def round_before(self, task: str, model: str, loop: str, number: int) -> str:
        """The checkpoint that round `number` of a loop starts from: the round before, or what the loop begins with."""
        return self._or_generator(task, model, same_model(f"{loop}_round{number - 1}"))

    def rounds(self, task: str, model: str, loop: str) -> int:
        """How many rounds a loop has by configuration."""
        values = self.for_target(task, model)
        if loop == SINGLE:
            return 1
        return values.rounds.learn_to_reason if loop in VARIANTS else values.dpo_st.rounds

    def form(self, task: str, model: str, checkpoint: str) -> str:
        """The text form that a checkpoint writes its solutions in."""
        return self.for_target(task, model).dpo_st.form if system_of(checkpoint) == "dpo_st" else "steps"

    def split(self, task: str, model: str, checkpoint: str, split: str) -> str:
        """The split that a checkpoint's system reads as its train, dev or test. Raises UserError for an unknown choice."""
        values, system = self.for_target(task, model), system_of(checkpoint)
        if system == "dpo_st" and values.dpo_st.splits != "dpo_st":
            return split
        chosen = values.icot_data.train if system == "icot" and split == "train" else None
        if chosen and chosen not in self.task(task).splits:
            raise UserError(
                f"icot_data.train: task {task} has no split {chosen!r}; it has {', '.join(self.task(task).splits)}"
            )
        return chosen or split_of_set(self.task(task), system, split)

    def transfer_split(self, task: str) -> str:
        """The split on which models of other tasks are tested."""
        return TRANSFER if TRANSFER in self.task(task).splits else "test"


def generator_of(task: TaskConfig, model: ModelConfig) -> str:
    """As `Settings.generator`."""
    if model.scratch is None:
        return model.generator
    return "base" if "corpus" in task.splits else "sft"


@cache
def section_classes() -> dict[str, type[BaseModel]]:
    """Name of each option section of the configuration and its class; `dpo_st.sft` for a section within one, whose own
    options are then no section of a script."""

    def sections_in(owner: type[BaseModel], prefix: str) -> dict[str, type[BaseModel]]:
        found: dict[str, type[BaseModel]] = {}
        for name, field in owner.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= sections_in(kind, f"{prefix}{name}.") or {prefix + name: kind}
        return found

    return sections_in(Configuration, "")
