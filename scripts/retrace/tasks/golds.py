"""Right answers that are numbers, as rows state them: each is read exactly, or refused with what to write in its place.

A plain unit may follow the number (`6 hours`, `22 (red and green)`). What can be read in two ways (`2,5`, `3:30`), is a
calculation (`2^10`), or holds several numbers (`5 or 6`) is refused.
"""

import re
from fractions import Fraction
from itertools import pairwise

from retrace.errors import UserError
from retrace.text.numbers import Number, decimal_text, exact, numbers_in, plain_signs

LARGEST = Fraction(10) ** 300  # floats, in which the papers' graders compare, end not far above

# As answers were always written for training: digits with their point, as the row has them, without commas and dollar sign.
_PLAIN = re.compile(r"-?\$?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)", re.ASCII)
_ONE_BY_ONE = re.compile(r"####\s*(\d(?: \d)+)\Z", re.ASCII)
_WRAPPED = re.compile(
    r"\$\$?(?P<a>[^$]+)\$\$?|\\\((?P<b>.+)\\\)|\\\[(?P<c>.+)\\\]|\\boxed\s?\{(?P<d>.+)\}|\*\*(?P<e>[^*]+)\*\*"
    r"|`(?P<f>[^`]+)`|\"(?P<g>[^\"]+)\"",
    re.DOTALL,
)
_LATEX_TEXT = re.compile(r"\\(?:text|textrm|mathrm|mbox)\s?\{([^{}]*)\}")
_LATEX_DEGREES = re.compile(r"\^\s?(?:\\circ|\{\\circ\})")
_SQUARE = re.compile(r"(?<=[A-Za-z])(?:\s?\^\s?\{?[23]\}?|[23](?!\w))")  # m^2, cm3
_WORD = re.compile(r"[^\W\d_]+")
_UNIT = re.compile(r"(?:[^\W\d_]|[ ()\[\]/.,&°º%$€£¥₹¢²³'’\"′″-])*")
_BEGINS = re.compile(r"\s?(?:[^\W\d_]|[(\[°º%$€£¥₹¢'’\"′″]|/\s?[^\W\d_])")  # what follows a number with a unit
_AND = re.compile(r"(?:\s[^\W\d_]+)+(?:,| and|,? &)\s")  # between the parts of "1 cracker and 1 cake"

_LETTERS = frozenset("m g s h l L t d p W V A J N C F".split())  # units of one letter; other letters are unknowns
_VALUES = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million "
    "millions billion billions trillion trillions dozen dozens mil mio mn mln bn bil tn lakh lakhs crore crores half "
    "halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth "
    "ninths tenth tenths twelfth twelfths hundredth hundredths thousandth thousandths pi π sqrt frac sin cos tan log ln "
    "exp infinity or to minus plus negative below remainder mod times".split()
)
_POWERS = frozenset("squared cubed factorial".split())  # behind a number, not behind a unit
# Units of which one counts in another: 3 hours and 3 minutes are not 3.
_MEASURES = frozenset(
    "dollar cent euro pound penny pence hour hr minute min second sec day week month year foot feet inch inche yard mile "
    "km meter metre cm mm kilometer centimeter gram kg kilogram ounce oz ton liter litre ml gallon quart pint cup".split()
)


class Unclear(ValueError):
    """An answer that is not surely one number. Its text says why, and what to write in its place."""


class FaultyAnswer(UserError):
    """A row whose final answer cannot be read; its text begins with where the row stands."""


def value_of(text: str) -> Fraction | None:
    """The value of an answer that is one number, with or without a plain unit; None where it holds no digit.

    Raises Unclear for any other.
    """
    written = _bare(text)
    value = exact(written)
    if value is None:
        found = numbers_in(written)
        if not found:
            if not re.search(r"\d", written):
                return None
            raise Unclear(f"{_shown(text)} is not a number; write it in digits, as in 1234.5")
        _check(text, written, found)
        value = found[0].value
    if abs(value) >= LARGEST:
        raise Unclear(f"{_shown(text)} is too large to be graded (1e300 and more); leave the row out")
    return value


def alone(text: str) -> bool:
    """Whether a text is a number, or digits with points and commas that may be one, and nothing else, not even a unit."""
    return exact(_bare(text)) is not None or re.fullmatch(r"-?\d[\d.,]*", text.strip()) is not None


