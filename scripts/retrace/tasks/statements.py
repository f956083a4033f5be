"""Where a text in free form states its final answer: behind a phrase of the task, in an answer line, in a box.

What is read is the whole text, thoughts left out: the last statement counts, wherever blank lines stand.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from retrace.tasks.steps import MARKER
from retrace.text.markup import open_boxes, plain_text
from retrace.text.thoughts import without_thoughts

_LEAD = r"(?:(?:so|thus|therefore|hence|then|and|finally|overall|in conclusion|ok|okay)[,:]?[ \t]+)*"
_KIND = (
    r"(?:the|my|your|our)?[ \t]*(?:(?:final|correct|right|best|selected|chosen|numeric(?:al)?|exact|overall|short"
    r"|most likely)[ \t]+)*"
)
_START = r"(?:^[^\w\n]*|(?<=[.!?;:)\]|])[ \t]+|(?<=[.!?])\[?[ \t]*(?=final answer))"
_MARK = r"(?:[:：=→]|[-–—]+(?=[ \t])|\|)"  # between the word and the answer
_VALUE = r"(?=\(?[-+−–]?[ \t]?[$€£¥]?\.?\d|\([A-Ea-e]\)|[A-E](?![\w'])|(?:yes|no)\b)"
_ASIDE = r"(?:[ \t]*\((?=[^()\n]*[A-Za-z]{2})[^()\n]{1,40}\))?"  # Answer (in dollars): 18
_TO = r"(?:[ \t]+(?:to|for|of|in|here|choice|option|therefore|then|thus|from)\b[^.\n:;]{0,80}?)?"
_IS = r"(?:is|was|are|would be|will be|should be|must be|comes (?:out )?to|equals)"
# `the answer is found by adding`: the answer itself comes later.
_NOT_YET = re.compile(
    r"[ \t]+(?:found|obtained|calculated|computed|derived|determined|reached|given|needed|required|based)\b",
    re.IGNORECASE,
)

# An answer line (`Answer: 18`, `Final answer - 18`, `Answer` and the value below), also behind a sentence.
ANSWER_LINE = re.compile(
    rf"{_START}{_LEAD}{_KIND}(?:answer|ans)\b\.?{_ASIDE}[ \t]*(?:{_MARK}|(?=\n|\Z)|{_VALUE})",
    re.IGNORECASE | re.MULTILINE,
)
# A sentence: `the answer is 18`, `the answer to the question would be 18`.
ANSWER_SENTENCE = re.compile(
    rf"\b(?:answer|final result)\b{_ASIDE}{_TO}[ \t]+{_IS}\b(?:[ \t]*:)?|\bfinal answer[ \t]*{_MARK}", re.IGNORECASE
)
# The same of an option: `the correct choice is B`, `Option: B`, `I choose (b)`.
_OPTION_CUE = re.compile(
    rf"\b(?:correct|right|best|final|most (?:likely|appropriate|suitable|logical|fitting))[ \t]+(?:option|choice|letter)\b"
    rf"{_TO}[ \t]*(?:{_IS}\b[ \t]*:?|{_MARK})|^[^\w\n]*(?:option|choice)[ \t]*:"
    r"|\b(?:choose|select|pick|go with)[ \t]+(?=(?:option[ \t]+|choice[ \t]+)?\(?[A-Ea-e]\)?(?![\w']))",
    re.IGNORECASE | re.MULTILINE,
)
# The answer first: `18 is the answer`, `option B is correct`; looked for where nothing else states one.
_FIRST_START = r"(?:^|(?<=[.!?;,:])[ \t])((?:[^.!?;,:\n]|[.,:](?=\d)){1,60}?)[ \t]+(?:is|would be|must be)[ \t]+"
ANSWER_FIRST = re.compile(
    rf"{_FIRST_START}(?:the|my|our)[ \t]+(?:(?:final|correct|right|best)[ \t]+)*(?:answer|choice|option)\b",
    re.IGNORECASE | re.MULTILINE,
)
_IS_CORRECT = re.compile(rf"{_FIRST_START}(?:correct|right)\b", re.IGNORECASE | re.MULTILINE)
SHORT_LINE = re.compile(rf"^A[ \t]*:(?=[ \t]*(?:{_VALUE}))", re.MULTILINE | re.IGNORECASE)  # `A: 18`
# What takes an answer back: `Wait, it is 45`, `Actually, that should be (b)`.
_CORRECTED = re.compile(
    r"\b(?:actually|wait|sorry|no|correction)\b[,:.!]*[ \t]+(?:no,[ \t]+)?(?:it|that|this)"
    rf"(?:['’]s|[ \t]+(?:is|should be|must be|would be|should have been))\b(?=[ \t]+(?:{_VALUE}|option\b))",
    re.IGNORECASE,
)
# Another question after the answer: the model continued without being asked.
_ANOTHER = re.compile(r"\n[ \t]*(?:question|problem|q)(?:[ \t]*\d+)?[ \t]*[:：]", re.IGNORECASE)
# A chat model that goes on with a turn of its user.
_ANOTHER_TURN = re.compile(r"\n[ \t]*(?:#+[ \t]*)?(?:instruction|human|user)[ \t]*[:：]", re.IGNORECASE)
# {"answer": 18, "confidence": 0.9}: the member is an answer line.
_MEMBER = re.compile(
    r"[\"'](?:(?:final|correct)[-_ ]?)?answer[\"'][ \t]*:[ \t]*"
    r"(?:\"((?:[^\"\\\n]|\\.)*)\"|'([^'\n]*)'|([^\s\"',{}\[\]]+))[ \t]*,?",
    re.IGNORECASE,
)
# A number or a label alone in the first line, and an explanation below.
ALONE_FIRST = re.compile(
    r"\A\s*([-+]?[$€£¥]?\d[\d,.]*%?(?:[ \t][A-Za-z]+){0,2}|\(?[A-Ea-e](?:\)|[.:])[^\n]{0,50}|\(?[A-E]\)?)[ \t]*\n"
    r"\s*(?:explanation|reasoning|rationale|justification)[ \t]*:",
    re.IGNORECASE,
)
CELEBRATED = re.compile(r"(?<=\S)(?:[ \t]*[✅✔✓☑❌✗✘🎉🎊💯👍😊🙂😀]\ufe0f?)+[ \t]*$", re.MULTILINE)
_AFTERTHOUGHT = re.compile(
    r"^[ \t]*(?:(?:to|let's|let us|let me|we can|now,? let's)[ \t]+(?:double[- ]?)?(?:check|verify|confirm)\b"
    r"|(?:double[- ]?)?(?:check|checking|verification|verified|proof|note|sanity check)[ \t]*:)",
    re.IGNORECASE | re.MULTILINE,
)
_CONCLUSION = re.compile(
    r"(?:^|[.!?][ \t]+)[ \t]*(?:so|thus|therefore|hence|in conclusion)\b", re.IGNORECASE | re.MULTILINE
)
_NUMBERED = re.compile(r"^([ \t]*)(?:step[ \t]+)?\(?(\d{1,2})[.):][ \t]+(?=\S)", re.IGNORECASE)
_MOST = 50  # statements of a text that are looked at, from its end
_LONGEST = 1000  # characters of a line in which an answer is looked for
_WORD = re.compile(r"[^\W_]")


class Statement(NamedTuple):
    """What stands behind a phrase. line: up to the line's end. below: the next line that is not empty, where the answer
    may stand when `line` is empty or ends with a colon. heading: it may be a Markdown heading, which states nothing."""

    line: str
    below: str
    heading: bool

    @property
    def text(self) -> str:
        """The text in which the answer stands."""
        return self.line if _WORD.search(self.line) else self.below


class Statements(NamedTuple):
    """A text in free form. found: its statements, in their order. body: the text for readers that need no statement,
    without marks, numbers of lists, thoughts, and checks behind the result."""

    found: list[Statement]
    body: str


def statements_in(
    text: str, phrases: Sequence[str] = (), short_lines: bool = False, labels: bool = False, answer_first: bool = True
) -> Statements:
    """Find the statements of a text.

    phrases: of the task, whatever their case; those of ordinary English are known. short_lines: whether `A: 18` states an
    answer, which is the label of an option elsewhere. labels: whether the answer is an option. answer_first: whether it
    may stand first, `18 is the answer`.
    """
    shown = readable(text)
    cues = [ANSWER_LINE, ANSWER_SENTENCE, *([SHORT_LINE] if short_lines else []), *([_OPTION_CUE] if labels else [])]
    cues += [re.compile(re.escape(phrase), re.IGNORECASE) for phrase in {*phrases, MARKER} if phrase]
    found = _statements(shown, cues)
    if found and (short_lines or labels):
        cues.append(_CORRECTED)
        found = _statements(shown, cues)
    before = shown[: another_question(shown)]
    if len(before) < len(shown):
        stated = _statements(before, cues)
        if stated or not found:
            shown, found = before, stated
    if (turn := _ANOTHER_TURN.search(shown)) and (stated := _statements(shown[: turn.start()], cues)):
        shown, found = shown[: turn.start()], stated
    if not found and (alone := ALONE_FIRST.match(shown)):
        found = [Statement(alone[1].strip(), "", heading=False)]
    if answer_first and not found:
        answers = [
            match[1] for cue in (ANSWER_FIRST, *([_IS_CORRECT] if labels else [])) for match in cue.finditer(shown)
        ]
        found = [Statement(answer.strip(), "", heading=False) for answer in answers[-1:]]
    return Statements(found, _without_afterthought(shown))


def another_question(text: str) -> int:
    """Where the model goes on with another question, `Question: ...`; the text's length where it does not."""
    return next((one.start() for one in _ANOTHER.finditer(text) if text[: one.start()].strip()), len(text))


