"""Questions that are answered with yes or no (strategy_qa), as Learn-to-Reason has them."""

import re

from retrace.tasks import question_files
from retrace.tasks.answer_kinds import YES_OR_NO
from retrace.tasks.row_formats import worked
from retrace.tasks.short_answers import ShortAnswers


class YesNo(ShortAnswers):
    """The answer is yes or no."""

    name = "yes_no"
    answers = YES_OR_NO
    free_text = "yes_no"
    formats = (worked("strategy_qa", question_files.strategy_qa, layout="document"),)
    marked = re.compile(r"\s*(yes|no)\b", re.IGNORECASE)
    answer_kind = "yes or no"
