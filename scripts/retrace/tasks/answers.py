"""Final answers in free text: found where a text states them, read as a number, an option or words, and compared."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

from retrace.tasks.stated_numbers import Refused, concluding_number, stated_number
from retrace.tasks.statements import Statement, statements_in
from retrace.text.markup import plain_text
from retrace.text.numbers import decimal_text, exact, number_at_start, numbers_in

Kind = Literal["numeric", "multiple_choice", "exact_match", "yes_no", "letter"]

# A label is in brackets, or a full stop, a colon, a comma or nothing follows it: "(B) wet", "B) wet", "B."; not "A cat".
_AFTER_LABEL = r"(?=[).:,;\]]|\s+[-–—]\s|\s+(?:because|since|as|or|and)\b|\s*/|$)"
_LABEL = re.compile(rf"[(\[{{](?P<a>[A-Za-z0-9])[)\]}}]|(?P<b>[A-Z0-9]){_AFTER_LABEL}|(?P<c>[a-z])(?=\))")
_SMALL_LABEL = re.compile(rf"(?P<a>[a-e]){_AFTER_LABEL}")
_ANOTHER_LABEL = re.compile(r"[)\]}]?\s*(?:or|and|/|&)\s*[(\[{]?[A-Za-z0-9](?:[)\]}.]|$)|.*?\([A-Ja-j]\)")
_REASON = re.compile(r"\b(?:because|since|as|while|whereas|unlike|rather|not|which|so|but)\b|[.;—–]", re.IGNORECASE)
_BEFORE_LABEL = re.compile(
    r"(?:(?:the|option|choice|letter|answer|correct|is|:)[ \t]+)*(?=[(\[{]?[A-Za-z0-9](?!\w))", re.IGNORECASE
)
_ANY_LETTER = re.compile(r"\(([A-Ea-e])\)")
_OPTION = re.compile(r"^\(([^()\s]+)\) (.+)$", re.MULTILINE)
_BEHIND_LABEL = " ).:,;-–—]}"
_QUOTES = "\"'`*[]“”‘’|"
_SENTENCE_END = re.compile(r"(?<=[a-z0-9\"')\]]{3}[.!?])\s+(?=[A-Z\"'(])")
_YES_OR_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_LEADING_VERDICT = re.compile(
    r"\W*(?:(?:so|thus|therefore|hence|then|and)\b\W*)*(yes|no)\b(?=\s*(?:[.,;:!)—–-]|$))", re.IGNORECASE
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


def plain(words: str) -> str:
    """Words without what surrounds them: quotes, brackets, a full stop, white space."""
    text = " ".join(words.split()).strip(_QUOTES + " ")
    return text.rstrip(".").strip(_QUOTES + " ")


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
    found, body = statements_in(text, phrases)
    stated = _stated_line(found)
    words = first_sentence(stated if stated is not None else (last_line(body) or ""))
    return words or None


def stated_words(text: str, phrases: Sequence[str]) -> str | None:
    """The words that the text's last statement states; None for a text without a statement."""
    return first_sentence(_stated_line(statements_in(text, phrases).found) or "") or None


def _stated_line(found: Sequence[Statement]) -> str | None:
    return next((statement.text for statement in reversed(found) if not statement.heading), None)


def first_sentence(line: str) -> str:
    """The first sentence of a line, without quotes and full stop."""
    return plain(_SENTENCE_END.split(line, maxsplit=1)[0])


def same_words(found: str | None, right: str) -> bool:
    """Whether two answers are the same words, whatever their case, quotes and full stop."""
    return found is not None and plain(found).casefold() == plain(right).casefold()


def read_yes_or_no(text: str, phrases: Sequence[str]) -> str | None:
    """`yes` or `no`, as the text's last statement says; else the sentence that begins or ends with one; else the last."""
    found, body = statements_in(text, phrases, short_lines=True)
    for statement in reversed(found):
        if verdict := _YES_OR_NO.search(statement.text):
            return verdict[1].lower()
    if any(not statement.heading for statement in found):
        return None
    sentences = [sentence for line in body.split("\n") for sentence in re.split(r"(?<=[.!?])\s+", line)]
    for sentence in reversed(sentences):
        if verdict := _LEADING_VERDICT.match(sentence) or _CLOSING_VERDICT.search(sentence):
            return verdict[1].lower()
    everywhere = _YES_OR_NO.findall(body)
    return everywhere[-1].lower() if everywhere else None


# ---------------------------------------------------------------- options


def options_of(reference: str) -> dict[str, str]:
    """Label and text of each option in a reference, whose lines before '####' are `(A) text`."""
    return dict(_OPTION.findall(reference.partition("####")[0]))


