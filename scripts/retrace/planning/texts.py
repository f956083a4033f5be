"""Lengths of the texts that models read and write where these are not the task's own solutions."""

from collections.abc import Callable

from retrace.planning.jobs import Job
from retrace.planning.sizes import Model, Sizes, Text

# What a system's checkpoints answer instead; None for a checkpoint of another system.
Answered = Callable[[Job, Sizes, Text], Text | None]
ANSWERED: list[Answered] = []


def answered(function: Answered) -> Answered:
    """Register what the checkpoints of a system answer."""
    ANSWERED.append(function)
    return function


def decoded(job: Job, sizes: Sizes, text: Text) -> Text:
    """A split as the job's checkpoint answers it."""
    return next((found for own in ANSWERED if (found := own(job, sizes, text)) is not None), text)


def prompted(model: Model, text: Text) -> float:
    """Tokens of a prompt: the question, behind the worked examples that a frozen model is shown."""
    return text.question + model.demonstrations * (text.question + text.solution)
