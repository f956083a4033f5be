"""The number that a statement states: `$1,200.50`, `3*6 = 18`, `18 (since 18/2=9)`, `Tom has 18 pens`.

A range, a list, a time and a calculation without its result state none.
"""

import re
from fractions import Fraction

from retrace.text.numbers import Number, number_at_start, numbers_in, plain_signs

_FILLER = re.compile(  # before the number: `about 18`, `= 18`, `x = 18`
    r"(?:[\s:=≈~→>(\[\"“”'‘*_|`]"
    r"|(?:approximately|approx\.?|about|around|roughly|nearly|exactly|just|only|equal to|equals?|that|simply|still|therefore"
    r"|thus|then|indeed|a total of|in total|be|is)(?![\w'])[,:]?"
    r"|[A-Za-z]\w{0,3}(?:\([A-Za-z]\))?\s?=(?!=))+",
    re.IGNORECASE,
)
_UNIT = r"(?:[A-Za-z%°²³$€£¥]+(?:/[A-Za-z]+)?\s?){0,3}"
_OPERATOR = re.compile(
    rf"\s?{_UNIT}(?:[=≈]|[-+*/x÷·^]\s?[-($€£¥]*\s?\.?\d|\)\s?[-+*/x÷=])|\s?\*?\s?(?:π|√|(?:pi|sqrt)\b)|\^[{{(]",
    re.IGNORECASE,
)
_CALCULATION = re.compile(r"[\d\s().,*/+x÷·^!$€£¥%-]*[=≈]", re.IGNORECASE)
_BETWEEN = re.compile(r"\b(?:between|from)\s+\S*\d", re.IGNORECASE)
_CHOICE = re.compile(
    rf"\s?(?:(?:or|to|and|&|;|,|through)\s?(?:[A-Za-z]\s?=)?\s?[-$€£¥]?\.?\d|{_UNIT}\bor\s[-$€£¥]?\.?\d)", re.IGNORECASE
)
_GLUED = re.compile(r"[:.,'/_^]\d|(?:-|–)\d")
_HALF = re.compile(r"\s?and (?:a|one) half\b", re.IGNORECASE)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "k": 3, "m": 6, "b": 9, "bn": 9}
_SCALE = re.compile(r"\s?(hundred|thousand|million|billion|trillion)\b(?!-|\s?dollar bill)", re.IGNORECASE)
_SCALE_OF_MONEY = re.compile(r"(k|M|m|B|bn)(?!\w)", re.IGNORECASE)  # $20k; 20k alone may be a race
_SHARE = re.compile(r"(?:(?<=%)|\s?per\s?cent\b)\s?of\s(?:the\s)?[$€£¥]?\.?\d", re.IGNORECASE)
_PART_OF = re.compile(r"\b(?:half|twice|double|triple|thrice|third|quarter)(?:\s+of)?\s+(?:the\s+)?\Z", re.IGNORECASE)
# Two units of one measure: `1 hour and 30 minutes` is neither 1 nor 30.
_TWO_UNITS = re.compile(
    r"\s?(?:(?:hours?|hrs?|h)\b[ ,]*(?:and )?\d+ ?(?:min|sec|m\b)|h\d|(?:minutes?|mins?)\b[ ,]*(?:and )?\d+ ?sec"
    r"|(?:feet|foot|ft)\b[ ,]*(?:and )?\d+ ?in(?:ch|\b)|dollars?\b[ ,]*(?:and )?\d+ ?cent"
    r"|(?:pounds?|lbs?)\b[ ,]*(?:and )?\d+ ?(?:ounce|oz\b)|years?\b[ ,]*(?:and )?\d+ ?(?:month|week|day)"
    r"|months?\b[ ,]*(?:and )?\d+ ?(?:week|day)|weeks?\b[ ,]*(?:and )?\d+ ?day"
    r"|days?\b[ ,]*(?:and )?\d+ ?h(?:ou)?rs?)",
    re.IGNORECASE,
)
_AND_FRACTION = re.compile(r"(\d) and (\d+/\d+)")
_BLANKS = re.compile(r"[ \t]{2,}")  # around \text{ or }
# An aside at a text's end, behind a number: `2.5 hours (2 hours and 30 minutes).`
_LAST_ASIDE = re.compile(r"(?<=[^\s(])[ ]?\([^()=≈\n]{1,80}\)[ .!]*\Z")
_UNIT_POWER = re.compile(r"(?<=[A-Za-z])\^\{?[23]\}?")
_MINUS = re.compile(r"(?<![\d)\]] )\b(?:minus|negative)\s+(?=[$€£¥]?\.?\d)", re.IGNORECASE)
_REASON = re.compile(
    r"\s(?:\(?(?:since|because|as|so|where|from|which means)\b)|;|\s\([^()=]*[A-Za-z]{2}", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_SENTENCE_OR_LINE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])|\n")
_RESULT = re.compile(r"[=≈]\s*(?=[-+]?\s?[$€£¥]?\s?-?\.?\d)")
_NOT = re.compile(r"\s*(?:not\b|n't\b|unclear\b|undetermined\b)", re.IGNORECASE)
_BUT = re.compile(r"\b(?:but|it is|it's)\b(?: rather| actually)?", re.IGNORECASE)
_COMES_TO = re.compile(
    r"(?:\b(?:is|are|equals?|equal to|total(?:s|ing)?(?: of)?|sum of|comes to|makes|leaves|gives|costs|i\.e\.,?)|[=:≈])"
    r"\s*(?:(?:about|approximately|exactly|only|just|a total of|then|still)\s+)*(?=[-+(]?\s?[$€£¥]?\s?-?\.?\d)",
    re.IGNORECASE,
)


