"""The reasoning in a teacher's rationale as lines of plain text, which a student learns to write before its answer.

Thoughts, headings, statements of the answer, everything after them, and Markdown and LaTeX markup are left out; table rows
become lines. A text in the project's own form, `step | step | #### answer`, is unchanged up to its marker.
"""

import json
import re
from collections.abc import Iterator

from retrace.systems.learn_to_reason.cleanup import MARKERS
from retrace.tasks import steps
from retrace.tasks.statements import (
    ALONE_FIRST,
    ANSWER_FIRST,
    ANSWER_LINE,
    ANSWER_SENTENCE,
    CELEBRATED,
    SHORT_LINE,
    another_question,
    without_list_numbers,
)
from retrace.text.markup import plain_text, short_blanks
from retrace.text.numbers import exact
from retrace.text.thoughts import without_thoughts

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)")
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]+(.*?)[ \t#]*$")
_BOLD_LINE = re.compile(r"^[ \t]*(?:\d{1,2}[.)][ \t]+)?(?:\*\*|__)([^*_]+)(?:\*\*|__)[ \t]*:?[ \t]*$")
_TABLE_RULE = re.compile(
    r"^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*$|^[ \t]*\|[ \t]*:?-+:?[ \t]*\|[ \t]*$"
)
_STEP = re.compile(r"^[ \t]*step[ \t]+\d{1,2}[ \t]*(?:[:.)–—-][ \t]*|$)", re.IGNORECASE)
_LABEL = re.compile(
    r"^[ \t]*(?:solution|reasoning|explanation|rationale|worked solution|step[- ]by[- ]step(?: solution| reasoning)?|steps"
    r"|given|calculations?|working)[ \t]*:[ \t]*",
    re.IGNORECASE,
)
_CALCULATION = re.compile(r"\d[^=\d\n]*=|=[^=\d\n]*\d")
_ANSWER_CELL = re.compile(r"(?:(?:the|final|correct)\s+)*answer:?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_OPENING = re.compile(
    r"[^\w]*(?:(?:so|thus|therefore|hence|then|and|finally|the|my|our|final|correct|right|in conclusion)\b[\s,:]*)*",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"[\s,;:]*\b(?:so|thus|therefore|hence|and|then)?[\s,;:]*(?:the|my|our)?\s*(?:(?:final|correct|right)\s+)*$",
    re.IGNORECASE,
)
_VALUE_BECAUSE = re.compile(r"^[^\sA-Za-z]+(?:[ ][A-Za-z]+){0,2},?[ ](?:because|since|as)[ ]", re.IGNORECASE)
_BOX_LINE = re.compile(r"^[\s$\\\[\]()*]*\\boxed[ ]?\{.*\}[\s$\\\[\]().*]*$")
_ANSWER_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_OBJECT = re.compile(r"(?:```\w*\n)?\s*(\{.*\})\s*(?:```)?", re.DOTALL)
_ANSWER_KEY = re.compile(r"(?:(?:final|correct)[-_ ]?)?answer", re.IGNORECASE)
_SEVERAL_WORDS = 5
_FEW_WORDS = 6  # a line of at most this many words below the word Answer is the answer


def reasoning_lines(text: str, sentences: bool = True) -> list[str]:
    """The lines of the reasoning in a text; empty if it only states an answer.

    sentences: leave out sentences that state the answer, too (`Therefore, the answer is 18.`), not only lines.
    """
    said = short_blanks(without_thoughts(text).replace("\r\n", "\n").strip())
    said = _of_json(said)
    if "\n" not in said:
        said = said.split(steps.MARKER)[0].rstrip()
    said = _ANSWER_TAG.sub(lambda tag: "\n" if tag[1] else "\nAnswer: ", said)
    said = said[: another_question(said)]
    plain = without_list_numbers(plain_text("\n".join(_without_headings(_without_tables(said.split("\n"))))))
    plain = CELEBRATED.sub("", plain)
    if alone := ALONE_FIRST.match(plain):
        plain = plain[alone.end(1) :]
    lines = [_LABEL.sub("", _STEP.sub("", line)).strip() for line in plain.split("\n")]
    lines = _before_the_answer(_joined([line for line in lines if line]))
    if sentences:
        lines = _without_statements(lines)
    while len(lines) > 1 and exact(lines[-1]) is not None:  # a number alone is not a step
        lines.pop()
    if len(lines) > 1 and exact(lines[0]) is not None:  # nor is an answer that comes first
        lines.pop(0)
    return lines


def _of_json(text: str) -> str:
    """The texts of a JSON object without its answer, if it has a member for the answer; any other text unchanged."""
    found = _OBJECT.fullmatch(text)
    try:
        members = json.loads(found[1], strict=False) if found else None
    except (ValueError, RecursionError):
        return text
    if not isinstance(members, dict) or not any(_ANSWER_KEY.fullmatch(name) for name in members):
        return text
    values = (value for name, value in members.items() if not _ANSWER_KEY.fullmatch(name))
    parts = (part for value in values for part in (value if isinstance(value, list) else [value]))
    return "\n".join(part for part in parts if isinstance(part, str))


def program_lines(text: str) -> list[str]:
    """The lines of a program up to the statement of its result, without the fences of a code block."""
    body = without_thoughts(text).strip()
    for marker in (steps.MARKER, *MARKERS):
        body = body.split(marker)[0].rstrip()
    return [line for line in body.split("\n") if not _FENCE.match(line)]


def _without_tables(lines: list[str]) -> list[str]:
    """Rows of tables as lines (`item: pens, price: 3`), without header rows and rules."""
    found: list[str] = []
    header: list[str] = []
    for place, line in enumerate(lines):
        if _TABLE_RULE.match(line):
            continue
        if place + 1 < len(lines) and "|" in line and _TABLE_RULE.match(lines[place + 1]):
            header = _cells(line)
            continue
        row = line.strip()
        if "|" in row and (header or (row.startswith("|") and row.endswith("|") and len(row) > 1)):
            found.append(_row(header, _cells(line)))
        else:
            header = []
            found.append(line)
    return found


def _cells(line: str) -> list[str]:
    return [plain_text(cell).strip() for cell in line.strip().strip("|").split("|")]


def _row(header: list[str], cells: list[str]) -> str:
    for place, cell in enumerate(cells):
        if _ANSWER_CELL.fullmatch(cell):
            return f"Answer: {' '.join(cells[place + 1 :])}"
    if len(header) == len(cells):
        return ", ".join(f"{name}: {cell}" if name else cell for name, cell in zip(header, cells, strict=True) if cell)
    return ", ".join(cell for cell in cells if cell)


def _without_headings(lines: list[str]) -> list[str]:
    """The lines without headings; a heading with a calculation or the answer is kept without its markup."""
    found = []
    for line in lines:
        match = _HEADING.match(line) or _BOLD_LINE.match(line)
        if match is None:
            found.append(f"Answer: {plain_text(line).strip()}" if _BOX_LINE.match(line) else line)
            continue
        words = plain_text(match[1]).strip()
        if line.lstrip().startswith(steps.MARKER) and (exact(words) is not None or len(words.split()) == 1):
            found.append(f"Answer: {words}")
        elif ANSWER_LINE.match(words) or _CALCULATION.search(words) or (match.re is _BOLD_LINE and _says_more(words)):
            found.append(words)
    return found


def _says_more(words: str) -> bool:
    """Whether a bold line is not a heading: it is a sentence, or several words with a number."""
    words = _STEP.sub("", words)
    return words[-1:] in ".!?" or (len(words.split()) >= _SEVERAL_WORDS and any(map(str.isdigit, words)))


def _joined(lines: list[str]) -> list[str]:
    """Join lines that continue an equation (`= 18`) to the line before."""
    found: list[str] = []
    for line in lines:
        if found and line.startswith("=") and not line.startswith("=>"):
            found[-1] = f"{found[-1]} {line}"
        else:
            found.append(line)
    return found


def _before_the_answer(lines: list[str]) -> list[str]:
    """The lines before the last one that states the answer, or those after it if it comes first."""
    kept: list[str] = []
    before = -1  # number of lines kept before the last answer line
    skip = False
    for line in _apart(lines):
        answer = ANSWER_LINE.match(line) or SHORT_LINE.match(line)
        if not answer:
            if not (skip and len(line.split()) <= _FEW_WORDS and not _CALCULATION.search(line)):
                kept.append(line)
            skip = False
            continue
        if kept:
            before = len(kept)
        tail = line[answer.end() :].strip(" :=-")
        skip = not tail
        stated, *rest = _SENTENCE_END.split(tail)
        if _CALCULATION.search(stated):
            rest.insert(0, stated)
            before += before >= 0
        kept += rest
    return kept if before < 0 else kept[:before]


def _apart(lines: list[str]) -> Iterator[str]:
    """The lines; an answer line that follows a sentence on the same line becomes a separate line."""
    for line in lines:
        inside = ANSWER_LINE.search(line, 1)
        if inside and not ANSWER_LINE.match(line):
            yield line[: inside.start()].rstrip()
            line = line[inside.start() :].lstrip()
        yield line


def _without_statements(lines: list[str]) -> list[str]:
    """The lines without sentences that only state the answer, and without everything after the last of them.

    A calculation in such a sentence is kept. If the answer comes first, the text after it is kept.
    """
    kept: list[list[str]] = []
    end: int | None = None  # number of lines kept up to the last statement
    for line in lines:
        kept.append([])
        for sentence in (
            _SENTENCE_END.split(line) if ANSWER_SENTENCE.search(line) or ANSWER_FIRST.search(line) else [line]
        ):
            match = ANSWER_SENTENCE.search(sentence) or ANSWER_FIRST.search(sentence)
            rest = _beside_statement(sentence, match) if match else sentence
            if rest:
                kept[-1].append(rest)
            if match and any(kept):
                end = len(kept)
                last = len(kept[-1])
    if end is not None:
        kept = [*kept[: end - 1], kept[end - 1][:last]]
    return [" ".join(sentences) for sentences in kept if sentences]


def _beside_statement(sentence: str, statement: re.Match[str]) -> str:
    """The part of a sentence that does not state the answer; may be empty."""
    if statement.re is ANSWER_FIRST:
        before = sentence[: statement.end(1)].rstrip()
        if _CALCULATION.search(statement[1]):
            return f"{before}."
        before = sentence[: statement.start()].rstrip(" ,;:")
        return "" if _OPENING.fullmatch(before) else f"{before}."
    before, tail = sentence[: statement.start()], sentence[statement.end() :].strip(" :")
    alone = _OPENING.fullmatch(before) is not None
    if _CALCULATION.search(tail):
        tail = _VALUE_BECAUSE.sub("", tail)
        before = "" if alone else _DANGLING.sub("", before).strip()
        return f"{before}, {tail}" if before else tail
    return "" if alone else _DANGLING.sub("", before).rstrip(" ,;:") + "."
