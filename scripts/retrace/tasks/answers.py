"""Final answers in free text: found where a text states them, read as a number, an option or words, and compared."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

from retrace.tasks.stated_numbers import Refused, concluding_number, stated_number
from retrace.tasks.stated_options import bare, choose_option, label_of, letter_in, plain
from retrace.tasks.statements import Statement, statements_in
from retrace.text.numbers import decimal_text, exact, number_at_start, numbers_in

Kind = Literal["numeric", "multiple_choice", "exact_match", "yes_no", "letter", "math"]

_ANY_LETTER = re.compile(r"\(([A-Ea-e])\)")
_OPTION = re.compile(r"^\(([^()\s]+)\) (.+)$", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[a-z0-9\"')\]]{3}[.!?])\s+(?=[A-Z\"'(])")
_COURTESY = re.compile(r"[.!]\s+(?=(?:I hope|Let me know|Please let|Is there|Feel free)\b)")
_QUOTED = re.compile(r"[\"“‘`]([^\"“”‘’`\n]+)[\"”’`](?=\s*(?:\(|[.;—–-]\s|,\s(?![\"“])|[.,]?$))")
_YES_OR_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_LEADING_VERDICT = re.compile(
    r"\W*(?:(?:so|thus|therefore|hence|then|and)\b\W*)*(yes|no)\b(?=\s*(?:[.,;:!)—–]|-(?!\w)|$))", re.IGNORECASE
)
_BOTH = re.compile(
    r"\W*(?:either\s+)?(?:yes\s+(?:and|or)\s+no|no\s+(?:and|or)\s+yes)\b|\W*not\s+(?:an?\s+)?\W?(?:yes|no)\b",
    re.IGNORECASE,
)
_CLOSING_VERDICT = re.compile(r"\b(yes|no)\W*$", re.IGNORECASE)


def behind(text: str, phrases: Sequence[str]) -> str | None:
    """The line behind the last of these phrases, whatever their case; None where there is none."""
    places = [
        (match.end(), match.start())
        for phrase in phrases
        if phrase
        for match in re.finditer(re.escape(phrase), text, re.IGNORECASE)
    ]
    if not places:
        return None
    tail = text[max(places)[0] :].lstrip(" \t:")
    return tail.lstrip().partition("\n")[0].strip()


def last_line(text: str) -> str | None:
    """The last line that holds anything."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None


def shown(value: Fraction) -> str:
    """A number as an answer: 5, 0.5, 1/3."""
    return decimal_text(value) or str(value)


# ---------------------------------------------------------------- numbers


def read_number(text: str, phrases: Sequence[str]) -> str | None:
    """The number that the text's last statement states; of a text that states none anywhere, its last number."""
    found, body = statements_in(text, phrases, short_lines=True)
    try:
        for statement in reversed(found):
            value = stated_number(statement.line)
            if value is None or statement.line.endswith(":"):
                value = stated_number(statement.below) if statement.below else value
            if value is not None and not (statement.heading and number_at_start(statement.line) is None):
                return shown(value)
    except Refused:
        return None
    if any(not statement.heading for statement in found):
        return None
    value = concluding_number(body)
    return None if value is None else shown(value)


def same_number(found: str | None, right: str) -> bool:
    """Whether two answers are numbers that differ by less than 1e-4 (relative above 1)."""
    ours, theirs = numbers_in(found or ""), numbers_in(right)
    if not ours or not theirs:
        return False
    return abs(ours[0].value - theirs[0].value) < Fraction(1, 10_000) * max(Fraction(1), abs(theirs[0].value))


def only_number(text: str) -> bool:
    """Whether a text is a number and nothing else, a percent sign and a full stop aside."""
    return exact(plain(text)) is not None


# ---------------------------------------------------------------- words


def read_words(text: str, phrases: Sequence[str]) -> str | None:
    """The words that the text's last statement states, else its last line."""
    found, body = statements_in(text, phrases, answer_first=False)
    stated = _stated_line(found)
    words = first_sentence(stated if stated is not None else (last_line(body) or ""))
    return words or None


