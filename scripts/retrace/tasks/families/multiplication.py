"""Long multiplication, digit by digit, as the data of implicit chain of thought has it: read, judged and generated.

How the numbers are written: retrace.tasks.long_multiplication.
"""

import re
from collections.abc import Iterator, Sequence

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks.family import Family, Generator, Wanted
from retrace.tasks.long_multiplication import JOINT, MARKER, WORDS, spaced, value_of
from retrace.tasks.options import TaskConfig

_FACTORS = re.compile(r"(\d(?: \d)*) \* (\d(?: \d)*)")
_DIGITS = re.compile(r"\d(?: \d)*")


def factors_of(question: str) -> tuple[str, str] | None:
    """The two factors as written; None if the text is not a question of this kind."""
    match = _FACTORS.fullmatch(" ".join(question.split()))
    return (match[1], match[2]) if match else None


def check_row(where: str, question: str, final: str, digits: int) -> None:
    """Raise UserError naming `where` for a question or product with another number of digits, or a wrong product."""
    factors = factors_of(question)
    if factors is None:
        raise UserError(
            f"{where}: the question must be two numbers, digit by digit, as '9 5 5 7 * 5 7 1 3' (got {question[:60]!r})"
        )
    for factor in factors:
        if (count := len(factor.split())) != digits:
            raise UserError(f"{where}: the factor '{factor}' has {count} digits, this task's have {digits}")
    if _DIGITS.fullmatch(final) is None or (count := len(final.split())) != 2 * digits:
        raise UserError(
            f"{where}: the product after '{MARKER}' must have {2 * digits} digits with spaces between (got {final[:60]!r})"
        )
    right = value_of(factors[0]) * value_of(factors[1])
    if value_of(final) != right:
        raise UserError(
            f"{where}: the product is '{final}', it should be '{spaced(right, 2 * digits)}' (least significant first)"
        )


def extract_answer(text: str) -> str | None:
    """The text after the first `####` without commas, as in the authors' evaluation; None without one."""
    _, marker, tail = text.partition(MARKER)
    answer = tail.replace(",", "").strip()
    return answer if marker and answer else None


def grade(text: str, gold: str) -> bool:
    """The authors' grader: the same text behind `####`, commas and outer spaces aside."""
    reference = extract_answer(gold)
    if reference is None:
        raise UserError(f"the reference solution has no '{MARKER} digits': {gold[-80:]!r}; mend the data")
    return extract_answer(text) == reference


def grade_strict(text: str, gold: str) -> bool:
    """Right only where the text holds one `####`, and ends in the product's digits with single spaces between."""
    reference = extract_answer(gold)
    if reference is None or _DIGITS.fullmatch(reference) is None:
        raise UserError(f"the reference solution does not end in '{MARKER} digits': {gold[-80:]!r}; mend the data")
    return text.count(MARKER) == 1 and text.rstrip().endswith(f"{MARKER} {reference}")


def _drawn(wanted: Wanted) -> Iterator[Example]:
    if wanted.config.digits is None:
        raise UserError(f"{wanted.where}: digits: the generator needs to know how many a factor has")
    from retrace.tasks import multiplication_pairs  # imports numpy

    count, seed, digits = wanted.count, wanted.seed, wanted.config.digits
    return multiplication_pairs.generate(wanted.split, count, seed, digits, wanted.taken(), **wanted.settings)


class Multiplication(Family):
    """Two numbers are multiplied digit by digit; the delimiter is a plus sign, with none before the answer."""

    name = "multiplication"
    own_keys = frozenset({"digits"})
    generators = (Generator("multiplication", _drawn, streams=True),)
    joint = JOINT
    final_kind = "digits"

    @classmethod
    def fault(cls, config: TaskConfig) -> str | None:
        """A task of this family says how many digits a factor has, and has its delimiter."""
        if config.digits is None:
            return "digits: a task of family multiplication, and no other, says how many a factor has"
        if config.delimiter != "+" or config.calculator:
            return "a multiplication needs `delimiter: +` and `calculator: false`"
        return None

    def body_and_final(self, where: str, solution: str) -> tuple[str, str]:
        """The texts before and after `####`; `check_row` checks them."""
        body, _, tail = solution.partition(MARKER)
        return body.strip(), tail.strip()

    def check_row(self, where: str, question: str, final: str) -> None:
        """Raise UserError for a question or product with another number of digits, or a wrong product."""
        assert self.config.digits is not None  # `fault` sees to it
        check_row(where, question, final, self.config.digits)

    def steps_of(self, body: str, delimiter: str) -> list[str]:
        """The terms of the sum."""
        return [part for part in body.split(JOINT) if part.strip()]

    def join_steps(self, parts: Sequence[str], delimiter: str, answer: str | None) -> str:
        """`step + step #### answer`; without an answer a prefix, which ends in the delimiter if there are steps."""
        if answer is None:
            return super().join_steps(parts, delimiter, None)
        return f"{JOINT.join(parts)} {MARKER} {answer}".strip()

    @property
    def words(self) -> list[str]:
        """Digits, signs, and the words of the task's frame."""
        frame = f"{self.config.prompt} {self.config.answer_prompt}".replace("{question}", " ")
        return [*WORDS, *frame.split()]

    def extract(self, text: str) -> str | None:
        """The text after the first `####`."""
        return extract_answer(text)

    def grade(self, text: str, gold: str) -> bool:
        """The authors' grader."""
        return grade(text, gold)

    def grade_strict(self, text: str, gold: str) -> bool:
        """Whether the text ends in the product's digits."""
        return grade_strict(text, gold)

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str]) -> bool:
        """Whether both are the same digits."""
        return step.split() == reference_step.split()
