"""Tasks: data sets with their prompts, steps, answer extractors and graders."""

from retrace.tasks.base import FORMS, Task, canonical, load_task, task_names

__all__ = ["FORMS", "Task", "canonical", "load_task", "task_names"]
