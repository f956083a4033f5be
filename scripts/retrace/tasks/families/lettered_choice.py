"""Questions with choices, the answer a letter (commonsense_qa, aqua), as Learn-to-Reason has them."""

import re

from retrace.tasks import question_files
from retrace.tasks.answer_kinds import LETTER
from retrace.tasks.row_formats import worked
from retrace.tasks.short_answers import ShortAnswers


class LetteredChoice(ShortAnswers):
    """The answer is the letter of a choice, (a) to (e)."""

    name = "lettered_choice"
    answers = LETTER
    free_text = "choice"
    formats = (
        worked("commonsense_qa", question_files.commonsense_qa, solutions=False),
        worked("aqua", question_files.aqua),
    )
    marked = re.compile(r"\s*\(?([A-Ea-e])\)?(?![A-Za-z])")
    answer_kind = "letter"

    def shown_answer(self, final: str) -> str:
        """The letter in brackets."""
        return f"({final})"
