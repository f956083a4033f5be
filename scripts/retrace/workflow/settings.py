"""Settings of a run: the checkpoints that targets name, their dependencies, and compatibility."""

from functools import lru_cache

from retrace.errors import UserError
from retrace.models.options import ModelConfig
from retrace.systems.requirements import Case
from retrace.tasks.options import TaskConfig
from retrace.tasks.splits import TRANSFER, split_of_set
from retrace.workflow.compatibility import broken, check
from retrace.workflow.declared import Declared
from retrace.workflow.names import GENERATOR, LAST
from retrace.yaml_files import closest


class Settings(Declared):
    """The resolved configuration (see Declared) and the names that targets may contain."""

    def generator(self, task: str, model: str) -> str:
        """The checkpoint that a model's methods decode if the method says `generator`.

        Hub models say it themselves (`generator: base` is frozen, as the paper's LLaMA). A model trained from
        scratch is frozen on a task that brings a related corpus to train it on, and fine-tuned elsewhere.
        """
        return generator_of(self.task(task), self.model(model))

    @lru_cache(maxsize=4096)  # noqa: B019
    def checkpoint(self, task: str, model: str, method: str, target: str | None = None) -> str:
        """The checkpoint of a method on this task and model; target: the evaluated task, if another one.

        Raises UserError if these are incompatible (retrace.workflow.compatibility).
        """
        case = self._case(task, model, method, target)
        check(case, lambda kind: self._others(kind, case))
        return case.checkpoint

    def _case(self, task: str, model: str, method: str, target: str | None = None) -> Case:
        asked, config = self.method(method), self.generator_model(model)
        checkpoint, loop = asked.checkpoint, None
        if checkpoint.endswith(LAST):
            loop = checkpoint.removesuffix(LAST)
            if loop not in self.checkpoints or not self.checkpoints[loop].rounds:
                if fault := self.checkpoints.fault_in(loop):
                    raise UserError(f"method {method!r}: {fault}")
                rounds = [name for name, kind in self.checkpoints.items() if kind.rounds]
                raise UserError(f"method {method!r}: {loop!r} has no rounds; {closest(loop, rounds)}")
            checkpoint = f"{loop}_round{self.rounds(task, model, loop)}"
        elif self.checkpoints.round_of(checkpoint) is not None:
            loop = self.checkpoints.loop_of(checkpoint)
        resolved = self.standing(task, model, checkpoint)
        named = self.checkpoints.decodable(resolved)
        if named is None:
            raise UserError(
                f"method {method!r}: "
                + (
                    self.checkpoints.fault_in(resolved)
                    or f"there is no checkpoint {resolved!r}; {closest(resolved, self.checkpoints.shown)}"
                )
            )
        decoder = self.decoder(asked.decoder)
        guide = self.checkpoints[decoder.guide] if decoder.guide else None
        return Case(
            task=self.task(task),
            model=config,
            method=method,
            checkpoint=resolved,
            kind=named.kind,
            behind=[self.checkpoints.parse(name).kind for name in self.behind(task, model, resolved)],  # type: ignore[union-attr]
            round=named.round,
            decoder=decoder,
            algorithm=self.decoder_files.algorithm(decoder.name),
            guide=guide,
            values=self.for_target(task, model, resolved, asked.decoder),
            values_of_guide=self.for_target(task, model, guide.name) if guide else None,
            splits=(self.split(task, model, resolved, "train"), self.split(task, model, resolved, "dev")),
            target=self.task(target) if target else None,
            rounds=self.rounds(task, model, loop) if loop else None,
            grader=asked.accuracy,
        )

    def _others(self, kind: str, case: Case) -> list[str]:
        """Tasks, models, or methods with the same checkpoint, that would work instead of those in `case`."""
        parts = {"task": case.task.name, "model": case.model.name, "method": case.method}
        target = case.target.name if case.target else None
        names = {
            "task": self.tasks,
            "model": self.models,
            # Decoders that belong to a paper's variant alone would make the list long.
            "method": [
                f"{case.checkpoint}_{decoder}"
                for decoder in self.decoder_files
                if decoder not in self.decoder_files.implied
            ],
        }[kind]

        def works(name: str) -> bool:
            try:
                return broken(self._case(**{**parts, kind: name}, target=target)) is None
            except UserError:
                return False

        return [name for name in names if works(name)]

    def standing(self, task: str, model: str, checkpoint: str) -> str:
        """The canonical name of a checkpoint: `generator` is resolved to the model's choice, and round 0 of several
        loops may be one checkpoint, unless its text form differs."""
        named = self.checkpoints.parse(checkpoint)
        if named and named.round == 0:
            own_form = named.kind.round0_in_own_form
            if own_form and self.form(task, model, checkpoint) != "steps":
                return own_form
            checkpoint = self.checkpoints.round0_of(named.kind.name)
        return self.generator(task, model) if checkpoint == GENERATOR else checkpoint

    def weights_of(self, task: str, model: str, checkpoint: str) -> str:
        """The checkpoint that provides the weights: itself or, for round 0 of a loop, the one it starts from."""
        named = self.checkpoints.parse(checkpoint)
        if named and named.round == 0 and named.kind.round0_in_own_form:
            own_form = self.form(task, model, checkpoint) != "steps"
            return "base" if own_form else self.generator(task, model)
        return checkpoint

    def previous_round(self, task: str, model: str, loop: str, number: int) -> str:
        """The checkpoint that round `number` of a loop starts from: the previous round, or the loop's start."""
        return self.standing(task, model, f"{loop}_round{number - 1}")

    @lru_cache(maxsize=4096)  # noqa: B019
    def behind(self, task: str, model: str, checkpoint: str) -> tuple[str, ...]:
        """All checkpoints that a checkpoint depends on, transitively; loops are represented by one round."""
        named = self.checkpoints.parse(checkpoint)
        if named is None or (named.round == 0 and named.kind.round0_in_own_form):
            return ()
        if (
            named.kind.released
            and self.option(self.for_target(task, model, checkpoint), named.kind.released) is not None
        ):
            return ()
        found: dict[str, None] = {}
        start = named.generator or named.kind.starts_from
        for name in [start, *named.kind.made_from]:
            if name is None:
                continue
            if name in self.checkpoints and self.checkpoints[name].rounds:
                name = f"{name}_round{max(1, named.round or 1)}"
            one = self.standing(task, model, name)
            found |= dict.fromkeys([*self.behind(task, model, one), one])
        return tuple(found)

    def rounds(self, task: str, model: str, loop: str) -> int:
        """Configured number of rounds of a loop."""
        return self.option(self.for_target(task, model, f"{loop}_round1"), self.checkpoints[loop].rounds or "")

    def seeds(self, task: str, model: str, system: str) -> list[int]:
        """The seeds of a system's methods (`grace`, `latro`, ...) on this task and model."""
        return self.for_target(task, model).seeds.of(system)

    def seeds_of(self, task: str, model: str, *methods: str) -> list[int]:
        """The seeds of a method, or the seeds that several methods share."""
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
        named = self.checkpoints.parse(checkpoint)
        if named is None or named.kind.form is None:
            return self.form(task, model, named.generator) if named and named.generator else "steps"
        return self.option(self.for_target(task, model, checkpoint), named.kind.form)

    def split(self, task: str, model: str, checkpoint: str, split: str) -> str:
        """The split that a checkpoint's system uses as train, dev or test. Raises UserError for an unknown choice."""
        named = self.checkpoints.parse(checkpoint)
        if named is None:
            return split
        if named.generator:
            return self.split(task, model, named.generator, split)
        values = self.for_target(task, model, checkpoint)
        chosen = self.option(values, named.kind.train) if named.kind.train and split == "train" else None
        if chosen and chosen not in self.task(task).splits:
            raise UserError(
                f"{named.kind.train}: task {task} has no split {chosen!r}; it has {', '.join(self.task(task).splits)}"
            )
        own = self.option(values, named.kind.splits) if named.kind.splits else named.kind.system
        return chosen or split_of_set(self.task(task), own, split)

    def scored_split(self, task: str, model: str, method: str) -> str:
        """The split that a method is scored on. Raises UserError where the task has none of that kind."""
        asked = self.method(method).split
        split = self.split(task, model, self.checkpoint(task, model, method), asked)
        if split not in self.task(task).splits:
            known = ", ".join(self.task(task).splits)
            raise UserError(f"method {method!r}: task {task} has no split {split}; it has {known}")
        return split

    def transfer_split(self, task: str) -> str:
        """The split on which models trained on other tasks are tested."""
        return TRANSFER if TRANSFER in self.task(task).splits else "test"


def generator_of(task: TaskConfig, model: ModelConfig) -> str:
    """See `Settings.generator`."""
    if model.scratch is None:
        return model.generator
    return "base" if "corpus" in task.splits else "sft"