class Refused(Exception):
    """A statement says that the answer is not what it names."""


def stated_number(text: str) -> Fraction | None:
    """The number that a statement states, None where it states none. Raises Refused for `not 5`."""
    text = _BLANKS.sub(" ", text)
    line = _MINUS.sub("-", _UNIT_POWER.sub("", _AND_FRACTION.sub(r"\1 \2", plain_signs(text))))
    if denied := _NOT.match(line):
        instead = _BUT.search(line, denied.end())
        if not instead:
            raise Refused
        return stated_number(line[instead.end() :])
    start = _FILLER.match(line)
    begun = line[start.end() if start else 0 :]
    first = number_at_start(begun)
    if first is not None:
        return _value_of(begun, first)
    sentence = next((part for part in _SENTENCE_END.split(line) if numbers_in(part)), "")
    return _in_sentence(sentence)


def concluding_number(text: str) -> Fraction | None:
    """The number with which a text ends that states its answer nowhere; None where there is none but in 10:30 or 12,34.

    It is the last one, but where the last sentence names several (`18 pens for 3 bags`), the one that the last calculation
    came to. A line with the calculator's notes is in the project's own form: there the last number counts.
    """
    signs = plain_signs(text)
    found = [number for number in numbers_in(text) if not _in_longer_digits(signs, number)]
    if not found:
        return None
    last = found[-1]
    if "<<" in text and "\n" not in text.strip():
        return _scaled(signs, last)
    starts = [match.end() for match in _SENTENCE_OR_LINE.finditer(signs, 0, last.start)]
    start = starts[-1] if starts else 0
    if aside := _LAST_ASIDE.search(signs, start):
        found = [number for number in found if number.start < aside.start()]
        if not found or found[-1].start < start:
            return _scaled(signs, last)
        last = found[-1]
    sentence = [number.value for number in found if number.start >= start]
    results = [match.end() for match in _RESULT.finditer(signs)]
    if results and len(set(sentence)) > 1:
        result = number_at_start(signs[results[-1] :])
        if result and result.value in sentence and not _OPERATOR.match(signs[results[-1] + result.end :]):
            return _scaled(signs[results[-1] :], result)
    return _scaled(signs, last)


def _in_longer_digits(text: str, number: Number) -> bool:
    """Whether a number is a part of a time, a list without blanks or the like: 10:30, 1.2.3, 12,34."""
    before, behind = text[max(number.start - 2, 0) : number.start], text[number.end : number.end + 2]
    return bool(re.search(r"\d[:.,]\Z", before) or re.match(r"[:.,]\d", behind))


def _scaled(text: str, number: Number) -> Fraction:
    """The value of a number with the word of scale behind it: `1.5 million`, `$20k`."""
    scale = _SCALE.match(text, number.end)
    if scale is None and re.search(r"[$€£¥]", text[number.start : number.end]):
        scale = _SCALE_OF_MONEY.match(text, number.end)
    return number.value * 10 ** _SCALES[scale[1].lower()] if scale else number.value


def _value_of(line: str, first: Number) -> Fraction | None:
    """The value of a line that begins with a number."""
    rest = line[first.end :]
    if half := _HALF.match(rest):
        return first.value + Fraction(1, 2) if not _OPERATOR.match(rest[half.end() :]) else None
    if _CHOICE.match(rest) or _TWO_UNITS.match(rest):
        return None
    if _SHARE.match(line, first.end):  # 50% of 36 = 18; 50% of 36, which is 18
        value = _of_equation(line)
        return _behind_result(_SENTENCE_END.split(line)[0]) if value is None else value
    if _OPERATOR.match(rest) or _CALCULATION.match(rest):
        return _of_equation(line)
    return None if _GLUED.match(rest) else _scaled(line, first)


def _of_equation(line: str) -> Fraction | None:
    """The value of `3*6 = 18` or `18 = 3*6`; None for a calculation without its result."""
    clause = _SENTENCE_END.split(line)[0]
    reason = _REASON.search(clause)
    sides = re.split(r"[=≈]", clause[: reason.start()] if reason else clause)
    if len(sides) < 2:
        return None
    for side in (sides[-1], sides[0]):
        start = _FILLER.match(side)
        bare = side[start.end() if start else 0 :]
        number = number_at_start(bare)
        rest = bare[number.end :] if number else ""
        if number and not (_OPERATOR.match(rest) or _GLUED.match(rest) or _CHOICE.match(rest)):
            return _scaled(bare, number)
    return None


def _in_sentence(sentence: str) -> Fraction | None:
    """The number of a sentence that does not begin with it: behind what says that it is the result, else the first."""
    if _BETWEEN.search(sentence):
        return None
    if _COMES_TO.search(sentence):
        return _behind_result(sentence)
    found = [number for number in numbers_in(sentence) if not _GLUED.match(sentence[number.end :])]
    if not found or _in_longer_digits(sentence, found[0]):
        return None
    before, behind = sentence[: found[0].start], sentence[found[0].end :]
    if (
        _PART_OF.search(before)
        or re.search(r"[/*^√]\s?\Z", before)
        or _OPERATOR.match(behind)
        or _TWO_UNITS.match(behind)
    ):
        return None
    return _scaled(sentence, found[0])


def _behind_result(sentence: str) -> Fraction | None:
    """The number after the last phrase that announces a result, `which is 18`; None if there is none."""
    places = [match.end() for match in _COMES_TO.finditer(sentence)]
    begun = sentence[places[-1] :].lstrip("( ") if places else ""
    number = number_at_start(begun)
    return _value_of(begun, number) if number else None
