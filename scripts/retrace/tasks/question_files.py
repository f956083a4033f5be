"""The files of Kojima et al. 2022 (kojima-takeshi188/zero_shot_cot): data sets of one form each.

Each reader takes where a row stands and the row, and gives the question and the answer as text that ends in `#### answer`.
"""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from retrace.errors import UserError
from retrace.tasks import steps
from retrace.text.numbers import decimal_text, exact, exact_value, significant

LETTERS = "abcde"
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}
_COMPUTE: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
CHOICES = re.compile(r"\s*Answer choices:\s*(?=\(a\))")
_LONGEST = 200  # characters of an equation
_WORDS_OF_A_VERDICT = 8  # "Hence, the correct answer is option (A)."


def lettered(choices: list[str]) -> str:
    """Choices in one line: (a) bank (b) library."""
    return " ".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False))


def with_choices(question: str) -> tuple[str, list[str]]:
    """The stem of a question and the texts of its choices, from the one line that `commonsense_qa` makes; no texts for a
    question without choices."""
    stem, *rest = CHOICES.split(question, maxsplit=1)
    if not rest:
        return question, []
    found, left = [], rest[0].removeprefix("(a) ")
    for letter in LETTERS[1:]:
        choice, mark, after = left.partition(f" ({letter}) ")
        if not mark:
            break
        found.append(choice.strip())
        left = after
    return stem, [*found, left.strip()]