def stated_words(text: str, phrases: Sequence[str]) -> str | None:
    """The words that the text's last statement states; None for a text without a statement."""
    return first_sentence(_stated_line(statements_in(text, phrases, answer_first=False).found) or "") or None


def _stated_line(found: Sequence[Statement]) -> str | None:
    return next((statement.text for statement in reversed(found) if not statement.heading), None)


def first_sentence(line: str) -> str:
    """The first sentence of a line, without quotes and full stop."""
    if quoted := _QUOTED.match(line):
        return bare(quoted[1])
    return bare(_COURTESY.split(_SENTENCE_END.split(line, maxsplit=1)[0], maxsplit=1)[0])


def same_words(found: str | None, right: str) -> bool:
    """Whether two answers are the same words, whatever their case, quotes and full stop."""
    return found is not None and plain(found).casefold() == plain(right).casefold()


def read_yes_or_no(text: str, phrases: Sequence[str]) -> str | None:
    """`yes` or `no`, as the text's last statement says; else the sentence that begins or ends with one; else the last."""
    found, body = statements_in(text, phrases, short_lines=True)
    for statement in reversed(found):
        said = statement.text
        if _BOTH.match(said):
            return None
        verdict = _LEADING_VERDICT.match(said) or _CLOSING_VERDICT.search(said) or _YES_OR_NO.search(said)
        if verdict:
            return verdict[1].lower()
    if any(not statement.heading for statement in found):
        return None
    sentences = [sentence for line in body.split("\n") for sentence in re.split(r"(?<=[.!?])\s+", line)]
    for sentence in reversed(sentences):
        if _BOTH.match(sentence):
            return None
        if verdict := _LEADING_VERDICT.match(sentence) or _CLOSING_VERDICT.search(sentence):
            return verdict[1].lower()
    everywhere = _YES_OR_NO.findall(body)
    return everywhere[-1].lower() if everywhere else None


# ---------------------------------------------------------------- options


def options_of(reference: str) -> dict[str, str]:
    """Label and text of each option in a reference, whose lines before '####' are `(A) text`."""
    return dict(_OPTION.findall(reference.partition("####")[0]))


def read_option(text: str, phrases: Sequence[str], options: Mapping[str, str]) -> str | None:
    """The text of the option that the last statement names, else of the one that the last line names.

    Without known options: the label that is stated, else the words.
    """
    found, body = statements_in(text, phrases, labels=True)
    stated = [statement.text for statement in reversed(found) if not statement.heading]
    if not stated:
        stated = [last_line(body) or ""]
    choices = (choose_option(line, options, small=bool(found)) if options else label_or_words(line) for line in stated)
    return next((choice for choice in choices if choice), None)


def label_or_words(line: str) -> str | None:
    """The label that a line begins with, `B` for `(B) wet`, or else its words."""
    label = label_of(line)
    return label.name.upper() if label else first_sentence(line) or None


def read_letter(text: str, phrases: Sequence[str], choices: Mapping[str, str]) -> str | None:
    """The letter of a choice, a to e, in lower case: as the last statement says by letter or by the text of a choice.

    choices: text of each letter, where they are known. A text without a statement: its last letter in brackets.
    """
    found, body = statements_in(text, phrases, labels=True)
    for statement in reversed(found):
        if letter := letter_in(statement.text, choices):
            return letter
    if any(not statement.heading for statement in found):
        return None
    letters = _ANY_LETTER.findall(body)
    if letters:
        return letters[-1].lower()
    line = last_line(body) or ""
    return line.strip(" .").lower() if re.fullmatch(r"[A-Ea-e]\.?", line) else None


def final_line(text: str, phrases: Sequence[str]) -> str | None:
    """The text after one of the phrases at the very end of a text; None if the text ends differently."""
    tail = behind(text, phrases)
    return tail if tail is not None and text.rstrip().endswith(tail) else None
