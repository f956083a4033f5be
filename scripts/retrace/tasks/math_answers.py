"""Answers in LaTeX or plain mathematics: found in free text, compared by math-verify, and the grader of that name.

An answer is kept as it is written, without what surrounds it. Two answers are first compared as texts and as numbers;
only what that does not settle goes to math-verify (retrace.tasks.math_process).
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from retrace.tasks import answers
from retrace.tasks.answer_kinds import AnswerKind
from retrace.tasks.graders import Grader, final_answer, register
from retrace.tasks.math_process import math_key, same_math
from retrace.text.numbers import decimal_text, exact, numbers_in, plain_signs
from retrace.text.thoughts import without_thoughts

if TYPE_CHECKING:
    from retrace.tasks.base import Task

MATH_VERIFY = "math_verify"
_BOXED = re.compile(r"\\f?boxed\s*(?=\{)")
# Mathematics between its delimiters; \$ is a currency.
_SPAN = r"(?:(?<!\\)\$\$(?:[^$\\]|\\.)+\$\$|(?<!\\)\$(?:[^$\\]|\\.)+\$"
_SPAN += r"|\\\((?:(?!\\[()]).)+\\\)|\\\[(?:(?!\\\]).){1,1000}\\\])"
_SPANS = re.compile(rf"{_SPAN}(?:\s*(?:,|,?\s?and|,?\s?or)\s*{_SPAN})*", re.DOTALL)
_ONE_SPAN = re.compile(_SPAN, re.DOTALL)
# A formula on lines of its own becomes one line; `**Answer:**` loses the marks behind its colon.
_DISPLAYED = re.compile(
    r"(?<!\\)\$\$((?:[^$\\]|\\.){1,2000}?)\$\$|\\\[((?:(?!\\[\[\]]).){1,2000}?)\\\]"
    r"|\\begin\{(?:align|equation|gather|displaymath)\*?\}((?:(?!\\begin).){1,2000}?)\\end\{(?:align|equation|gather|displaymath)\*?\}",
    re.DOTALL,
)
_BOLD_COLON = re.compile(r"(?<=:)(?:\*\*|__)[ \t]*")
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_FUNCTIONS = r"(?:sin|cos|tan|cot|sec|csc|log|ln|sqrt|pi|exp|max|min|mod)\b"
# The beginning of a line that is mathematics without delimiters: it ends before the first word, and at a sentence's end.
_RUN = re.compile(
    rf"(?:\\[a-zA-Z]+\s?|\\[^a-zA-Z\s]|{_BRACES}|\d+(?:[.,]\d+)*|\.\d+|{_FUNCTIONS}"
    r"|(?<![A-Za-z])[A-Za-z](?![A-Za-z'’])|[-−+*/^_=<>≤≥≠±×÷·√π∞°∈∪∩²³()\[\]|&%$€£!½⅓⅔¼¾]"
    r"|,(?!\s*[A-Za-z]{2})|[ \t\u00a0\u202f])+"
)
_NEXT = re.compile(r"\s*(?:,?\s?and|,?\s?or)\s+")
_MATHEMATICS = re.compile(r"[\d\\^_=<>≤≥√π∞+*/]")
_ARTICLE = re.compile(r"\s+[aAI]\s*$")
_TEXT_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}"
)
_LETTERS = re.compile(r"[^\W\d_]+(?:[ '’-]+[^\W\d_]+)*")
_NAMES = re.compile(rf"(?<![A-Za-z]){_FUNCTIONS}")
_WORD = re.compile(r"[^\W\d_]{3}|^(?:no|No)$")
_GENERAL = ("answer is", "answer:")  # where a text has none of the task's own phrases
_OPTION = re.compile(r"\(?\s*([A-Za-z])\s*\)?")
_SPACING = re.compile(
    r"\\(?:left|right|displaystyle|limits|quad|qquad|bigl?|bigr?|Bigl?|Bigr?)(?![a-zA-Z])|\\[,;:! ]|~|\s"
)
_SIGNS = {
    "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "±": r"\pm ", "∞": r"\infty ",
    "π": r"\pi ", "°": r"^\circ ", "²": "^2", "³": "^3", "∈": r"\in ", "∪": r"\cup ", "∩": r"\cap ",
}  # fmt: skip
_ROOT = re.compile(r"√\s*(\d+(?:\.\d+)?|[A-Za-z]|\([^()]*\))")
_PI = re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])")
_POWER_OF_TEN = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?|\.\d+)[eE]([-+]?\d+)(?!\w)")


def boxed(text: str) -> str | None:
    r"""What the last \boxed{...} of a text holds; None where there is none, or its braces do not match."""
    found = _last_box(text)
    return found[1] if found else None


def _last_box(text: str) -> tuple[int, str, int] | None:
    """Start, content and end of the last box."""
    matches = list(_BOXED.finditer(text))
    if not matches:
        return None
    start, depth = matches[-1].end(), 0
    for place in range(start, len(text)):
        if text[place] in "{}" and text[place - 1] != "\\":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return matches[-1].start(), text[start + 1 : place].strip(), place + 1
    return None


def trimmed(answer: str) -> str:
    """An answer without the delimiters around it, and without the sign that ends its sentence."""
    text = " ".join(answer.split())
    while True:
        before = text
        text = text.strip().rstrip(",;").strip()
        if text.endswith(".") and not text.endswith(r"\."):
            text = text[:-1].strip()
        for opening, closing in _DELIMITERS:
            inner = text[len(opening) : -len(closing)]
            if (
                text.startswith(opening)
                and text.endswith(closing)
                and inner
                and opening not in inner.replace("\\$", "")
            ):
                text = inner
        if (box := _BOXED.match(text)) and (found := _last_box(text)) and found[0] == 0 and found[2] == len(text):
            text = text[box.end() + 1 : -1]
        if text == before:
            return text


def read_math(text: str, phrases: Sequence[str]) -> str | None:
    r"""The answer in a text: in its last \boxed{}, or behind the last of the phrases, whichever stands later.

    Where there is neither, the last mathematics between delimiters in the last line, else the text's last number. What a
    model thought in <think> is no answer.
    """
    text = _BOLD_COLON.sub(" ", _DISPLAYED.sub(_in_one_line, without_thoughts(text)))
    box = _last_box(text)
    place = max((text.lower().rfind(phrase.lower()) for phrase in phrases if phrase), default=-1)
    if box and box[0] > place:
        return trimmed(box[1]) or None
    if place >= 0:
        return _in_line(answers.behind(text, phrases) or "")
    if (tail := answers.behind(text, _GENERAL)) is not None:
        return _in_line(tail)
    spans = _mathematics(answers.last_line(text) or "")
    if spans:
        return spans[-1]
    numbers = numbers_in(text)
    return text[numbers[-1].start : numbers[-1].end].strip() if numbers else None


def _in_one_line(match: re.Match[str]) -> str:
    """A displayed formula between single delimiters; one of several lines that are aligned stays as it is."""
    content = " ".join(next(part for part in match.groups() if part is not None).split())
    if match[3] is not None:
        if "\\\\" in content:
            return match[0]
        content = content.replace("&", "")
    return f"\\[{content}\\]" if content else match[0]


def _mathematics(line: str) -> list[str]:
    """The mathematics between delimiters in a line; of several that and, or or a comma joins, all in one."""
    found = []
    for match in _SPANS.finditer(line):
        # "$5 for 3 at $2": what stands between two currency signs is prose.
        if not re.search(r"[A-Za-z]{3,}", _TEXT_COMMAND.sub("", re.sub(r"\\[a-zA-Z]+", "", match[0]))):
            parts = [trimmed(part) for part in _ONE_SPAN.findall(match[0])]
            found.append(", ".join(part for part in parts if part))
        elif any(mark in match[0] for mark in ("\\text", "\\mathrm", "\\operatorname")):
            found.append(trimmed(match[0]))
    return [one for one in found if one]


def _in_line(line: str) -> str | None:
    """The answer at the beginning of a line: mathematics, or else its words."""
    line = line.strip(" \t:*")
    if found := boxed(line):
        return trimmed(found)
    if spans := _mathematics(line):
        return spans[0]
    found = _run(line)
    return found or trimmed(answers.plain(line)) or None


def _run(line: str) -> str | None:
    """The mathematics without delimiters with which a line begins; None where it begins with words."""
    parts, rest = [], plain_signs(line)
    while match := _RUN.match(rest):
        part, rest = match[0], rest[match.end() :]
        if (end := re.search(r"(?<!\\)[.;!]\s", part + " ")) and end.start() < len(part.rstrip()):
            part, rest = part[: end.start()], ""
        opened = part.rstrip().endswith("(")  # 7/20 (or 0.35)
        if rest.strip():
            part = _ARTICLE.sub("", part).rstrip(" (")
        part = trimmed(part)
        if not part or (rest.strip(" .") and not _MATHEMATICS.search(part)):
            break
        parts.append(part)
        joint = _NEXT.match(rest)
        if joint is None or opened:
            break
        rest = rest[joint.end() :]
    return ", ".join(parts) or None


def words_of(answer: str) -> str | None:
    """The words of an answer that is not mathematics (`even`, `\\text{(A)}`), in lower case; None for mathematics."""
    plain = " ".join(_TEXT_COMMAND.sub(r"\1", answer).split()).strip()
    option = _OPTION.fullmatch(plain)
    if option and plain != answer.strip():
        return option[1].casefold()
    if not _LETTERS.fullmatch(plain):
        return None
    if plain == answer.strip() and not _WORD.search(_NAMES.sub("", plain)):
        return None  # x, xy, pi
    return re.sub(r"^(?:an?|the) ", "", plain.casefold())


def written(answer: str) -> str:
    """The text by which answers that differ in writing alone are equal."""
    text = _SPACING.sub("", plain_signs(_TEXT_COMMAND.sub(r"\1", trimmed(answer))))
    text = re.sub(r"\\[dtc]frac", r"\\frac", text).replace("{,}", "").rstrip(".")
    option = _OPTION.fullmatch(text)
    return option[1] if option else text


def latex(answer: str) -> str:
    """An answer as math-verify reads it: in LaTeX, between dollar signs."""
    text = plain_signs(answer)
    number = exact(text) if "%" not in text else None
    if number is not None:
        fraction = rf"\frac{{{number.numerator}}}{{{number.denominator}}}"
        return f"${decimal_text(number) or fraction}$"
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1].strip('()')}}}", answer)
    for sign, command in _SIGNS.items():
        text = text.replace(sign, command)
    text = _PI.sub(r"\\pi ", plain_signs(text))
    text = _POWER_OF_TEN.sub(r"\1 \\cdot 10^{\2}", text)
    return f"${text}$"


def same_answer(found: str | None, right: str) -> bool:
    """Whether two answers are the same: as texts, as words, as numbers or by math-verify."""
    if found is None or not found.strip():
        return False
    ours, theirs = words_of(found), words_of(right)
    if ours is not None or theirs is not None:
        return ours == theirs or written(found).casefold() == written(right).casefold()
    if written(found) == written(right):
        return True
    first, second = exact(found), exact(right)
    if first is not None and first == second:
        return True
    return same_math(latex(right), latex(found))


class Mathematics(AnswerKind):
    """Mathematics, compared by math-verify with a limit of time."""

    name = "math"
    graders = (MATH_VERIFY,)

    def read(self, text: str, phrases: Sequence[str], options: Mapping[str, str]) -> str | None:
        r"""The answer in the last \boxed{} or behind the last phrase."""
        return read_math(text, phrases)

    def same(self, found: str | None, right: str, options: Mapping[str, str]) -> bool:
        """Whether both are the same value."""
        return same_answer(found, right)

    def key(self, answer: str) -> str:
        """Numbers by value to ten figures, expressions by their simplified form, words in lower case."""
        answer = trimmed(answer)
        words = words_of(answer)
        if words is not None:
            return words
        number = exact(answer)
        if number is not None:
            try:
                return f"{float(number) + 0.0:.10g}"
            except OverflowError:
                return str(number)
        return math_key(latex(answer)) or written(answer)

    def ends_in(self, text: str, phrases: Sequence[str], right: str) -> bool:
        r"""Whether the text ENDS in the right answer behind a phrase or in \boxed{}, written so or the same number."""
        text = without_thoughts(text)
        box = _last_box(text)
        if box and not text[box[2] :].strip(" \t\r\n.$*)]\\"):
            return self._exactly(box[1], right)
        return super().ends_in(text, phrases, right)

    def _exactly(self, tail: str, right: str) -> bool:
        found = exact(trimmed(tail))
        return written(tail) == written(right) or (found is not None and found == exact(trimmed(right)))


MATHEMATICS = Mathematics()


def math_answer(task: "Task", text: str) -> str | None:
    """The answer that the grader compares: a program's result, or the answer in the text."""
    if task.family.computes and not task.in_words:
        return task.extract(text)
    return read_math(text, task.phrases)


register(
    Grader(
        MATH_VERIFY,
        lambda task, text, gold: same_answer(math_answer(task, text), final_answer(task, gold)),
        extract=math_answer,
        kinds=frozenset({"math", "numeric"}),
        of_papers=True,
        key=lambda task, answer: MATHEMATICS.key(answer),
        libraries=("math-verify", "latex2sympy2_extended", "sympy"),
    )
)