def choose_option(words: str, options: Mapping[str, str]) -> str | None:
    """The option that `words` name by its text or its label (its own, or A, B, C, ... by place); None for none or two."""
    line = plain_text(words).strip(_QUOTES + " ")
    wanted = plain(line).casefold()
    texts = {plain(text).casefold(): text for text in options.values()}
    if wanted in texts:
        return texts[wanted]
    if match := _label(line):
        chosen = _by_label(_name(match).upper(), options)
        said = plain(line[match.end() :].lstrip(_BEHIND_LABEL)).casefold()
        contradicted = said in texts and texts[said] != chosen
        return None if contradicted or _names_another(line[match.end() :]) else chosen
    named = [text for key, text in texts.items() if key and re.search(rf"(?<!\w){re.escape(key)}(?!\w)", wanted)]
    # "dark green" names "green" as well; what lies inside a longer one that is named does not count.
    named = [text for text in named if not any(text != other and text in other for other in named)]
    return named[0] if len(named) == 1 else None


def _label(line: str) -> re.Match[str] | None:
    """The label with which a line begins: `(B) wet`, `B. wet`, `option B`."""
    before = _BEFORE_LABEL.match(line)
    return _LABEL.match(line, before.end() if before else 0)


def _name(label: re.Match[str]) -> str:
    return next(name for name in label.groups() if name)


def _names_another(rest: str) -> bool:
    """Whether the text behind a label names another one: `or (b)`, `bank, (b) park`; not in a reason, `since (b) is wet`."""
    return _ANOTHER_LABEL.match(_REASON.split(rest.lstrip(".)]}"), maxsplit=1)[0]) is not None


def _by_label(label: str, options: Mapping[str, str]) -> str | None:
    if label in options:
        return options[label]
    place = ord(label) - ord("A")
    return list(options.values())[place] if 0 <= place < len(options) else None


def read_option(text: str, phrases: Sequence[str], options: Mapping[str, str]) -> str | None:
    """The text of the option that the last statement names, else of the one that the last line names.

    Without known options: the label that is stated, else the words.
    """
    found, body = statements_in(text, phrases)
    stated = [statement.text for statement in reversed(found) if not statement.heading]
    if not stated:
        stated = [last_line(body) or ""]
    # A small letter alone is a label where nothing else is stated.
    stated = [line.upper() if re.fullmatch(r"[a-j]\.?", line) else line for line in stated]
    choices = (choose_option(line, options) if options else label_or_words(line) for line in stated)
    return next((choice for choice in choices if choice), None)


def label_or_words(line: str) -> str | None:
    """The label that a line begins with, `B` for `(B) wet`, or else its words."""
    match = _label(line.strip(_QUOTES + " "))
    return _name(match).upper() if match else first_sentence(line) or None


def read_letter(text: str, phrases: Sequence[str], choices: Mapping[str, str]) -> str | None:
    """The letter of a choice, a to e, in lower case: as the last statement says by letter or by the text of a choice.

    choices: text of each letter, where they are known. A text without a statement: its last letter in brackets.
    """
    found, body = statements_in(text, phrases)
    for statement in reversed(found):
        if letter := _letter_of(statement.text, choices):
            return letter
    if any(not statement.heading for statement in found):
        return None
    letters = _ANY_LETTER.findall(body)
    if letters:
        return letters[-1].lower()
    line = last_line(body) or ""
    return line.strip(" .").lower() if re.fullmatch(r"[A-Ea-e]\.?", line) else None


def _letter_of(line: str, choices: Mapping[str, str]) -> str | None:
    bare = line.strip(_QUOTES + " :")
    if by_text := [name for name, text in choices.items() if plain(text).casefold() == plain(bare).casefold()]:
        return by_text[0]
    before = _BEFORE_LABEL.match(bare)
    start = before.end() if before else 0
    match = _LABEL.match(bare, start) or _SMALL_LABEL.match(bare, start)
    if match and not _name(match).isdigit():
        letter = _name(match).lower()
        said = plain(bare[match.end() :].lstrip(_BEHIND_LABEL)).casefold()
        contradicted = any(plain(text).casefold() == said and name != letter for name, text in choices.items())
        return None if letter not in "abcde" or contradicted or _names_another(bare[match.end() :]) else letter
    bracketed = {letter.lower() for letter in _ANY_LETTER.findall(bare)}
    if bracketed:
        return bracketed.pop() if len(bracketed) == 1 else None
    chosen = choose_option(bare, choices) if choices else None
    return next((name for name, text in choices.items() if text == chosen), None) if chosen else None


def final_line(text: str, phrases: Sequence[str]) -> str | None:
    """What stands behind one of the phrases at the very end of a text; None where something else stands there."""
    tail = behind(text, phrases)
    return tail if tail is not None and text.rstrip().endswith(tail) else None
