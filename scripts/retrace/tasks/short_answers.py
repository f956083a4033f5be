"""Common code for questions with a small fixed set of answers: a letter (commonsense_qa), or yes and no (strategy_qa)."""

import re
from collections.abc import Sequence
from typing import ClassVar

from retrace.errors import UserError
from retrace.tasks import steps
from retrace.tasks.family import Family, first_word


class ShortAnswers(Family):
    """Base of the families whose answers are few. marked: an answer behind `####`; `answers` reads texts without it."""

    cuts_references = True
    final_kind = "word"
    marked: ClassVar[re.Pattern[str]]
    answer_kind: ClassVar[str]  # for messages

    def final_of(self, tail: str) -> str | None:
        """The first word."""
        return first_word(tail)

    def extract(self, text: str) -> str | None:
        """The answer behind the first `####`, or, where there is none, the one that the text states; in lower case."""
        _, marker, tail = text.partition(steps.MARKER)
        if marker:
            match = self.marked.match(tail)
            return match.group(1).lower() if match else None
        return self.answers.read(text, [], {})

    def _reference(self, gold: str) -> str:
        answer = self.extract(gold) if steps.MARKER in gold else None
        if answer is None:
            raise UserError(f"the reference solution has no '#### {self.answer_kind}': {gold[-80:]!r}; mend the data")
        return answer

    def grade(self, text: str, gold: str) -> bool:
        """Whether both texts have the same answer. Raises UserError where `gold` has none."""
        return self.extract(text) == self._reference(gold)

    def grade_strict(self, text: str, gold: str) -> bool:
        """Right only where the text ends in `#### answer`, once, with nothing behind it."""
        reference = self._reference(gold)
        _, _, tail = text.partition(steps.MARKER)
        return text.count(steps.MARKER) == 1 and tail.strip().lower() in (reference, f"({reference})")

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str]) -> bool:
        """Whether two steps of prose say the same: word by word, because there is no rule for the value of a step."""
        return " ".join(step.casefold().split()) == " ".join(reference_step.casefold().split())
