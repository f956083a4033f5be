"""The calculators of GRACE and DPO-ST with their defects, which no option of ours gives; their vectors say what they do.

They give the text of a model to Python's `eval`. Here its tree is walked instead, as far as the vectors reach.
"""

import ast
import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal

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
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (abs, bool, float, int, len, max, min, round, sum)
}
_CHARACTERS = frozenset("0123456789*+-/.()")
_ERRORS = (ArithmeticError, SyntaxError, TypeError, ValueError, NameError)


def python_value(expression: str) -> Any:
    """What Python's `eval` gives for arithmetic, literals and calls of a few built-in functions; raises as it does."""
    return _value(ast.parse(expression.lstrip(" \t"), mode="eval").body)


def _value(node: ast.AST) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.BinOp():
            return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
        case ast.UnaryOp():
            return _OPERATORS[type(node.op)](_value(node.operand))
        case ast.Tuple():
            return tuple(map(_value, node.elts))
        case ast.List():
            return list(map(_value, node.elts))
        case ast.Name() if node.id in _FUNCTIONS:
            return _FUNCTIONS[node.id]
        case ast.Name():
            raise NameError(f"name {node.id!r} is not defined")
        case ast.Call():
            function = _value(node.func)
            if function not in _FUNCTIONS.values():
                raise TypeError(f"{type(function).__name__!r} object is not callable")
            return function(*map(_value, node.args))
    raise TypeError(f"no arithmetic: {type(node).__name__}")


def grace_calculator(text: str, version: Literal["data_utils", "sampling_utils"]) -> Any:
    """GRACE's `use_calculator`: the value of the last computation in `text`, or None.

    Args:
        text: written so far.
        version: which of the two helper files; `data_utils` fires again behind '>>'.
    """
    if "<<" not in text:
        return None
    tail = text.rpartition("<<")[2]
    if "=" not in tail or (version == "sampling_utils" and ">>" in tail):
        return None
    expression = tail.partition("=")[0].replace(",", "").strip()
    if not set(expression) <= _CHARACTERS:
        return None
    try:
        return python_value(expression)
    except _ERRORS:
        return None


def dpo_st_tool(expression: str) -> str:
    """DPO-ST's `tool_fn`: two decimals with Python's float text ('20.0', '-0.0'), any value that converts."""
    value = float(python_value(expression))
    return str(int(value)) if abs(int(value) - value) < 0.0001 else str(round(value, 2))


def dpo_st_forced(
    ids: Sequence[int],
    pieces: Sequence[str],
    encode: Callable[[str], list[int]],
    close_id: int,
    special_ids: Sequence[int] = (),
) -> int | None:
    """DPO-ST's `CustomLogitsProcessor`: the token that is forced behind `ids`, or None.

    Args:
        ids: one sequence so far.
        pieces: text of each id, '▁' for a space.
        encode: text to ids.
        close_id: of ']'.
        special_ids: behind which nothing is forced.

    Raises:
        IndexError: what was written is longer than the result, and no end of it.
    """
    if not ids or ids[-1] in special_ids:
        return None
    equals = start = None
    for index in range(len(ids) - 1, -1, -1):
        piece = pieces[ids[index]]
        if piece == "]":
            return None
        if piece == "▁=":
            equals = index
        elif piece == "▁[" and equals is not None:
            start = index
            break
    if equals is None or start is None:
        return None
    expression = "".join(pieces[token] for token in ids[start + 1 : equals]).replace("▁", " ")
    try:
        target = encode(dpo_st_tool(expression))
    except _ERRORS:
        return None
    if list(ids[-len(target) :]) == target:
        return close_id
    if pieces[ids[-1]] == "▁=":
        return target[0]
    return target[len(ids) - 1 - equals]