def _text(where: str, row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: field {name!r} must be a text (got {str(value)[:40]!r}); mend the row")
    return value.strip()


def right_choice(where: str, row: dict[str, Any]) -> str:
    """The one choice to which BIG-bench's `target_scores` give 1."""
    scores = row.get("target_scores")
    right = [choice for choice, score in scores.items() if score == 1] if isinstance(scores, dict) else []
    if len(right) != 1:
        raise UserError(f"{where}: target_scores must give 1 to exactly one choice (got {str(scores)[:80]})")
    return right[0]


def aqua(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """A word problem with five choices, `A)21`; the lines of its rationale are the steps, but not a last one that names
    the letter."""
    options = row.get("options")
    if not isinstance(options, list) or len(options) != len(LETTERS):
        raise UserError(f"{where}: needs `options`, a list of five texts (got {str(options)[:80]})")
    texts = []
    for letter, option in zip(LETTERS.upper(), options, strict=True):
        if not isinstance(option, str) or not option.startswith(f"{letter})") or not option[2:].strip():
            raise UserError(f"{where}: options must begin with A), B), ... in their order (got {str(option)[:40]!r})")
        texts.append(option[2:].strip())
    correct = row.get("correct")
    if correct not in tuple(LETTERS.upper()):
        raise UserError(f"{where}: field 'correct' must be a letter from A to E (got {str(correct)[:40]!r})")
    lines = [line.strip() for line in _text(where, row, "rationale").splitlines() if line.strip()]
    if len(lines[-1].split()) <= _WORDS_OF_A_VERDICT and re.search(rf"(?<![A-Za-z]){correct}(?![A-Za-z])", lines[-1]):
        lines.pop()
    question = f"{_text(where, row, 'question')} Answer choices: {lettered(texts)}"
    return question, "\n".join([*lines, f"{steps.MARKER} {correct.lower()}"])


def commonsense_qa(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """A question with its choices (a) to (e), and the right one's letter.

    The data has no worked solutions; rows of your own may bring one as `rationale`.
    """
    asked = row.get("question")
    choices = asked.get("choices") if isinstance(asked, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise UserError(f"{where}: needs `question` with `stem` and a list of `choices` of {{label, text}}")
    labels = [str(choice.get("label")) for choice in choices]
    if labels != [letter.upper() for letter in LETTERS[: len(labels)]] or len(labels) < 2:
        raise UserError(f"{where}: the choices' labels must be A, B, ... in their order (got {', '.join(labels)})")
    answer = row.get("answerKey")
    if answer not in labels:
        raise UserError(f"{where}: answerKey {answer!r} is none of {', '.join(labels)}; a question needs its answer")
    texts = [_text(where, choice, "text") for choice in choices]
    question = f"{_text(where, asked, 'stem')} Answer choices: {lettered(texts)}"
    rationale = f"{_text(where, row, 'rationale')}\n" if "rationale" in row else ""
    return question, f"{rationale}{steps.MARKER} {answer.lower()}"


def strategy_qa(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """A yes-or-no question; its worked solution is the facts that the data gives behind the answer."""
    right = right_choice(where, row)
    if right not in ("Yes", "No"):
        raise UserError(f"{where}: target_scores must give 1 to exactly one of Yes and No (got {right!r})")
    target = _text(where, row, "target")
    if not target.startswith(f"{right}. "):
        raise UserError(f"{where}: target must begin with the right answer, '{right}. ' (got {target[:20]!r})")
    return _text(where, row, "input"), f"{target[len(right) + 2 :].strip()}\n{steps.MARKER} {right.lower()}"


def multiarith(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """A word problem with its equation, `X=((32.0+42.0)-35.0)`."""
    equations, solutions = row.get("lEquations"), row.get("lSolutions")
    if not (isinstance(equations, list) and isinstance(solutions, list) and len(equations) == len(solutions) == 1):
        raise UserError(f"{where}: needs exactly one equation in `lEquations` and one number in `lSolutions`")
    equation = str(equations[0]).partition("=")[2]
    return _text(where, row, "sQuestion"), _solution(where, equation, solutions[0])


def one_unknown(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """A word problem with an equation in one unknown, `70-x=27` (AddSub, SingleEq); what solves it are the steps.

    There are none where the equation is no such one, or does not come to the answer, which stands.
    """
    equations, solutions = row.get("lEquations"), row.get("lSolutions")
    if not (isinstance(equations, list) and isinstance(solutions, list) and len(equations) == len(solutions) == 1):
        raise UserError(f"{where}: needs exactly one equation in `lEquations` and one number in `lSolutions`")
    answer = exact(solutions[0]) if isinstance(solutions[0], str) else exact_value(solutions[0])
    final = None if answer is None else decimal_text(answer)
    if answer is None or final is None:
        raise UserError(f"{where}: the answer {solutions[0]!r} is not a number in digits; mend the row")
    lines: list[str] = []
    value = _solved(where, str(equations[0]), lines)
    if value is None or abs(value - answer) > 1e-6:
        lines = []
    return _text(where, row, "sQuestion"), "\n".join([*lines, f"{steps.MARKER} {final}"])


def _solved(where: str, equation: str, lines: list[str]) -> Fraction | None:
    """The value of the unknown, its computation written to `lines`; None where the equation has not exactly one."""
    sides = equation.split("=")
    if len(sides) != 2:
        return None
    trees = [_parsed(where, side) for side in sides]
    unknown = [sum(isinstance(node, ast.Name) for node in ast.walk(tree)) for tree in trees]
    if sorted(unknown) != [0, 1]:
        return None
    node, other = (trees[0], trees[1]) if unknown[0] else (trees[1], trees[0])
    value = _walk(where, other, lines)
    while isinstance(node, ast.BinOp):
        sign, on_left = _OPERATORS.get(type(node.op)), any(isinstance(part, ast.Name) for part in ast.walk(node.left))
        if sign is None:
            return None
        known = _walk(where, node.right if on_left else node.left, lines)
        undone: tuple[Fraction, str, Fraction] = (value, _INVERSE[sign], known)
        if not on_left and sign in "-/":
            undone = (known, sign, value)
        if undone[1] == "/" and undone[2] == 0:
            return None
        value = _COMPUTE[undone[1]](undone[0], undone[2])
        lines.append(f"<<{_plain(undone[0])}{undone[1]}{_plain(undone[2])}={_plain(value)}>>")
        node = node.left if on_left else node.right
    return value if isinstance(node, ast.Name) else None


def svamp(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """A word problem in two parts with its equation, `( 76.0 - 25.0 )`.

    The first part ends in a full stop, also where the data has none, as in Learn-to-Reason's preprocessors.py.
    """
    body = _text(where, row, "Body")
    question = f"{body if body.endswith('.') else f'{body}.'} {_text(where, row, 'Question')}"
    return question, _solution(where, _text(where, row, "Equation"), row.get("Answer"))


def _solution(where: str, equation: str, answer: Any) -> str:
    """The equation's operations as steps `<<32+42=74>>`; none where it does not come to the answer, which stands."""
    right = exact_value(answer)
    if right is None:
        raise UserError(f"{where}: the answer {answer!r} is not a number; mend the row")
    lines: list[str] = []
    value = _walk(where, _parsed(where, equation), lines)
    if abs(value - right) > 1e-6:
        lines = []
    return "\n".join([*lines, f"{steps.MARKER} {decimal_text(right)}"])


def _parsed(where: str, equation: str) -> ast.expr:
    try:
        if len(equation) > _LONGEST:
            raise ValueError
        return ast.parse(equation.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UserError(f"{where}: {equation[:60]!r} is no equation of numbers with + - * /; mend the row") from None


def _walk(where: str, node: ast.expr, lines: list[str]) -> Fraction:
    """The value of a parsed equation, its operations written to `lines` from the inside out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        value = exact_value(node.value)
        if value is None:
            raise UserError(f"{where}: the equation holds a number with too many digits; mend the row")
        return value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _walk(where, node.left, lines), _walk(where, node.right, lines)
        sign = _OPERATORS[type(node.op)]
        if sign == "/" and right == 0:
            raise UserError(f"{where}: the equation divides by zero; mend the row")
        value = _COMPUTE[sign](left, right)
        lines.append(f"<<{_plain(left)}{sign}{_plain(right)}={_plain(value)}>>")
        return value
    raise UserError(f"{where}: an equation may hold numbers and + - * / only; mend the row")


def _plain(value: Fraction) -> str:
    return decimal_text(significant(value)) or str(value)
