"""Questions whose answer is a number, with nothing but the answer to judge (LaTRO's columns, data of the user's own)."""

from retrace.errors import UserError
from retrace.tasks import golds
from retrace.tasks.answer_kinds import NUMBER
from retrace.tasks.family import Family, FinalOnly

_EXACT = ("phrase", "math_verify")  # graders of `chat.grader` that compare fractions; LaTRO's cuts them


class Numeric(FinalOnly):
    """The answer is a number."""

    name = "numeric"
    answers = NUMBER
    final_kind = "number"

    def final_of(self, tail: str) -> str | None:
        """The number; 1/3 may stay a fraction where the grader compares fractions."""
        return golds.final_text(tail, fractions=self.config.chat.grader in _EXACT)

    def bare_final(self, answer: str) -> str | None:
        """The number of an answer that is nothing else."""
        return Family.bare_final(self, answer)

    def check_row(self, where: str, question: str, final: str) -> None:
        """Raise UserError for an answer that is not a number."""
        if not self.answers.stated(final):
            raise UserError(
                f"{where}: the final answer {final[:40]!r} holds no number; mend it, or choose another family"
            )
