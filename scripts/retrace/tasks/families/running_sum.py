"""Running sums (running_sum): the last digit of a sum, worked out number by number."""

import re
from collections.abc import Iterator

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks.families.word_problems import WordProblems
from retrace.tasks.family import Generator, Wanted
from retrace.tasks.options import TaskConfig
from retrace.tasks.steps import MARKER

_SUM = re.compile(r"[0-9](?: \+ [0-9])+")
_DIGITS = re.compile(r"[0-9](?: [0-9])*")


def _drawn(wanted: Wanted) -> Iterator[Example]:
    from retrace.tasks import running_sums

    return running_sums.generate(wanted.split, wanted.count, wanted.seed, **wanted.settings)


class RunningSum(WordProblems):
    """Digits are added up one by one, and only the last digit is kept; answers and steps are judged as numbers."""

    name = "running_sum"
    free_text = None
    cuts_references = False
    prose = False
    formats = ()
    generators = (Generator("running_sum", _drawn),)
    final_kind = "digit"

    @classmethod
    def fault(cls, config: TaskConfig) -> str | None:
        """Nothing in these texts is for a calculator."""
        return "calculator: a running sum needs `calculator: false`" if config.calculator else None

    def check_row(self, where: str, question: str, final: str) -> None:
        """Raise UserError for a question of another kind, and for an answer that is not the sum's last digit."""
        if _SUM.fullmatch(" ".join(question.split())) is None:
            raise UserError(f"{where}: the question must be a sum of digits, as '3 + 8 + 5' (got {question[:60]!r})")
        right = sum(int(sign) for sign in question if sign.isdigit()) % 10
        if final != str(right):
            raise UserError(f"{where}: the answer is {final[:20]!r}; the last digit of {question} is {right}")

    def steps_of(self, body: str, delimiter: str) -> list[str]:
        """The digits of a reference, which stand behind each other, one a line, or with the delimiter between."""
        line = " ".join(body.replace(delimiter, " ").split())
        return line.split() if _DIGITS.fullmatch(line) else super().steps_of(body, delimiter)

    @property
    def words(self) -> list[str]:
        """Digits, signs, and the words of the task's frame."""
        frame = f"{self.config.prompt} {self.config.answer_prompt}".replace("{question}", " ")
        return [*"0123456789+", self.delimiter, MARKER, *frame.split()]
