"""What defines a task, a split or a model, as a short checksum: a parameter of jobs, which run again when it changes."""

import hashlib
import json
from typing import Any

from retrace.errors import UserError
from retrace.models.options import ModelConfig
from retrace.tasks.options import Source, TaskConfig
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS

# Titles, and where rows and examples come from: a job sees other ones by its input.
_TASK_WITHOUT = {"title", "about", "paper_names", "rows", "splits", "split_sets", "overlap"} | {
    "sampling_demonstrations",
    "learn_to_reason",
}
_MODEL_WITHOUT = {"title", "paper_names", "parameters", "license_note"}


def digest(value: Any) -> str:
    """Short checksum of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def of_task(task: TaskConfig) -> str:
    """Changes with the task's meaning."""
    return digest(task.model_dump(mode="json", exclude=_TASK_WITHOUT))


def of_model(model: ModelConfig) -> str:
    """Changes with the model itself or how it is used."""
    return digest(model.model_dump(mode="json", exclude=_MODEL_WITHOUT))


def of_split(task: TaskConfig, split: str) -> str:
    """Changes with where the rows of a split, or worked examples of that name, come from."""
    source = task.splits.get(split) or examples_apart(task, split)
    if source is None:
        raise UserError(f"task {task.name} has no split {split}; it has {', '.join(task.splits)}")
    origin = task.splits[source.part_of].model_dump(mode="json") if source.part_of else None
    # What is generated avoids the questions of the files beside it.
    others = [other for other in task.splits.values() if source.generator and not other.generator]
    return digest([source.model_dump(mode="json"), origin, [other.model_dump(mode="json") for other in others]])


def examples_apart(task: TaskConfig, name: str) -> Source | None:
    """The source of the task's worked examples of that name, which are no split; None where it has none."""
    return getattr(task, name) if name in (DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS) else None
