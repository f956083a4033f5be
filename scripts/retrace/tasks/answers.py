"""Final answers in free text: found behind a phrase, read as a number, an option or words, and compared."""

import re
from collections.abc import Sequence
from typing import Literal

Kind = Literal["numeric", "multiple_choice", "exact_match", "math"]

_NUMBER = re.compile(r"(?<![\w.])(-?)\s?\$?\s?(-?)((?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)")
# A label is in brackets, or a full stop, a colon or nothing follows it: "(B) wet", "B) wet", "B.", "B"; not "A cat".
_LABEL = re.compile(r"\(([A-Za-z0-9])\)|([A-Z0-9])(?=[).:]|$)")
_OPTION = re.compile(r"^\(([^()\s]+)\) (.+)$", re.MULTILINE)
_QUOTES = "\"'`*[]"


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


def numbers_in(text: str) -> list[float]:
    """All numbers, read whole: 1,200 is 1200, $5 is 5, a minus sign counts unless something stands before it."""
    return [
        (-1 if "-" in first + second else 1) * float(digits.replace(",", ""))
        for first, second, digits in _NUMBER.findall(text)
    ]


def shown(value: float) -> str:
    """A number as an answer: 5 for 5.0."""
    return f"{value:.10g}"


def read_number(text: str, phrases: Sequence[str]) -> str | None:
    """The number behind the phrase (behind its last '=' where it computes), else the text's last number."""
    tail = behind(text, phrases)
    if tail:
        found = numbers_in(tail.rpartition("=")[2])
        if found:
            return shown(found[0])
    found = numbers_in(text)
    return shown(found[-1]) if found else None


def read_words(text: str, phrases: Sequence[str]) -> str | None:
    """The words behind the phrase, else the last line."""
    tail = behind(text, phrases)
    words = plain(tail if tail is not None else (last_line(text) or ""))
    return words or None


def options_of(reference: str) -> dict[str, str]:
    """Label and text of each option in a reference, whose lines before '####' are `(A) text`."""
    return dict(_OPTION.findall(reference.partition("####")[0]))


def choose_option(words: str, options: dict[str, str]) -> str | None:
    """The option that `words` name by its text or its label (its own, or A, B, C, ... by place); None for none or two."""
    wanted = plain(words).casefold()
    texts = {plain(text).casefold(): text for text in options.values()}
    if wanted in texts:
        return texts[wanted]
    if match := _LABEL.match(words.strip(_QUOTES + " ")):
        label = (match[1] or match[2]).upper()
        if label in options:
            return options[label]
        place = ord(label) - ord("A")
        if 0 <= place < len(options):
            return list(options.values())[place]
    named = [text for key, text in texts.items() if key and re.search(rf"(?<!\w){re.escape(key)}(?!\w)", wanted)]
    # "dark green" names "green" as well; what lies inside a longer one that is named does not count.
    named = [text for text in named if not any(text != other and text in other for other in named)]
    return named[0] if len(named) == 1 else None


def read_option(text: str, phrases: Sequence[str], options: dict[str, str]) -> str | None:
    """The text of the option behind the phrase, else of the one that the last line names.

    Without known options: the label behind the phrase, else the words.
    """
    tail = behind(text, phrases)
    line = tail if tail is not None else last_line(text)
    if line is None:
        return None
    return choose_option(line, options) if options else label_or_words(line)


def label_or_words(line: str) -> str | None:
    """The label that a line begins with, `B` for `(B) wet`, or else its words."""
    match = _LABEL.match(line.strip(_QUOTES + " "))
    return (match[1] or match[2]).upper() if match else plain(line) or None


def same_number(found: str | None, right: str) -> bool:
    """Whether two answers are numbers that differ by less than 1e-4 (relative above 1)."""
    ours, theirs = numbers_in(found or ""), numbers_in(right)
    return bool(ours and theirs) and abs(ours[0] - theirs[0]) < 1e-4 * max(1.0, abs(theirs[0]))


def same_words(found: str | None, right: str) -> bool:
    """Whether two answers are the same words, whatever their case, quotes and full stop."""
    return found is not None and plain(found).casefold() == plain(right).casefold()


def only_number(text: str) -> bool:
    """Whether a text is a number and nothing else, a percent sign and a full stop aside."""
    return _NUMBER.fullmatch(plain(text).rstrip("%").strip()) is not None


def final_line(text: str, phrases: Sequence[str]) -> str | None:
    """What stands behind one of the phrases at the very end of a text; None where something else stands there."""
    tail = behind(text, phrases)
    return tail if tail is not None and text.rstrip().endswith(tail) else None
