"""Number of jobs for sampling and decoding: as `shards` says, or more if one job would take too long."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any

from retrace.planning.jobs import Job, options_of
from retrace.planning.shards import shards_within
from retrace.tasks.splits import plain_split
from retrace.workflow.jobs import values_of
from retrace.workflow.settings import Settings

Wildcards = Any


def limit_of(settings: Settings, task: str, split: str) -> int:
    """Number of rows of a split that are used; -1: all."""
    limits = settings.for_target(task, settings.headline_model(task)).limits
    return getattr(limits, plain_split(settings.task(task), split), -1)


class ShardNumbers:
    """The number of shards of a step, as a function of the job's wildcards.

    Args:
        settings: The configuration.
        config: The folder with tasks and models.
        step: The step's name in `shards` and `threads`: sample or decode.
        made_by: The rule that produces the shards.
        names: Wildcards, besides task and model, that the number depends on.
        argv: Returns the arguments of the job's command, without those that only change speed, so that changing these
            reruns nothing.
        inputs: Returns the files that the job reads.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path,
        step: str,
        made_by: str,
        names: Iterable[str],
        argv: Callable[[Wildcards], Iterable[object]],
        inputs: Callable[[Wildcards], list[str]],
    ) -> None:
        self.settings = settings
        self.config = config
        self.step = step
        self.made_by = made_by
        self.names = list(names)
        self.argv = argv
        self.inputs = inputs
        self._found: dict[tuple[str, ...], int] = {}
        self._wildcard_key = attrgetter("task", "model", *self.names)

    def __call__(self, wildcards: Wildcards) -> int:
        key = self._wildcard_key(wildcards)
        if key not in self._found:
            shards = values_of(self.settings, wildcards).shards
            least, hours = getattr(shards, self.step), shards.longest_hours
            self._found[key] = shards_within(hours, least, *self._estimated(wildcards)) if hours else least
        return self._found[key]

    def _estimated(self, wildcards: Wildcards) -> tuple[Job, dict[str, int], Path]:
        """One shard as a planned job, the number of rows of each split, and the configuration folder."""
        from retrace.systems.costs import register_formulas

        register_formulas()
        task, model = wildcards.task, self.settings.model(wildcards.model)
        wanted = values_of(self.settings, wildcards).launch.gpus
        job = Job(
            self.made_by,
            {"task": task, "model": wildcards.model, **{name: getattr(wildcards, name) for name in self.names}},
            options=options_of(map(str, [*self.argv(wildcards), "--batch-size", "auto"])),
            # Use the configured GPUs, not those of this machine: jobs on cluster nodes evaluate this, too.
            gpus=min(1, wanted) if wanted >= 0 else int(model.scratch is None),
            threads=getattr(self.settings.values.threads, self.step),
            input=self.inputs(wildcards),
        )
        limits = {split: limit_of(self.settings, task, split) for split in self.settings.task(task).splits}
        return job, limits, self.config
