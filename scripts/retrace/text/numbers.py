"""Numbers as people write them, read exactly: `1,200`, `−5`, `12 1/2`, `1.5e3`, `$9{,}500`, `\\frac{1}{2}`, `½`.

Values are fractions, so that nothing is rounded. A percent sign is ignored: 50% is 50, as the data sets have it.
"""

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

MAX_DIGITS = 400  # of a number, written out: more than a float reaches

# Every character is replaced by exactly one, so positions in a text do not change.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒–﹣－", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", "\u202f"),  # spaces that do not break: they may group digits
        **dict.fromkeys("’ʼ‘＇", "'"),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        "，": ",",
        "．": ".",
        "％": "%",
        "＋": "+",
        "＄": "$",
        "⁄": "/",
        "×": "*",
    }
)
_VULGAR = {
    "½": Fraction(1, 2), "⅓": Fraction(1, 3), "⅔": Fraction(2, 3), "¼": Fraction(1, 4), "¾": Fraction(3, 4),
    "⅕": Fraction(1, 5), "⅖": Fraction(2, 5), "⅗": Fraction(3, 5), "⅘": Fraction(4, 5), "⅙": Fraction(1, 6),
    "⅚": Fraction(5, 6), "⅐": Fraction(1, 7), "⅛": Fraction(1, 8), "⅜": Fraction(3, 8), "⅝": Fraction(5, 8),
    "⅞": Fraction(7, 8), "⅑": Fraction(1, 9), "⅒": Fraction(1, 10),
}  # fmt: skip

_CURRENCY = r"(?:(?:US|CA|AU)?\\?\$|[€£¥₹₩]|(?:USD|EUR|GBP|CAD|AUD|INR|Rs\.?)(?![A-Za-z]))"
_BREAK = "\u202f"
# Thousands: by comma (`{,}` in LaTeX), by two as in India, by a space that does not break (`\,` in LaTeX), by an apostrophe.
_GROUPED = (
    r"\d{1,3}(?:,\d{3}){1,140}(?![\d])",
    r"\d{1,3}(?:\{,\}\d{3}){1,140}(?!\d)",
    r"\d{1,2}(?:,\d{2}){1,9},\d{3}(?!\d)",
    rf"\d{{1,3}}(?:(?:{_BREAK}|\\[,!]){{1,2}}\d{{3}}){{1,140}}(?!\d)",
    r"\d{1,3}(?:'\d{3}){1,140}(?!\d)",
)
_SPACED = r"[1-9]\d{0,2}(?: \d{3})+(?!\d)"  # by a plain space: only where nothing else can be meant
_TIMES_TEN = r"\s?(?:\\times|\\cdot|\*|x)\s?10\s?\^\s?"
_EXPONENT = rf"(?:[eE](?P<power>[-+]?\d+)(?![\w.])|{_TIMES_TEN}(?:\{{(?P<powerb>-?\d+)\}}|(?P<powerc>-?\d+)))"


def _number_pattern(spaced: bool) -> str:
    """The pattern of a number: sign, currency, digits with fraction or exponent, percent sign."""
    grouped = [_SPACED, *_GROUPED] if spaced else list(_GROUPED)
    unsigned = rf"(?:(?:{'|'.join(grouped)}|\d+)(?:\.\d+)?|\.\d+)"
    vulgar = f"[{''.join(_VULGAR)}]"
    below = r"(?:\{\s?(?P<above>\d+(?:\.\d+)?)\s?\}\{\s?(?P<below>\d+(?:\.\d+)?)\s?\}|(?P<above1>\d)(?P<below1>\d))"
    return (
        rf"(?P<sign>[-+]?)\s?(?:{_CURRENCY}\s?(?P<sign2>-?)\s?)?(?:"
        rf"(?P<mixed>\d+)?\s?\\[dt]?frac\s?{below}"
        rf"|(?P<mixed2>\d+)?\s?(?P<vulgar>{vulgar})"
        rf"|(?P<mixed3>\d+)[ {_BREAK}](?P<above3>\d+)/(?P<below3>\d+)(?![\d/])"
        rf"|(?P<above4>{unsigned})\s?/\s?(?P<below4>{unsigned})(?![\d/])"
        rf"|(?P<digits>{unsigned}){_EXPONENT}?"
        r")(?:\s?\\?%)?"
    )


# Scripts without spaces between words: a number may follow a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_IN_TEXT = re.compile(rf"(?<![^\W{_UNSPACED}])(?<!\.)(?:(?<![)\]}}])|(?![-+]))" + _number_pattern(spaced=False))
_DIGITS_ALONE = re.compile(r"-?\d{1,300}(?:\.\d{1,100})?", re.ASCII)
_WHOLE = re.compile(_number_pattern(spaced=True))


class Number(NamedTuple):
    """A number in a text: its exact value, and where it stands."""

    value: Fraction
    start: int
    end: int


def plain_signs(text: str) -> str:
    """The text with plain minus signs, digits, apostrophes and spaces for typographic ones; its length stays the same."""
    return text if text.isascii() else text.translate(_PLAIN)


def exact(text: str) -> Fraction | None:
    """The value of a text that is one number and nothing else (a currency and a percent sign aside); None for any other.

    `1,5` is none: it may be a decimal comma or a slip. `5.` is 5.
    """
    written = plain_signs(text).strip()
    if _DIGITS_ALONE.fullmatch(written):  # nearly all are; the other way takes ten times as long
        return Fraction(written)
    match = _WHOLE.fullmatch(written.removesuffix("."))
    return _value(match) if match else None


