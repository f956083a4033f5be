"""The option that a line names: by its label (`(B) wet soil`, `option B`, `B`), or by its text."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from retrace.text.markup import plain_text

# A label is in brackets, or a full stop, a colon, a comma or nothing follows it: "(B) wet", "B) wet", "B."; not "A cat".
_AFTER_LABEL = r"(?=[).:,;!\]]|\s+[-–—]\s|\s+(?:because|since|as|or|and)\b|\s+\(|\s*/|!?$)"
_LABEL = re.compile(rf"[(\[{{](?P<a>[A-Za-z0-9])[)\]}}]|(?P<b>[A-Z0-9]){_AFTER_LABEL}|(?P<c>[a-z])(?=\))")
_SMALL_LABEL = re.compile(rf"(?P<a>[a-e]){_AFTER_LABEL}")
_ANOTHER_LABEL = re.compile(
    r"[)\]}]?\s*\(?(?:or|and|/|&|,|;)\s*(?:(?:or|and)\s+)?[(\[{]?[A-Za-z0-9](?:[)\]}.,]|$|\s+(?:and|or|&)\s)|.*?\([A-Ja-j]\)"
)
_REASON = re.compile(r"\b(?:because|since|as|while|whereas|unlike|rather|not|which|so|but)\b|[.;—–]", re.IGNORECASE)
_BEFORE_LABEL = re.compile(
    r"(?:(?:the|option|choice|letter|answer|correct|is|:|so|thus|therefore|hence|then|my|it is|it's"
    r"|i think|i choose|most likely|likely|probably|clearly|definitely|simply|certainly),?[ \t]+)*"
    r"(?=[(\[{]?[A-Za-z0-9](?!\w))",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\(([A-Ea-e])\)")
_BEHIND_LABEL = " ).:,;-–—]}"
_FULL_WIDTH = str.maketrans("（）［］：。，；！", "()[]:.,;!")  # signs of Chinese and Japanese
_QUOTES = "\"'`*[]"
_AROUND = _QUOTES + "“”‘’«»| "  # what may stand around a stated answer


class Label(NamedTuple):
    """The label at the start of a line, and the text after it."""

    name: str
    rest: str


def plain(words: str) -> str:
    """Words without what surrounds them: quotes, brackets, a full stop, white space."""
    text = " ".join(words.split()).strip(_QUOTES + " ")
    return text.rstrip(".").strip(_QUOTES + " ")


def bare(words: str) -> str:
    """A stated answer without what may stand around it: `plain`, and the quotes and bars of typeset text."""
    return plain(words.strip(_AROUND).rstrip(".").strip(_AROUND))


def label_of(line: str, small: bool = False) -> Label | None:
    """The label with which a line begins: `B` of `(B) wet`, `B. wet`, `option B`; None where it begins otherwise.

    small: whether a small letter alone is one, as behind a phrase.
    """
    line = line.translate(_FULL_WIDTH).strip(_AROUND + ":")
    before = _BEFORE_LABEL.match(line)
    start = before.end() if before else 0
    match = _LABEL.match(line, start) or (_SMALL_LABEL.match(line, start) if small else None)
    return Label(next(name for name in match.groups() if name), line[match.end() :]) if match else None


def choose_option(words: str, options: Mapping[str, str], small: bool = False) -> str | None:
    """The option that `words` name by its text or its label (its own, or A, B, C, ... by place); None for none or two.

    small: whether a small letter alone is a label, as behind a phrase.
    """
    line = plain_text(words).strip(_AROUND)
    wanted = bare(line).casefold()
    texts = {plain(text).casefold(): text for text in options.values()}
    if wanted in texts:
        return texts[wanted]
    if label := label_of(line, small):
        chosen = _by_label(label.name.upper(), options)
        said = _said(label)
        contradicted = said in texts and texts[said] != chosen
        return None if contradicted or _names_another(label) else chosen
    named = [text for key, text in texts.items() if key and re.search(rf"(?<!\w){re.escape(key)}(?!\w)", wanted)]
    # "dark green" names "green" as well; what lies inside a longer one that is named does not count.
    named = [text for text in named if not any(text != other and text in other for other in named)]
    return named[0] if len(named) == 1 else None


def letter_in(line: str, choices: Mapping[str, str]) -> str | None:
    """The letter, a to e, that a statement names, by itself or by the text of its choice; None for none or two."""
    stated = bare(line).casefold()
    texts = {name: plain(text).casefold() for name, text in choices.items()}
    if by_text := [name for name, text in texts.items() if text == stated]:
        return by_text[0]
    label = label_of(line, small=True)
    if label and not label.name.isdigit():
        letter = label.name.lower()
        contradicted = any(text == _said(label) and name != letter for name, text in texts.items())
        return None if letter not in "abcde" or contradicted or _names_another(label) else letter
    bracketed = {letter.lower() for letter in _BRACKETED.findall(line)}
    if bracketed:
        return bracketed.pop() if len(bracketed) == 1 else None
    chosen = choose_option(line, choices) if choices else None
    return next((name for name, text in choices.items() if text == chosen), None) if chosen else None


def _said(label: Label) -> str:
    """The words behind a label."""
    return plain(label.rest.lstrip(_BEHIND_LABEL)).casefold()


def _names_another(label: Label) -> bool:
    """Whether another label follows: `or (b)`, `bank, (b) park`; one in a reason, `since (b) is wet`, is none."""
    return _ANOTHER_LABEL.match(_REASON.split(label.rest.lstrip(")]}"), maxsplit=1)[0]) is not None


def _by_label(label: str, options: Mapping[str, str]) -> str | None:
    if label in options:
        return options[label]
    place = ord(label) - ord("A")
    return list(options.values())[place] if 0 <= place < len(options) else None
