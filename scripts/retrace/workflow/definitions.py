"""Digests of tasks, splits and models: params of jobs, which rerun when they change."""

import hashlib
import json
from typing import Any

from retrace.errors import UserError
from retrace.models.options import ModelConfig
from retrace.tasks.options import Source, TaskConfig
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS

# Titles do not matter; jobs notice changed rows and examples through their inputs.
_TASK_WITHOUT = {"title", "about", "paper_names", "rows", "splits", "split_sets", "overlap"} | {
    "sampling_demonstrations",
    "learn_to_reason",
}
_MODEL_WITHOUT = {"title", "paper_names", "parameters", "license_note"}


def digest(value: Any) -> str:
    """Short checksum of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def of_task(task: TaskConfig) -> str:
    """Digest of what a task means."""
    return digest(task.model_dump(mode="json", exclude=_TASK_WITHOUT))


def of_model(model: ModelConfig) -> str:
    """Digest of a model and how it is used."""
    # A source that is not given does not count, so that adding a kind of source changes no model of the other kinds.
    return digest(model.model_dump(mode="json", exclude=_MODEL_WITHOUT | (set() if model.package else {"package"})))


def of_split(task: TaskConfig, split: str) -> str:
    """Digest of the source of a split, or of the worked examples of that name."""
    source = task.splits.get(split) or examples_apart(task, split)
    if source is None:
        raise UserError(f"task {task.name} has no split {split}; it has {', '.join(task.splits)}")
    origin = task.splits[source.part_of].model_dump(mode="json") if source.part_of else None
    # Generated splits exclude questions of the other splits.
    others = [other for other in task.splits.values() if source.generator and not other.generator]
    behind = [task.splits[name] for name in source.followed_by]
    return digest(
        [source.model_dump(mode="json"), origin, [other.model_dump(mode="json") for other in [*others, *behind]]]
    )


def sources_beside(task: TaskConfig, split: str) -> list[Source]:
    """Other sources whose rows decide which rows a split has, or what they say.

    Generated splits, and those of bulky files, leave out questions of the other splits; others take their steps from them.
    """
    source = task.splits.get(split) or examples_apart(task, split)
    if source is None:
        return []
    base = task.splits[source.part_of] if source.part_of else source
    found = {
        name: other
        for name, other in task.splits.items()
        if name != split and not other.generator and (base.generator or (base.bulky and not other.bulky))
    }
    for name in [*base.equations_of, *source.followed_by]:
        if other := task.splits.get(name) or examples_apart(task, name):
            found[name] = other
    behind = {other.part_of: task.splits[other.part_of] for other in found.values() if other.part_of}
    return list({**found, **(behind if base.bulky or base.equations_of or source.followed_by else {})}.values())


def examples_apart(task: TaskConfig, name: str) -> Source | None:
    """Source of the worked examples of that name that are not a split; None if the task has none."""
    return getattr(task, name) if name in (DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS) else None
