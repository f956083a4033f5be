"""A safe and exact evaluator of arithmetic in solutions.

`eval` is never used: expressions are parsed and their tree is walked, with limits on length, nesting
and size, so that `9**9**9` costs nothing. (GRACE and DPO-ST evaluate model text with `eval`.)

Values are integers and fractions, so no cent is lost. Floats are used where there is no exact fraction, as for
2**0.5, or where it would have more than a thousand bits, as for compound interest over 360 months.
"""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

MAX_CHARACTERS = 200
MAX_DEPTH = 40
MAX_BITS = 1024  # of an exact integer on the way: 308 decimal digits, as many as a float reaches
MAX_RESULT = 10**18  # of what is written into a solution
MAX_DECIMALS = 12

Value = int | Fraction | float


def _divide(left: Value, right: Value) -> Value:
    both_whole = isinstance(left, int) and isinstance(right, int)
    return Fraction(left, right) if both_whole else left / right


def _power(base: Value, exponent: Value) -> Value:
    """A power; a float if it is not a fraction or needs too many bits."""
    if isinstance(base, Fraction) and base.denominator == 1:
        base = base.numerator
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        exponent = exponent.numerator
    if isinstance(exponent, int) and not isinstance(base, float):
        bits = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
        if abs(exponent) * bits <= 2 * MAX_BITS or abs(base) <= 1 == base.denominator:
            return Fraction(base) ** exponent if exponent < 0 else base**exponent
        if isinstance(base, int):
            raise ArithmeticLimit(f"{base}**{exponent} is too large")
    found = float(base) ** float(exponent)
    if isinstance(found, complex):
        raise ArithmeticLimit(f"{base}**{exponent} is not a real number")
    return found


_OPERATORS: dict[type[ast.AST], Callable[..., Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_EXPRESSION_CHARACTERS = frozenset("0123456789*+-/.() \t")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ADJACENT = re.compile(r"[\d.]\s+[\d.]")


class ArithmeticLimit(ArithmeticError):
    """An expression that is too long, too deep or too large, or whose value is not a real number."""


def walk(expression: str) -> Value:
    """The value of an arithmetic expression; raises as Python would, or ArithmeticLimit for a bomb."""
    if len(expression) > MAX_CHARACTERS:
        raise ArithmeticLimit(f"{len(expression)} characters; at most {MAX_CHARACTERS} are read")
    text = expression.lstrip(" \t")
    try:
        tree = ast.parse(text, mode="eval")
    except (MemoryError, RecursionError):
        raise ArithmeticLimit("nested too deep") from None
    return _value(tree.body, text, 0)


def _value(node: ast.AST, text: str, depth: int) -> Value:
    if depth > MAX_DEPTH:
        raise ArithmeticLimit(f"nested deeper than {MAX_DEPTH}")
    if isinstance(node, ast.Constant):
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return _checked(_literal(node, text) if isinstance(node.value, float) else node.value)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, text, depth + 1), _value(node.right, text, depth + 1)
        return _checked(_OPERATORS[type(node.op)](left, right))
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.operand, text, depth + 1))
    raise TypeError(f"no arithmetic: {type(node).__name__}")


def _literal(node: ast.Constant, text: str) -> Value:
    """The value of a number with a point as it is written, of which a float may hold less."""
    written = text[node.col_offset : node.end_col_offset] if node.lineno == 1 and text.isascii() else ""
    digits = written.replace(".", "", 1)
    if digits.isdigit():
        return Fraction(int(digits), 10 ** (len(digits) - written.index(".")))
    return node.value  # with an exponent; `evaluate` reads none


def _checked(value: Value) -> Value:
    """The value; a whole fraction as a whole number, one of too many bits as a float."""
    if isinstance(value, Fraction):
        if value.denominator == 1:
            value = value.numerator
        elif max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
            return float(value)
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ArithmeticLimit(f"a number of {value.bit_length()} bits; at most {MAX_BITS} are held")
    return value


@lru_cache(maxsize=65536)
def evaluate(expression: str) -> Value | None:
    """The value of plain arithmetic (`+ - * / // **`, brackets, spaces, `1,000`), or None.

    None: anything that is not arithmetic, division by zero, overflow, a result that is not a real number or beyond
    1e18, and bombs such as `9**9**9`, 10,000 digits or deep nesting.
    """
    text = _THOUSANDS.sub("", expression.strip())
    if not text or not set(text) <= _EXPRESSION_CHARACTERS or _ADJACENT.search(text):
        return None
    try:
        value = walk(text)
    except (ArithmeticError, SyntaxError, TypeError, ValueError):
        return None
    return value if abs(value) <= MAX_RESULT else None


def format_number(value: Value) -> str:
    """A result as solutions write it: `24`, `0.5`, `12.125`, `3.33`.

    Whole values without a point; up to four decimals where they are exact, two otherwise, and for small values as
    many as show two digits, twelve at most. Halves are rounded away from zero. Never an exponent, never '-0'.
    A float counts with the fifteen digits that it holds for sure: 0.1 + 0.2 is 0.3.
    """
    if isinstance(value, float):
        value = Fraction(f"{value:.15g}")
    if value.denominator == 1:
        return str(value.numerator)
    decimals = 4 if 10**4 % value.denominator == 0 else 2
    while decimals < MAX_DECIMALS and abs(value.numerator) * 10 ** (decimals - 1) < value.denominator:
        decimals += 1
    # Rounded to this many decimals, halves away from zero, without trailing zeros.
    scaled = (2 * abs(value.numerator) * 10**decimals + value.denominator) // (2 * value.denominator)
    whole, rest = divmod(scaled, 10**decimals)
    text = f"{whole}.{rest:0{decimals}d}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 and scaled else text
