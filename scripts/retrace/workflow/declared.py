"""The configuration of a run, resolved per target, and its tasks, models, decoders and methods by name."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from retrace.errors import UserError
from retrace.models.options import ModelConfig, load_model_config
from retrace.systems.requirements import option
from retrace.tasks.load import load_task
from retrace.tasks.options import TaskConfig
from retrace.workflow.configuration import Configuration
from retrace.workflow.decoders import DecoderConfig, Decoders
from retrace.workflow.layers import Layers
from retrace.workflow.library import Library
from retrace.workflow.methods import MethodConfig
from retrace.workflow.named_models import check_named_models
from retrace.workflow.names import FOLDERS_OF_RESULTS, GENERATOR, ON_DEV, WITHOUT_CALCULATOR, Checkpoints, base_decoder
from retrace.workflow.variants import leave_out_faulty, pairs
from retrace.yaml_files import Refused, check_plain, closest

OWN_KINDS = ("tasks", "models", "checkpoints", "decoders", "methods", "prompts", "presets")


def config_folders() -> list[Path]:
    """The shipped folder and, for programs started by a rule, the user's own."""
    own = os.environ.get("RETRACE_OWN")
    return [Path(__file__).resolve().parents[3] / "config", *([Path(own)] if own else [])]


class Declared:
    """The resolved configuration, and everything defined in a YAML file of its own.

    Args:
        user: user settings (config.yaml, further files, `--config`), already merged by Snakemake.
        config_dir: the folder with the shipped tasks/, models/, checkpoints/, ...
        own: a folder with the user's own; the configuration option `own` takes precedence.
        files: contents of the user's files by path, so that faults name the file.
    """

    def __init__(
        self,
        user: Mapping[str, Any],
        config_dir: str | Path = "config",
        own: str | Path | None = None,
        files: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        check_plain(user, "configuration")
        self.folder = Path(config_dir)
        self.own = self._own_folder(user.get("own"), own)
        self.folders = [self.folder, *([self.own] if self.own else [])]
        self.checkpoints = Checkpoints(self.folders)
        self.decoder_files = Decoders(self.folders)
        self.method_files = Library(MethodConfig, "method", self.folders)
        self._task_files = Library(TaskConfig, "task", self.folders)
        self._model_files = Library(ModelConfig, "model", self.folders)
        leave_out_faulty(self.method_files, self.checkpoints, self.decoder_files)
        self._task_files.check(self._check_task)
        self._model_files.check(self.model)
        self.layers = Layers(user, self.folders, files or {})
        self.preset_name = self.layers.preset_name
        self.values = self._checked(None, None, {}, "configuration")
        # Overrides may be of what is faulty and not needed here.
        known = [[*files, *files.faults] for files in (self._task_files, self._model_files)]
        self.layers.check_overrides(*known)

    def _own_folder(self, given: str | None, otherwise: str | Path | None) -> Path | None:
        """The user's folder; None if there is none or it is the shipped one."""
        if given is not None and not (isinstance(given, str) and os.path.isdir(given)):
            raise UserError(f"own: {given}: no such folder; name one with {'/, '.join(OWN_KINDS)}/ in it")
        folder = Path(given or otherwise or self.folder)
        return None if not folder.is_dir() or folder.resolve() == self.folder.resolve() else folder

    def faults(self) -> list[str]:
        """The faults of all files that are left out, each once."""
        kinds: list[Library[Any]] = [self._task_files, self._model_files, self.checkpoints.files]
        kinds += [self.decoder_files, self.method_files]
        found = dict.fromkeys(fault.message for kind in kinds for fault in kind.faults.values())
        return [*found, *self.layers.faults()]

    # ------------------------------------------------------------ the configuration

    def for_target(
        self, task: str, model: str, checkpoint: str | None = None, decoder: str | None = None
    ) -> Configuration:
        """The configuration for one task and model, with the options that checkpoint and decoder set."""
        return self.values_of_variants(task, model, self.variants(checkpoint, decoder))

    @cache  # noqa: B019 - one Settings lives as long as the workflow
    def variants(self, checkpoint: str | None, decoder: str | None = None) -> tuple[str, ...]:
        """Which of checkpoint, decoder and the decoder's network set options: `checkpoint NAME`, ..."""
        named = self.checkpoints.parse(checkpoint) if checkpoint else None
        kinds = [named.kind.name] if named else []
        found = []
        if decoder and (plain := self.decoder(decoder)):
            kinds += [plain.guide] if plain.guide else []
            found = [f"decoder {plain.name}"] if plain.set else []
        return tuple(f"checkpoint {kind}" for kind in kinds if self.checkpoints[kind].set) + tuple(found)

    @lru_cache(maxsize=4096)  # noqa: B019
    def values_of_variants(self, task: str, model: str, variants: tuple[str, ...]) -> Configuration:
        """The configuration for one task and model, with the options of these `variants`."""
        options: dict[str, Any] = {}
        where = f"configuration of {task} with {model}"
        for variant in variants:
            what, _, name = variant.partition(" ")
            files: Library[Any] = self.checkpoints.files if what == "checkpoint" else self.decoder_files
            options |= files[name].set
            # A method's `set` may be that of its network and its decoder: its file is named once.
            if (said := f", with `set` of {files.path(name)}") not in where:
                where += said
        return self._checked(task, model, options, where)

    def _checked(self, task: str | None, model: str | None, variant: Mapping[str, Any], where: str) -> Configuration:
        """Validate values. Raises UserError for a wrong key or value, or an unknown model."""
        values = self.layers.values(task, model, variant, where)
        # What is faulty is known, and refused where a job needs it.
        families = dict.fromkeys(self._model_files.faults, "encoder")
        families |= {name: self.model(name).family for name in self.models}
        try:
            check_named_models(values, families, where)
        except Refused as error:
            named = ".".join(error.place) in variant
            raise UserError(f"{'' if named else self.layers.said_by(error.place)}{error}") from None
        return values

    def option(self, values: Configuration, dotted: str) -> Any:
        """Value of a dotted option such as `dpo_st.rounds`."""
        return option(values, dotted)

    def named(self, option: str) -> set[str]:
        """All values of an option (`align.embedder`) over all tasks, models and variants."""
        sets = [one.set for files in (self.checkpoints, self.decoder_files) for one in files.values()]
        variants = {one[option] for one in sets if option in one}
        return {
            str(one) for one in (self.option(self.values, option), *self.layers.mentioned(option), *variants) if one
        }

    def resolved(self) -> dict[str, Any]:
        """The configuration behind all results, as plain data to save next to them, without the experiment trackers and
        what is shown in tables, which change no result."""
        return self.values.model_dump(mode="json", exclude={"logging", "tables"})

    # ------------------------------------------------------------ tasks, models and methods

    @cached_property
    def tasks(self) -> list[str]:
        return list(self._task_files)

    @cached_property
    def models(self) -> list[str]:
        return list(self._model_files)

    @cached_property
    def methods(self) -> list[str]:
        return list(self.method_files)

    @lru_cache(maxsize=256)  # noqa: B019
    def task(self, name: str) -> TaskConfig:
        return load_task(self._task_files.path(name)).config

    def has_model(self, name: str) -> bool:
        """Whether there is a file for a model. Raises UserError if it is faulty."""
        if name in self._model_files.faults:
            self._model_files.path(name)
        return name in self._model_files

    def _check_task(self, name: str) -> None:
        """Raise UserError for a faulty task, or one whose results would lie among those of all tasks."""
        if name in FOLDERS_OF_RESULTS:
            raise UserError(f"{self._task_files.path(name)}: results/{name}/ is not a task folder; rename the task")
        self.task(name)

    def file_of_task(self, name: str) -> Path:
        """Path of a task's YAML."""
        return self._task_files.path(name)

    def all_tasks(self) -> list[TaskConfig]:
        """All tasks. Raises UserError if the file of one is faulty."""
        return [self.task(name) for name in (*self._task_files.faults, *self.tasks)]

    @lru_cache(maxsize=256)  # noqa: B019
    def model(self, name: str) -> ModelConfig:
        return load_model_config(self._model_files.path(name))

    def file(self, kind: str, name: str) -> Path:
        """Path of a name's YAML in `tasks`, `models`, `prompts`, ...; the shipped location if it does not exist."""
        found = [folder / kind / f"{name}.yaml" for folder in self.folders]
        return next((path for path in found if path.exists()), found[0])

    def use_files(self, tasks: Iterable[str | Path] = (), models: Iterable[str | Path] = ()) -> None:
        """Take tasks and models from YAML files that may lie anywhere, under the files' names."""
        for files, paths in ((self._task_files, tasks), (self._model_files, models)):
            for path in paths:
                files.paths[Path(path).stem] = Path(path)
                files.faults.pop(Path(path).stem, None)
        self.task.cache_clear()
        self.model.cache_clear()

    def shipped_checkpoint(self, checkpoint: str) -> str:
        """The checkpoint, or for a user's own one, the shipped one that it extends; a shipped method's is shipped."""
        named = self.checkpoints.parse(checkpoint)
        if named is None:
            return checkpoint
        files = self.checkpoints.files
        own = named.kind.name
        shipped = next((name for name in files.ancestors(own) if name in files.shipped | files.implied), own)
        return shipped if named.round is None else f"{shipped}_round{named.round}"

    def shipped_decoder(self, decoder: str) -> str:
        """The decoder, or for a user's own one, the shipped one that it extends."""
        files = self.decoder_files
        names = files.ancestors(base_decoder(decoder))
        return next((name for name in names if name in files.shipped | files.implied), decoder)

    def is_own(self, kind: str, name: str) -> bool:
        """Whether a name's YAML is the user's own."""
        return self.file(kind, name).parents[1] != self.folder

    def generator_model(self, name: str) -> ModelConfig:
        """A model that can generate. Raises UserError for an unknown model or an encoder."""
        if self.has_model(name) and (model := self.model(name)).family != "encoder":
            return model
        writers = [other for other in self.models if self.model(other).family != "encoder"]
        if name in self.models:
            raise UserError(f"model {name!r} is an encoder and writes no solutions; valid: {', '.join(writers)}")
        self._model_files.refuse_other_ending(name)
        raise UserError(f"model {name!r} is unknown; {closest(name, writers)}")

    @cached_property
    def decoders(self) -> list[str]:
        """Names of decoders, including those without calculator."""
        return self.decoder_files.names()

    def decoder(self, name: str) -> DecoderConfig:
        """The decoder of a name; that of `greedy` for `greedy_no_calculator`."""
        return self.decoder_files[base_decoder(name)]

    @lru_cache(maxsize=256)  # noqa: B019
    def method(self, name: str) -> MethodConfig:
        """A method by its file, a checkpoint of a round (`dpo_st_round2`, decoded greedily), any
        `{checkpoint}_{decoder}` pair (`sft_grace`), a decoder alone (of the model's own choice of checkpoint), and each of
        these with the suffix `_no_calculator`; with `_on_dev` behind all of them: on the development questions."""
        if name.endswith(ON_DEV) and name not in self.method_files:
            found = self.method(name.removesuffix(ON_DEV))
            title = f"{found.title}, development questions"
            return found.model_copy(update={"name": name, "split": "dev", "title": title})
        for one in (name, name.removesuffix(WITHOUT_CALCULATOR)):
            if one in self.method_files.faults:
                raise UserError(self.method_files.faults[one].message)
        plain = self._method(name)
        if plain is not None:
            return plain
        if name.endswith(WITHOUT_CALCULATOR) and (found := self._method(name.removesuffix(WITHOUT_CALCULATOR))):
            if reason := self.decoder(found.decoder).never_calculates:
                raise UserError(f"method {name!r}: {reason}; there is no calculator")
            changes = {"name": name, "decoder": found.decoder + WITHOUT_CALCULATOR, "paper_names": []}
            changes["title"] = f"{found.title}, without the calculator"
            changes["votes"] = found.votes and found.votes + WITHOUT_CALCULATOR
            return found.model_copy(update=changes)
        raise self._unknown_method(name)

    def _unknown_method(self, name: str) -> UserError:
        """What is raised for the name of no method: the fault of a file that it needs, or else the closest names."""
        plain = name.removesuffix(WITHOUT_CALCULATOR)
        for one, fault in self.decoder_files.faults.items():
            if f"_{name}".endswith(f"_{one}") or f"_{plain}".endswith(f"_{one}"):
                return UserError(fault.message)
        if fault_of_checkpoint := self.checkpoints.fault_in(plain):
            return UserError(fault_of_checkpoint)
        number = "".join(re.findall(r"_round(\d+)", plain)[:1]) or "1"
        trained = [one.replace("roundN", f"round{number}") for one in self.checkpoints.shown]
        known = [*self.methods, *self.decoder_files, *(f"{one}_{end}" for one in trained for end in self.decoder_files)]
        close = difflib.get_close_matches(plain, dict.fromkeys(known), n=3)
        guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        return UserError(
            f"method {name!r} is unknown; {guess}Methods are the names in config/methods and config/decoders, and "
            f"CHECKPOINT_DECODER with one of config/checkpoints (sft_beam); each may end in {WITHOUT_CALCULATOR}, {ON_DEV} "
            "or both"
        )

    def _method(self, name: str) -> MethodConfig | None:
        if name in self.method_files:
            return self.method_files[name]
        if (named := self.checkpoints.decodable(name)) and named.round is not None:
            return MethodConfig(
                name=name,
                title=f"{named.kind.title}, round {named.round}",
                checkpoint=name,
                decoder="greedy",
                paper=named.kind.system,
                paper_names=[one.replace("{round}", str(named.round)) for one in named.kind.paper_names],
            )
        if found := pairs(name, self.checkpoints, self.decoders):
            if len(found) > 1:
                said = " or ".join(f"{decoder} from {checkpoint}" for checkpoint, decoder in found)
                raise UserError(f"method {name!r} may mean {said}; rename the checkpoint or decoder of yours")
            checkpoint, decoder = found[0]
            title, paper = f"{decoder} from {checkpoint}", self.checkpoints.system_of(checkpoint)
            return MethodConfig(name=name, title=title, checkpoint=checkpoint, decoder=decoder, paper=paper)
        if name in self.decoder_files:
            return MethodConfig(name=name, title=self.decoder(name).title, checkpoint=GENERATOR, decoder=name)
        return None

    def common_grader(self, *methods: str) -> str:
        """The grader of several methods. Raises UserError where they do not have the same one."""
        graders = {name: self.method(name).accuracy for name in methods}
        if len(set(graders.values())) > 1:
            said = ", ".join(f"{name} is judged by {grader}" for name, grader in graders.items())
            raise UserError(f"{said}; give the methods the same `accuracy` to compare them")
        return graders[methods[0]]

    def headline_model(self, task: str, method: str | None = None) -> str:
        """The model of `results/{task}/{method}_acc.json`: that of the method's paper on this task, of the paper, of the
        task, or the default."""
        models = self.values.headline_models
        paper = self.method(method).paper if method else ""
        return next(models[key] for key in (f"{paper}/{task}", paper, task, "default") if key in models)


@cache
def section_classes() -> dict[str, type[BaseModel]]:
    """Name and class of each option section, nested ones as `dpo_st.sft`.

    The own options of a section with nested ones belong to no script.
    """

    def sections_in(owner: type[BaseModel], prefix: str) -> dict[str, type[BaseModel]]:
        found: dict[str, type[BaseModel]] = {}
        for name, field in owner.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= sections_in(kind, f"{prefix}{name}.") or {prefix + name: kind}
        return found

    return sections_in(Configuration, "")
