"""Grading predictions again, from their texts, with a different grader than during decoding."""

from collections.abc import Sequence
from dataclasses import replace

from retrace.errors import UserError
from retrace.evaluation.predictions import Run
from retrace.models.options import ModelConfig
from retrace.schemas import Example, Prediction
from retrace.tasks.answer_task import in_chat
from retrace.tasks.base import Task
from retrace.tasks.graders import PAPER, Grader, grader_fault, grader_named, grader_names
from retrace.yaml_files import closest


def answering(task: Task, model: ModelConfig) -> Task:
    """The task in the form in which a model answers: in prose, if the model has a chat template."""
    return in_chat(task) if model.chat else task


def check_grader(name: str, task: Task) -> None:
    """Raise UserError for a grader that is unknown or cannot judge the task's answers."""
    if name not in grader_names():
        raise UserError(f"--accuracy: grader {name!r} is unknown; {closest(name, grader_names())}")
    if fault := grader_fault(name, type(task.family)):
        raise UserError(f"--accuracy: {fault}; choose another grader")


def graders_beside(task: Task, grader: str) -> list[str]:
    """Graders whose accuracies a result reports in addition to its own grader and the strict one.

    The paper's grader is always included, and some kinds of answers have graders that all their results report.
    """
    return [name for name in (PAPER, *task.family.answers.graders) if name != grader]


def judged(runs: Sequence[Run], task: Task, examples: Sequence[Example], name: str) -> list[Run]:
    """The runs as graded by a grader. examples: those of the split, in the order of the runs' rows."""
    if name == PAPER:
        return list(runs)
    grader = grader_named(name)
    return [
        replace(
            run,
            rows=[_judged(row, task, example, grader) for row, example in zip(run.rows, examples, strict=True)],
        )
        for run in runs
    ]


def _judged(row: Prediction, task: Task, example: Example, grader: Grader) -> Prediction:
    samples = [
        sample.model_copy(
            update={
                "answer": grader.extract(task, sample.text),
                "correct": grader.right(task, sample.text, example.answer),
            }
        )
        for sample in row.samples
    ]
    counts = samples[row.chosen]
    return row.model_copy(update={"samples": samples, "answer": counts.answer, "correct": counts.correct})