class WrittenFloat(float):
    """A number in a JSON file that keeps its digits, of which a float has 17 at most: `json.loads(..., parse_float=...)`."""

    def __new__(cls, text: str) -> "WrittenFloat":
        found = super().__new__(cls, text)
        found.text = text
        return found

    text: str

    def __str__(self) -> str:
        shortest = float.__repr__(self)
        return shortest if exact(shortest) == exact(self.text) else self.text

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return WrittenFloat, (self.text,)


def exact_value(value: Any) -> Fraction | None:
    """The value of a number in a file, 0.1 a tenth; None if it is not a number (true, NaN) or has too many digits."""
    if isinstance(value, Decimal):  # of a table
        return exact(str(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return Fraction(value) if abs(value) < 10**MAX_DIGITS else None
    return exact(getattr(value, "text", float.__repr__(value))) if math.isfinite(value) else None


def numbers_in(text: str) -> list[Number]:
    """The numbers of a text in prose, in their order, each read whole.

    A minus sign counts unless it follows something to subtract from. `3/4` is one number; a digit inside a word is none.
    """
    found = []
    signs = plain_signs(text)
    for match in _IN_TEXT.finditer(signs):
        value = _value(match)
        if value is None:
            continue
        if match["sign"] and _subtracts(signs, match):
            found.append(Number(abs(value), match.start() + 1, match.end()))
        else:
            found.append(Number(value, match.start(), match.end()))
    return found


def _subtracts(text: str, match: re.Match[str]) -> bool:
    """Whether the sign before a number stands between two: `20 - 5`, `20 -5`, `what is left - 5`."""
    before = text[max(match.start() - 20, 0) : match.start()].rstrip(" ")
    if not before:
        return False
    apart = text[match.start("sign") + 1].isspace()
    return before[-1].isdigit() or before[-1] in ")]}%" or (apart and before[-1].isalpha())


def number_at_start(text: str) -> Number | None:
    """The number with which a text begins, read whole: `1 200 pens` begins with 1200. None where it begins otherwise."""
    match = _WHOLE.match(plain_signs(text))
    value = _value(match) if match else None
    return Number(value, 0, match.end()) if match and value is not None else None


def decimal_text(value: Fraction) -> str | None:
    """A number in decimal digits, without exponent (`0.5`, `1200`); None where its digits never end, as those of 1/3."""
    rest, digits = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest, count = rest // prime, count + 1
        digits = max(digits, count)
    if rest != 1:
        return None
    whole = str(abs(value.numerator) * 10**digits // value.denominator).rjust(digits + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{whole[:-digits]}.{whole[-digits:]}" if digits else f"{sign}{whole}"


def same_value(found: Fraction, right: Fraction) -> bool:
    """Whether a value is the right one but for the rounding of decimals: by a millionth of it, and never by half a cent."""
    return abs(found - right) <= min(Fraction(1, 10**6) * max(1, abs(right)), Fraction(1, 200), abs(right) / 2 or 1)


def significant(value: Fraction, digits: int = 10) -> Fraction:
    """A value rounded to significant digits, with at least six decimals; an integer is unchanged."""
    if value.denominator == 1:
        return value
    whole = abs(value.numerator) // value.denominator
    zeros = len(str(value.denominator // abs(value.numerator))) - 1  # behind the point, of a value below 1
    return round(value, max(digits - len(str(whole)), 6) if whole else digits + zeros)


def whole_number(line: str, end: int) -> Fraction | None:
    """The value of the number at the start of a line, where it goes on behind its first `end` characters; else None.

    For readers that take digits, points and commas alone: they cut `1/2`, `1e3` and `12 1/2` short.
    """
    if not line[end:].strip():
        return None
    value = exact(line)
    if value is None:
        found = number_at_start(line)
        value = found.value if found is not None and found.end > end else None
    return value if value is not None and value != exact(line[:end]) else None


def _value(match: re.Match[str]) -> Fraction | None:
    """The value of a match; None where it divides by zero or has too many digits."""
    parts = match.groupdict()

    def first(*names: str) -> str | None:
        return next((parts[name] for name in names if parts[name] is not None), None)

    above, below = first("above", "above1", "above3", "above4"), first("below", "below1", "below3", "below4")
    whole = first("mixed", "mixed2", "mixed3")
    if len(whole or "") + len(above or "") + len(below or "") > MAX_DIGITS:
        return None
    if parts["digits"] is not None:
        written = first("power", "powerb", "powerc") or "0"
        power = int(written[:9])  # longer ones are beyond the limit in any case
        if abs(power) + len(parts["digits"]) > MAX_DIGITS:
            return None
        value = _digits(parts["digits"]) * Fraction(10) ** power
    elif parts["vulgar"] is not None:
        value = _VULGAR[parts["vulgar"]]
    else:
        divisor = _digits(below or "")
        if divisor == 0:
            return None
        value = _digits(above or "") / divisor
    value += int(whole or 0)
    return -value if "-" in (parts["sign"], parts["sign2"]) else value


def _digits(text: str) -> Fraction:
    """Digits with their marks of thousands."""
    return Fraction(re.sub(rf"[,{{}}' {_BREAK}\\!]", "", text))
