"""Questions that are answered with yes or no (strategy_qa), as Learn-to-Reason has them."""

import re

from retrace.tasks import question_files
from retrace.tasks.row_formats import worked
from retrace.tasks.short_answers import ShortAnswers


class YesNo(ShortAnswers):
    """The answer is yes or no."""

    name = "yes_no"
    free_text = "yes_no"
    formats = (worked("strategy_qa", question_files.strategy_qa, layout="document"),)
    marked = re.compile(r"\s*(yes|no)\b", re.IGNORECASE)
    unmarked = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
    answer_kind = "yes or no"