def final_text(text: str, fractions: bool = False) -> str | None:
    """An answer as it is trained on, shown and graded: its digits, or its exact value in decimals (`1/2` is 0.5).

    fractions: the family's graders compare fractions, so that 1/3 may stay one. None where it holds no digit. Raises
    Unclear for what is not surely one number.
    """
    value = value_of(text)
    if value is None:
        return None
    plain = plain_text(text)
    if plain is not None and plain != "-0" and exact(plain) == value:
        return plain
    digits = decimal_text(value)
    if digits is not None:
        return digits
    if fractions:
        return str(value)
    raise Unclear(
        f"{_shown(text)} has no end in decimals, in which this family's graders compare; choose family numeric or math, or "
        "write the decimals that count"
    )


def read_over(text: str, final: str) -> bool:
    """Whether a reader that takes the first digits of a text reads `final`, or reads words; then it may stay as it is."""
    plain = plain_text(text)
    return plain is None or final in (plain, text.strip()) or exact(plain) == exact(final)


def one_by_one(text: str) -> str | None:
    """The digits behind `####` at the end of a text, with single spaces between, as long multiplication writes them."""
    match = _ONE_BY_ONE.search(text.rstrip())
    return match[1] if match else None


def without_marks(words: str) -> str:
    """An answer in words as it is; a number alone loses its commas and its dollar sign."""
    alone = _PLAIN.fullmatch(words) and exact(words) is not None
    return words.replace(",", "").replace("$", "") if alone else words


def plain_text(text: str) -> str | None:
    """The first digits of a text with their point, without commas and dollar sign; None where there are none."""
    found = _PLAIN.search(text)
    return found.group().replace(",", "").replace("$", "") if found else None


def _bare(text: str) -> str:
    """An answer with plain signs, without marks of Markdown or LaTeX around it and inside its unit."""
    written = plain_signs(text).strip()
    while (match := _WRAPPED.fullmatch(written)) or (match := _WRAPPED.fullmatch(written.removesuffix("."))):
        written = next(part for part in match.groups() if part is not None).strip()
    return _LATEX_DEGREES.sub("°", _LATEX_TEXT.sub(r"\1", written)).strip()


def _check(text: str, written: str, found: list[Number]) -> None:
    """Raise Unclear unless `written` is a number with a plain unit, or the same number of several things."""
    first = found[0]
    if re.match(r"[.,]\d", written[first.end :]):
        raise Unclear(
            f"{_shown(text)}: its commas and points can be read in two ways; write it with one point at most, without commas"
        )
    unit = _SQUARE.sub("", written[first.end :])
    if first.start or (numbers_in(unit) and not _same_counts(written, found)):
        raise Unclear(
            f"{_shown(text)} holds more than a number and its unit; write the one number that is right, as in 1234.5"
        )
    unit = re.sub(r"(?<!\w)\d+(?:\.\d+)?", "", unit)  # the same number of another thing
    words = _WORD.findall(unit)
    attached = written[first.end : first.end + 1].isalpha()
    unknown = [word for place, word in enumerate(words) if not _is_unit(word, attached and place == 0)]
    unknown += [word for word in words[:1] if word.casefold() in _POWERS]
    if unknown:
        raise Unclear(
            f"{_shown(text)}: {unknown[0]!r} changes the number, or may; write its value in digits, as in 1234.5"
        )
    if unit.strip(" .") and not (_BEGINS.match(unit) and _UNIT.fullmatch(unit)):
        raise Unclear(f"{_shown(text)} is not one number with its unit; write its value in digits, as in 1234.5")


def _is_unit(word: str, attached: bool) -> bool:
    """Whether a word behind a number leaves its value as it is. attached: without a space between."""
    if len(word) == 1:
        return word in _LETTERS or (word in ("a", "A") and not attached)
    return word.casefold() not in _VALUES


def _same_counts(written: str, found: list[Number]) -> bool:
    """Whether all numbers of an answer are equal but count different things, as in "1 cracker and 1 cake"."""
    gaps = [written[one.end : other.start] for one, other in pairwise(found)]
    things = {word.casefold().removesuffix("s") for word in _WORD.findall(written)}
    return (
        len({number.value for number in found}) == 1
        and all(_AND.fullmatch(gap) for gap in gaps)
        and not things & _MEASURES
    )


def _shown(text: str) -> str:
    short = " ".join(text.split())
    return repr(short if len(short) <= 60 else f"{short[:60]}...")
