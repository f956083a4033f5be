"""Questions whose answer is a number, with nothing but the answer to judge (LaTRO's columns, data of the user's own)."""

from retrace.errors import UserError
from retrace.tasks.answer_kinds import NUMBER
from retrace.tasks.family import Family, FinalOnly


class Numeric(FinalOnly):
    """The answer is a number."""

    name = "numeric"
    answers = NUMBER
    final_kind = "number"

    def final_of(self, tail: str) -> str | None:
        """The first number."""
        return Family.final_of(self, tail)

    def check_row(self, where: str, question: str, final: str) -> None:
        """Raise UserError for an answer that is no number."""
        if not self.answers.stated(final):
            raise UserError(
                f"{where}: the final answer {final[:40]!r} holds no number; mend it, or choose another family"
            )