def readable(text: str) -> str:
    """The text as it is read: without thoughts, marks and numbers of lists; a box becomes an answer line."""
    said = without_thoughts(text)
    if "\\" in said or "<" in said:
        said = open_boxes(said, lambda content: f"\nAnswer: {content}\n")
    if "nswer" in said.casefold() and (":" in said and ("'" in said or '"' in said)):
        said = _MEMBER.sub(lambda member: f"\nAnswer: {next(filter(None, member.groups()), '')}\n", said)
    return CELEBRATED.sub("", without_list_numbers(plain_text(said)))


def without_list_numbers(text: str) -> str:
    """The text without the numbers `1.`, `2)`, `Step 3:` at the beginnings of lines, where they count up from 1."""
    if not re.search(r"^[ \t]*(?:step[ \t]+)?\(?1[.):][ \t]", text, re.IGNORECASE | re.MULTILINE):
        return text
    lines, last = [], 0
    for line in text.split("\n"):
        match = _NUMBERED.match(line)
        if match and int(match[2]) in (1, last + 1):
            last = int(match[2])
            line = match[1] + line[match.end() :]
        lines.append(line)
    return "\n".join(lines)


def _statements(text: str, cues: Sequence[re.Pattern[str]]) -> list[Statement]:
    ends: dict[int, bool] = {}  # where a phrase ends, and whether it may be a heading
    for cue in cues:
        for match in cue.finditer(text):
            if _NOT_YET.match(text, match.end()):
                continue
            ends[match.end()] = ends.get(match.end(), True) and match[0] == MARKER
    found = []
    for end in sorted(ends)[-_MOST:]:
        line, _, rest = text[end:].partition("\n")
        below = _answer_below(rest)
        line = line.strip()[:_LONGEST]
        heading = ends[end] and bool(_WORD.search(line)) and bool(below)
        found.append(Statement(line.lstrip(" \t:：=|→"), below if not line or line.endswith(":") else "", heading))
    return found


def _answer_below(text: str) -> str:
    """The first line that holds anything and does not announce another line."""
    lines = [line.strip() for line in text.split("\n") if _WORD.search(line)]
    return next((line for line in lines[:3] if not line.endswith(":")), "")


def _without_afterthought(text: str) -> str:
    """The text up to a check of the result; all of it where nothing stands before, or a conclusion behind."""
    match = _AFTERTHOUGHT.search(text)
    if match is None or _CONCLUSION.search(text, match.end()):
        return text
    before = text[: match.start()]
    return before if re.search(r"\d", before) else text
