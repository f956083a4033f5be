"""A small, safe interpreter of the arithmetic language that MathQA's programs are written in.

Assignments of expressions over numbers, with + - * / // % **, unary signs, comparisons, conditional expressions and a
list of named functions. It walks the syntax tree: nothing is ever handed to Python to run, and size, depth, digits
and steps are limited. Loops, functions, attributes, subscripts and imports of anything but math and scipy are refused.
"""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

MAX_CHARACTERS = 20_000
MAX_NODES = 5_000
MAX_DEPTH = 60
MAX_BITS = 4_096  # of a whole number; far above any real answer, and still cheap to compute with
MAX_PLACES = 400  # to round to; beyond them every float is as it was, or 0

Value = int | float | str | None


class ProgramError(Exception):
    """The program is malformed, refused, too large, or fails (division by zero, unknown name)."""


def _checked(value: Any) -> Any:
    """`value` if it is a number of allowed size; complex results and giants are refused."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > MAX_BITS:
        raise ProgramError("a whole number grew too large")
    if not isinstance(value, int | float):
        raise ProgramError(f"a {type(value).__name__} is no number")
    return value


def _power(base: Any, exponent: Any) -> Any:
    # The size of the result is known beforehand, so that 9**9**9 costs nothing.
    whole = isinstance(base, int) and isinstance(exponent, int) and exponent > 0
    if whole and abs(base) > 1 and base.bit_length() * exponent > 2 * MAX_BITS:
        raise ProgramError("a power grew too large")
    return base**exponent


def _factorial(number: Any) -> int:
    if not 0 <= number <= 400:
        raise ProgramError("factorial of a number outside 0..400")
    return math.factorial(int(number))


def _choose(total: Any, chosen: Any, **_: Any) -> Any:
    if total != int(total) or chosen != int(chosen) or abs(total) > 10_000:
        raise ProgramError("binomial of numbers that are not small and whole")
    return math.comb(int(total), int(chosen)) if 0 <= chosen <= total else 0


def _round(value: Any, digits: Any = None) -> Any:
    # Python makes ten to the power of the digits, however small the number is.
    if isinstance(digits, int) and abs(digits) > MAX_PLACES:
        raise ProgramError(f"round to digits outside -{MAX_PLACES}..{MAX_PLACES}")
    return round(value, digits)


def _float(value: Any = 0.0) -> float:
    return float(value)


def _int(value: Any = 0) -> int:
    if isinstance(value, str):
        raise ProgramError("int of a text")
    return int(value)


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "round": _round,
    "int": _int,
    "float": _float,
    "pow": _power,
    "math.factorial": _factorial,
    "math.comb": _choose,
    "math.pow": lambda base, exponent: math.pow(base, exponent),
    "scipy.special.comb": _choose,
    "scipy.lcm": lambda first, second: math.lcm(first, second),
    "math.lcm": lambda first, second: math.lcm(first, second),
    "math.gcd": lambda first, second: math.gcd(first, second),
}
for _name in (
    "sqrt",
    "floor",
    "ceil",
    "log",
    "log2",
    "log10",
    "exp",
    "sin",
    "cos",
    "tan",
    "radians",
    "degrees",
    "fabs",
):
    _FUNCTIONS[f"math.{_name}"] = getattr(math, _name)
_CONSTANTS: dict[str, float] = {f"math.{name}": getattr(math, name) for name in ("pi", "e", "inf", "nan")}
_MODULES = {"math", "scipy", "scipy.special", "numpy"}


class Interpreter:
    """Runs one program and keeps its variables."""

    def __init__(self) -> None:
        self.variables: dict[str, Value] = {}
        self.assigned: list[str] = []
        self._nodes = 0

    def run(self, program: str) -> None:
        """Run `program`. Raises ProgramError for anything outside the language or its limits."""
        for statement in parse(program):
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[*targets], value=value):
                if isinstance(targets[0], ast.Tuple):
                    self._assign_many(targets, value)
                    return
                result = self._value(value, 0)
                for target in targets:
                    self._assign(target, result)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self._value(value, 0))
            case ast.AugAssign(target=ast.Name() as target, op=op, value=value):
                old = self._value(ast.Name(id=target.id, ctx=ast.Load()), 0)
                self._assign(target, self._binary(op, old, self._value(value, 0)))
            case ast.Import(names=names):
                if any(alias.name not in _MODULES or alias.asname for alias in names):
                    raise ProgramError("imports other than math and scipy are refused")
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
                pass
            case ast.Expr(value=value):
                self._value(value, 0)
            case ast.Pass():
                pass
            case _:
                raise ProgramError(f"{type(node).__name__} is not part of the language")

    def _assign_many(self, targets: list[ast.expr], value: ast.expr) -> None:
        names = targets[0].elts if len(targets) == 1 and isinstance(targets[0], ast.Tuple) else []
        if not isinstance(value, ast.Tuple) or len(value.elts) != len(names):
            raise ProgramError("both sides of an assignment need as many parts")
        for name, result in zip(names, [self._value(part, 0) for part in value.elts], strict=True):
            self._assign(name, result)

    def _assign(self, target: ast.expr, value: Value) -> None:
        if not isinstance(target, ast.Name):
            raise ProgramError("only plain names can be assigned")
        self.variables[target.id] = value
        self.assigned.append(target.id)

    def _binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if type(op) not in _BINARY:
            raise ProgramError(f"operator {type(op).__name__} is not part of the language")
        return _guarded(_BINARY[type(op)], _checked(left), _checked(right))

    def _value(self, node: ast.expr, depth: int) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise ProgramError("the program is too large or nested too deeply")
        deeper = depth + 1
        match node:
            case ast.Constant(value=int() | float() | str() | None as value):
                return value if isinstance(value, str) or value is None else _checked(value)
            case ast.Name(id=name):
                if name in self.variables:
                    return self.variables[name]
                raise ProgramError(f"{name} has no value")
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _guarded(_UNARY[type(op)], _checked(self._value(operand, deeper)))
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self._value(left, deeper), self._value(right, deeper))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                values = [_checked(self._value(part, deeper)) for part in [left, *comparators]]
                if any(type(op) not in _COMPARE for op in ops):
                    raise ProgramError("a comparison that is not part of the language")
                return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, values, values[1:], strict=False))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._value(body if self._value(test, deeper) else orelse, deeper)
            case ast.Call(func=function, args=arguments, keywords=keywords):
                name = _dotted(function)
                if name not in _FUNCTIONS or any(key.arg != "exact" for key in keywords):
                    raise ProgramError(f"function {name} is not part of the language")
                return _guarded(_FUNCTIONS[name], *(self._value(argument, deeper) for argument in arguments))
            case ast.Attribute():
                name = _dotted(node)
                if name in _CONSTANTS:
                    return _CONSTANTS[name]
                raise ProgramError(f"{name} is not part of the language")
            case _:
                raise ProgramError(f"{type(node).__name__} is not part of the language")


def _guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return _checked(function(*arguments))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ProgramError(str(error) or type(error).__name__) from None


def _dotted(node: ast.expr) -> str:
    """`math.sqrt` of the syntax tree of `math.sqrt`; empty if the node is not a dotted name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join(reversed([*parts, node.id]))


def parse(program: str) -> list[ast.stmt]:
    """The statements of a program. Raises ProgramError where it is malformed or too large."""
    if len(program) > MAX_CHARACTERS:
        raise ProgramError(f"longer than {MAX_CHARACTERS} characters")
    try:
        return ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ProgramError(f"malformed: {error}") from None
