"""Questions whose answer is in words, with nothing but the answer to judge."""

from retrace.tasks.family import FinalOnly


class ExactMatch(FinalOnly):
    """The answer is compared word by word."""

    name = "exact_match"
