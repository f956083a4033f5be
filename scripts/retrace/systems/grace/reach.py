"""Detects unreachable sampling goals before anything runs."""

from retrace.systems.grace.options import Sampling
from retrace.tasks.options import TaskConfig


def rows_known(task: TaskConfig, split: str, limit: int) -> int | None:
    """Number of questions used from a split; None if only its file can tell. limit: maximum rows; -1: all."""
    source = task.splits.get(split)
    if source is None:
        return None
    rows = source.count or task.rows.get(split) or source.rows
    return rows if rows is None or limit < 0 else min(rows, limit)


def unreachable_note(task: TaskConfig, split: str, limit: int, options: Sampling) -> str | None:
    """Why `sample.incorrect` wrong solutions cannot be found; None if they can, or if this is not known yet."""
    rows = rows_known(task, split, limit)
    if rows is None:
        return None
    questions = rows if options.max_questions < 0 else min(rows, options.max_questions)
    most = questions * options.max_passes * options.samples_per_pass
    if options.max_passes < 0 or most >= options.incorrect:
        return None
    return (
        f"{options.incorrect:,} wrong solutions (sample.incorrect) cannot be found: {questions:,} questions, "
        f"{options.max_passes} passes (sample.max_passes) and {options.samples_per_pass} solutions per pass give at most "
        f"{most:,} solutions; sampling will end with fewer, and results say how many"
    )
