r"""Mathematics in LaTeX (MATH, MATH-500): the answer is an expression, behind `####` or in the solution's \boxed{}."""

import re
from typing import Any

from retrace.errors import UserError
from retrace.tasks import golds, steps
from retrace.tasks.family import FinalOnly
from retrace.tasks.math_answers import MATHEMATICS, boxed, trimmed
from retrace.tasks.options import TaskConfig
from retrace.tasks.raw_rows import column_of, field_of, text_or_number
from retrace.tasks.row_formats import Raw, RowFormat

_OPENINGS = (("\\[", "\\]"), ("\\begin{", "\\end{"), ("[asy]", "[/asy]"), ("\\(", "\\)"))
_PROSE = re.compile(r"[^\W\d_]{2,}")
_MOST_WORDS = 4  # of an answer without `####` or \boxed{}; more are a solution that lacks its answer


def _math(where: str, row: dict[str, Any]) -> Raw:
    """MATH-500's rows: `problem`, `solution` and `answer`; MATH's own lack `answer`, and box it."""
    question = field_of(where, row, "question")
    solution = field_of(where, row, "solution") if row.get("solution") is not None else ""
    if steps.MARKER in solution:
        raise UserError(
            f"{where}: field {column_of(row, 'solution')!r} holds {steps.MARKER!r}, which separates it from the answer; "
            "reword it"
        )
    final = text_or_number(where, row, "answer") if row.get("answer") is not None else boxed(solution)
    if final is None:
        raise UserError(
            f"{where}: field {column_of(row, 'answer')!r} is missing, and {column_of(row, 'solution')!r} has no "
            f"\\boxed{{answer}} with matching braces (it ends {solution[-40:]!r}); add one of them"
        )
    return Raw(question, f"{solution}\n{steps.MARKER} {final}".strip())


class Math(FinalOnly):
    """The answer is an expression, compared by math-verify; the steps of a solution are learned from, not judged."""

    name = "math"
    answers = MATHEMATICS
    plain_delimiter = "¦"  # a bar is a sign of LaTeX
    formats = (RowFormat("math", _math, fields={"question": "problem", "solution": "solution", "answer": "answer"}),)

    @classmethod
    def fault(cls, config: TaskConfig) -> str | None:
        """The delimiter must not occur in LaTeX."""
        if config.delimiter in ("|", "||") and "delimiter" in config.model_fields_set:
            return f"delimiter: {config.delimiter!r} occurs in LaTeX (|x|); leave it out, or choose another one"
        return None

    def body_and_final(self, where: str, solution: str) -> tuple[str, str]:
        r"""A row's solution and its answer: behind `####`, else in the last \boxed{}, else the row is the answer alone."""
        body, marker, tail = solution.partition(steps.MARKER)
        if marker:
            return body.strip(), self._final(where, tail)
        if (found := boxed(solution)) is not None:
            return solution.strip(), self._final(where, found)
        if "\n" in solution.strip() or _words(solution) > _MOST_WORDS:
            raise golds.FaultyAnswer(
                f"{where}: the answer has no final value; end it with '{steps.MARKER} {self.final_kind}' or put it in "
                f"\\boxed{{}} (it ends {solution[-40:]!r})"
            )
        return "", self._final(where, solution)

    def stated_final(self, where: str, answer: str) -> str:
        """The answer that a row states on its own."""
        return self._final(where, answer)

    def _final(self, where: str, tail: str) -> str:
        final = trimmed(tail)
        if not final or steps.MARKER in tail:
            said = "is empty" if not final else f"holds {steps.MARKER!r} again"
            raise golds.FaultyAnswer(f"{where}: the final answer {tail.strip()[:40]!r} {said}; give one answer")
        if final.count("{") - final.count("\\{") != final.count("}") - final.count("\\}"):
            raise golds.FaultyAnswer(f"{where}: the braces of the final answer {final[:40]!r} do not match; mend it")
        return final

    def steps_of(self, body: str, delimiter: str) -> list[str]:
        """The lines of a reference, or the sentences of one line; an environment of several lines stays whole."""
        lines = [" ".join(part.split()).removesuffix(".") for part in _lines(body)]
        return steps.split_sentences(lines[0]) if len(lines) == 1 else lines


def _words(text: str) -> int:
    """How many words of prose a text has, commands left out."""
    return len(_PROSE.findall(re.sub(r"\\[a-zA-Z]+|\{[^{}]*\}", " ", text)))


def _lines(body: str) -> list[str]:
    """The lines of a solution, those inside an environment joined."""
    parts: list[str] = []
    opened = ""
    for line in body.split("\n"):
        opened = f"{opened}\n{line}" if opened else line
        if not _is_open(opened):
            parts.append(opened)
            opened = ""
    parts += opened.split("\n") if opened else []  # never closed: lines as they are
    return [part for part in parts if part.strip()]


def _is_open(text: str) -> bool:
    """Whether an environment of LaTeX that begins in a text ends behind it."""
    return any(text.count(start) > text.count(end) for start, end in _OPENINGS) or text.count("$$") % 2 == 1
