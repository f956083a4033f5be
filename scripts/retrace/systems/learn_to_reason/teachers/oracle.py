"""The oracle: a teacher that knows the reference solutions of a task and costs nothing.

With `solutions: nearest` it does what feedback is for (arXiv 2310.13332, section 2.3): of several valid solutions it writes
the one nearest to what the student got wrong. Without a mistake to look at, any valid solution will do.
"""

import random
import re
from collections.abc import Sequence
from itertools import pairwise, permutations
from typing import Literal

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.systems.learn_to_reason.teachers.base import Request, Response
from retrace.tasks.base import Task
from retrace.text.edits import edits

_STEP = re.compile(r"<<(\d+)([-+*])(\d+)=(\d+)>>")
MOST_REORDERED = 5  # additions and subtractions in a row; more have too many orders to compare


class Oracle:
    """A teacher that gives correct solutions. Raises UserError if the task has none."""

    name = "oracle"

    def __init__(
        self, task: Task, examples: Sequence[Example], solutions: Literal["reference", "nearest"] = "reference"
    ) -> None:
        if not any(example.steps for example in examples):
            raise UserError(
                f"teacher.kind oracle: task {task.name} has no worked solutions; choose openai, local or replay, or name "
                "released files (feedback.released_rationales)"
            )
        self._task = task
        self._solutions = solutions
        self._examples = {example.id: example for example in examples if example.steps}

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """The solutions; None for a question without a reference solution."""
        texts = (self._text(request) for request in requests)
        return [None if text is None else Response(text, self.name, None, "stop") for text in texts]

    def known(self, requests: Sequence[Request]) -> list[bool]:
        return [True] * len(requests)

    def _text(self, request: Request) -> str | None:
        example = self._examples.get(request.example_id)
        if example is None:
            return None
        if self._solutions == "reference":
            return self._task.solution_text(example)
        orders = reordered(example.steps)
        texts = [self._task.solution_text(example.model_copy(update={"steps": steps})) for steps in orders]
        if request.mistake is None:
            return random.Random(f"oracle {example.id}").choice(texts)
        mistake = request.mistake
        return min(texts, key=lambda text: edits(text, mistake))  # of equals the reference, which is first


def reordered(steps: Sequence[str]) -> list[list[str]]:
    """The solution and those that add and subtract the same numbers in another order, without negative results.

    Only a solution whose steps are all `<<a+b=c>>`, each going on with the result before it, has other orders; of any
    other the solution alone is given. A product stays in its place.
    """
    found = [_STEP.fullmatch(step) for step in steps]
    if not all(found) or not steps:
        return [list(steps)]
    parts = [match.groups() for match in found if match]
    chained = all(later[0] == earlier[3] for earlier, later in pairwise(parts))
    sums = next((place for place, part in enumerate(parts) if part[1] == "*"), len(parts))
    if not chained or not 2 <= sums <= MOST_REORDERED:
        return [list(steps)]
    solutions = [list(steps)]
    for order in permutations((sign, int(number)) for _, sign, number, _ in parts[:sums]):
        total, written = int(parts[0][0]), []
        for sign, number in order:
            after = total + number if sign == "+" else total - number
            written.append(f"<<{total}{sign}{number}={after}>>")
            total = after
        solution = [*written, *steps[sums:]]
        if not any("=-" in step for step in written) and solution not in solutions:
            solutions.append(solution)
    return solutions
