"""A safe evaluator of arithmetic in solutions.

`eval` is never used: expressions are parsed and their tree is walked, with limits on length, nesting
and size, so that `9**9**9` costs nothing. (GRACE and DPO-ST evaluate model text with `eval`.)
"""

import ast
import math
import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

MAX_CHARACTERS = 200
MAX_DEPTH = 40
MAX_BITS = 1024  # of an exact integer on the way: 308 decimal digits, as many as a float reaches
MAX_RESULT = 1e18  # of what is written into a solution

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_EXPRESSION_CHARACTERS = frozenset("0123456789*+-/.() \t")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ADJACENT = re.compile(r"[\d.]\s+[\d.]")


class ArithmeticLimit(ArithmeticError):
    """An expression that is too long, too deep or too large."""


def walk(expression: str) -> int | float | complex:
    """The value of an arithmetic expression; raises as Python would, or ArithmeticLimit for a bomb."""
    if len(expression) > MAX_CHARACTERS:
        raise ArithmeticLimit(f"{len(expression)} characters; at most {MAX_CHARACTERS} are read")
    try:
        tree = ast.parse(expression.lstrip(" \t"), mode="eval")
    except (MemoryError, RecursionError):
        raise ArithmeticLimit("nested too deep") from None
    return _value(tree.body, 0)


def _value(node: ast.AST, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ArithmeticLimit(f"nested deeper than {MAX_DEPTH}")
    if isinstance(node, ast.Constant):
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return _checked(node.value)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, depth + 1), _value(node.right, depth + 1)
        if isinstance(node.op, ast.Pow):
            _check_power(left, right)
        return _checked(_OPERATORS[type(node.op)](left, right))
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.operand, depth + 1))
    raise TypeError(f"no arithmetic: {type(node).__name__}")


def _checked(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ArithmeticLimit(f"a number of {value.bit_length()} bits; at most {MAX_BITS} are held")
    return value


def _check_power(base: Any, exponent: Any) -> None:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(base) > 1 and abs(exponent) * abs(base).bit_length() > 2 * MAX_BITS:
        raise ArithmeticLimit(f"{base}**{exponent} is too large")


@lru_cache(maxsize=65536)
def evaluate(expression: str) -> int | float | None:
    """The value of plain arithmetic (`+ - * / // **`, brackets, spaces, `1,000`), or None.

    None: anything that is no arithmetic, division by zero, overflow, a result that is no real number or beyond
    1e18, and bombs such as `9**9**9`, 10,000 digits or deep nesting.
    """
    text = _THOUSANDS.sub("", expression.strip())
    if not text or not set(text) <= _EXPRESSION_CHARACTERS or _ADJACENT.search(text):
        return None
    try:
        value = walk(text)
    except (ArithmeticError, SyntaxError, TypeError, ValueError):
        return None
    return value if isinstance(value, int | float) and abs(value) <= MAX_RESULT else None


def format_number(value: int | float) -> str:
    """A result as solutions write it: `24`, `0.5`, `12.125`, `3.33`.

    Whole values without a point; up to four decimals where they are exact, two otherwise, and for small values as
    many as show two digits. Never an exponent, never '-0'.
    """
    if isinstance(value, float) and abs(value - round(value)) < 1e-9 * max(1.0, abs(value)):
        value = round(value)
    if isinstance(value, int):
        return str(value)
    for decimals in range(1, 5):
        if abs(value - round(value, decimals)) < 1e-9 * max(1.0, abs(value)):
            return f"{value:.{decimals}f}"
    decimals = 2 if abs(value) >= 0.1 else 1 - math.floor(math.log10(abs(value)))
    text = f"{value:.{min(decimals, 12)}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
