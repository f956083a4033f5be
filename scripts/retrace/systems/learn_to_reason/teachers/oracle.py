"""The oracle, which gives a task's reference solutions. It ignores mistakes and costs nothing."""

from collections.abc import Sequence

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.systems.learn_to_reason.teachers.base import Request, Response
from retrace.tasks.base import Task


class Oracle:
    """A teacher that gives the reference solution. Raises UserError if the task has none."""

    name = "oracle"

    def __init__(self, task: Task, examples: Sequence[Example]) -> None:
        if not any(example.steps for example in examples):
            raise UserError(
                f"teacher.kind oracle: task {task.name} has no worked solutions; choose openai, local or replay, or name "
                "released files (feedback.released_rationales)"
            )
        self._texts = {example.id: task.solution_text(example) for example in examples if example.steps}

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """The reference solutions; None for a question without one."""
        texts = (self._texts.get(request.example_id) for request in requests)
        return [None if text is None else Response(text, self.name, None, "stop") for text in texts]

    def known(self, requests: Sequence[Request]) -> list[bool]:
        return [True] * len(requests)
