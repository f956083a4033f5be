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

from retrace.errors import UserError
from retrace.models.options import ModelConfig, load_model_config
from retrace.systems.learn_to_reason.options import VARIANTS
from retrace.tasks.load import load_task
from retrace.tasks.options import TaskConfig
from retrace.tasks.splits import TRANSFER, split_of_set
from retrace.workflow.compatibility import Case, broken, check
from retrace.workflow.configuration import Configuration, MethodConfig, Override
from retrace.workflow.named_models import check_named_models
from retrace.workflow.names import (
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
from retrace.workflow.seeds import written_out
from retrace.yaml_files import closest, read_named, read_yaml, validated


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` put on top, mapping by mapping; lists are replaced whole."""
    result = dict(copy.deepcopy(dict(base)))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _seeds_written_out(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with a list of seeds as the seeds of all systems, so that it wins over what earlier layers say of one."""
    seeds = values.get("seeds")
    return {**values, "seeds": written_out(seeds)} if isinstance(seeds, list) else dict(values)


class Settings:
    """The resolved configuration and the names that targets may hold.

    `user` is what the user gave (config.yaml, further files, `--config`), already merged by Snakemake.
    """

    def __init__(self, user: Mapping[str, Any], config_dir: str | Path = "config") -> None:
        self.folder = Path(config_dir)
        self.user = _seeds_written_out(user)
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
        preset = _seeds_written_out(read_yaml(path))
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
                    values = merged(values, _seeds_written_out(nested))
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
        """The values as a configuration. Raises UserError for a wrong key or value, and for a model that there is not."""
        values = validated(Configuration, layers, where)
        check_named_models(values, {name: self.model(name).family for name in self.models}, where)
        return values

    def named(self, option: str) -> set[str]:
        """All values of an option (`align.embedder`), for whatever task and model."""
        section, name = option.split(".")
        layers = (*self.presets, self.user)
        overrides = [one.get("set", {}).get(option) for layer in layers for one in layer.get("overrides") or []]
        return {str(one) for one in (getattr(getattr(self.values, section), name), *overrides) if one}

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
            return load_method_config(self.folder / "methods" / f"{name}.yaml")
        if name.endswith(WITHOUT_CALCULATOR) and (helped := self._method(name.removesuffix(WITHOUT_CALCULATOR))):
            if helped.decoder in NEVER_CALCULATE:
                raise UserError(f"method {name!r}: {NEVER_CALCULATE[helped.decoder]}; there is no calculator")
            changes = {"name": name, "decoder": helped.decoder + WITHOUT_CALCULATOR, "paper_names": []}
            changes["title"] = f"{helped.title}, without the calculator"
            changes["votes"] = helped.votes and helped.votes + WITHOUT_CALCULATOR
            return helped.model_copy(update=changes)
        if found := self._method(name):
            return found
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

    @lru_cache(maxsize=4096)  # noqa: B019
    def checkpoint(self, task: str, model: str, method: str, target: str | None = None) -> str:
        """The checkpoint of a method on this task and model; target: the task whose questions are answered, if another one.

        Raises UserError where these cannot work together (retrace.workflow.compatibility).
        """
        case = self._case(task, model, method, target)
        check(case, lambda kind: self._others(kind, case))
        return case.checkpoint

    def _case(self, task: str, model: str, method: str, target: str | None = None) -> Case:
        checkpoint, config, loop = self.method(method).checkpoint, self.generator_model(model), None
        if checkpoint.endswith(LAST):
            loop = checkpoint.removesuffix(LAST)
            checkpoint = f"{loop}_round{self.rounds(task, model, loop)}"
        elif round_of(checkpoint) is not None:
            loop = loop_of(checkpoint)
        resolved = self._standing(task, model, checkpoint)
        return Case(
            task=self.task(task),
            model=config,
            method=self.method(method),
            checkpoint=resolved,
            values=self.for_target(task, model),
            splits=(self.split(task, model, resolved, "train"), self.split(task, model, resolved, "dev")),
            target=self.task(target) if target else None,
            rounds=self.rounds(task, model, loop) if loop else None,
        )

    def _others(self, kind: str, case: Case) -> list[str]:
        """Tasks, models, or methods with the same checkpoint, that work in place of those of `case`."""
        parts = {"task": case.task.name, "model": case.model.name, "method": case.method.name}
        target = case.target.name if case.target else None
        names = {
            "task": self.tasks,
            "model": self.models,
            "method": [f"{case.checkpoint}_{decoder}" for decoder in DECODERS],
        }[kind]

        def works(name: str) -> bool:
            try:
                return broken(self._case(**{**parts, kind: name}, target=target)) is None
            except UserError:
                return False

        return [name for name in names if works(name)]

    def _standing(self, task: str, model: str, checkpoint: str) -> str:
        """The name under which a checkpoint stands; before the first round of Learn-to-Reason, in the authors' form, one
        of its own, since no other checkpoint is asked in that form."""
        untaught = system_of(checkpoint) == "learn_to_reason" and round_of(checkpoint) == 0
        if untaught and self.form(task, model, checkpoint) != "steps":
            return "learn_to_reason_round0"
        return self._or_generator(task, model, same_model(checkpoint))

    def untaught(self, task: str, model: str) -> str:
        """The checkpoint whose weights Learn-to-Reason's student has before the first round."""
        own_form = self.for_target(task, model).learn_to_reason.form != "steps"
        return "base" if own_form else self.generator(task, model)

    def _or_generator(self, task: str, model: str, checkpoint: str) -> str:
        return self.generator(task, model) if checkpoint == "generator" else checkpoint

    def round_before(self, task: str, model: str, loop: str, number: int) -> str:
        """The checkpoint that round `number` of a loop starts from: the round before, or what the loop begins with."""
        return self._standing(task, model, f"{loop}_round{number - 1}")

    def rounds(self, task: str, model: str, loop: str) -> int:
        """How many rounds a loop has by configuration."""
        values = self.for_target(task, model)
        if loop == SINGLE:
            return 1
        return values.rounds.learn_to_reason if loop in VARIANTS else values.dpo_st.rounds

    def seeds(self, task: str, model: str, system: str) -> list[int]:
        """The seeds of a system's methods (`grace`, `latro`, ...) on this task and model."""
        return self.for_target(task, model).seeds.of(system)

    def seeds_of(self, task: str, model: str, *methods: str) -> list[int]:
        """The seeds of a method; of several methods, which may be of different systems, those that all of them have."""
        first, *others = (self.seeds(task, model, self.method(name).paper) for name in methods)
        shared = [seed for seed in first if all(seed in seeds for seeds in others)]
        if not shared:
            raise UserError(
                f"{' and '.join(methods)} have no seed in common on {task} with {model} "
                f"({'; '.join(map(str, [first, *others]))}); give both some in `seeds`"
            )
        return shared

    @lru_cache(maxsize=4096)  # noqa: B019
    def form(self, task: str, model: str, checkpoint: str) -> str:
        """The text form that a checkpoint writes its solutions in."""
        values, system = self.for_target(task, model), system_of(checkpoint)
        if system == "learn_to_reason":
            return values.learn_to_reason.form
        return values.dpo_st.form if system == "dpo_st" else "steps"

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


def load_method_config(path: str | Path) -> MethodConfig:
    """A method's YAML: a named checkpoint and decoder pair."""
    return read_named(MethodConfig, path)
