"""Word problems in the text forms of DPO-ST (arXiv 2407.18248; TianduoWang/DPO-ST@e50bce7, data_module.py).

Encoder-decoder models read the bare question and write one line, with spaces around signs, because T5 has no `<`:

    Tom has 48 / 2 = [ 48 / 2 = 24] 24 pens. He buys 7 more, so 24 + 7 = [ 24 + 7 = 31] 31. #### 31

Decoder-only models read an instruction and write the reference as it is, `<<48/2=24>>` and line breaks included.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import steps
from retrace.tasks.base import Task
from retrace.tasks.families.word_problems import WordProblems
from retrace.tasks.forms import Form, register
from retrace.tasks.options import TaskConfig
from retrace.text.numbers import decimal_text, plain_signs, whole_number

INSTRUCTION = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{question}\n\n### Response:\n"
)
INVALID = "[invalid]"

# Applied in this order, each to the whole text. The colon of a ratio is not changed (`1:2` does not match `\D:\d`).
_REWRITES = [
    (re.compile(r"<<\d+=\d+>>"), ""),
    (re.compile(r"(\D):(\d)"), r"\1: \2"),
    (re.compile(r"<<"), "[ "),
    (re.compile(r">>"), "] "),
    (re.compile(r"\$(\S)"), r"$ \1"),
    *((re.compile(rf"(\S){re.escape(sign)}(\S)"), rf"\1 {sign} \2") for sign in "+-*/="),
]
_ANSWER = re.compile(r"#+ (-?[0-9.,]+)")
_SENTENCE_END = re.compile(r"(?<=\.)\s+")


def one_line(solution: str) -> str:
    """A GSM8K solution in the form that T5 is trained to write."""
    for pattern, replacement in _REWRITES:
        solution = pattern.sub(replacement, solution)
    lines = solution.split("\n")
    return " ".join(line if line.startswith("##") or line.endswith(".") else f"{line}." for line in lines)


def last_answer(text: str) -> Fraction | None:
    """The LAST number after `#` and one space, without commas; None if there is none or it is not a number.

    The authors' code reads digits, points and commas only; here a number that continues, as in 1/2, is read whole.
    """
    text = plain_signs(text)
    found = list(_ANSWER.finditer(text))
    if not found:
        return None
    taken = found[-1].group(1)
    value = whole_number(text[found[-1].start(1) :].partition("\n")[0], len(taken))
    try:
        return Fraction(taken.replace(",", "")) if value is None else value
    except ValueError:
        return None


def extract_value(text: str) -> float | str:
    """The last answer as a float, as in the authors' code, or INVALID."""
    value = last_answer(text)
    try:
        return INVALID if value is None else float(value)
    except OverflowError:
        return INVALID


class DpoStTask(Task):
    """A word-problem task in DPO-ST's text form for a model of `family`."""

    form = "dpo_st"

    def __init__(self, config: TaskConfig, path: Path, family: str) -> None:
        super().__init__(config, path)
        if not isinstance(self.family, WordProblems):
            raise UserError(
                f"{path}: DPO-ST's text form is for word problems, but this task's family is {config.family}; "
                "set dpo_st.form to steps"
            )
        self.model_family = family
        self.joint = " " if family == "encoder_decoder" else ""
        # A step ends with its sentence or with its line.
        self.delimiter = "." if family == "encoder_decoder" else "\n"
        if family == "encoder_decoder":
            self.calculator_notation = "bracket"
            self.calculator_closing = "]"
            self.calculator_signs = ("[", "]")

    def prompt(self, question: str, demonstrations: Sequence[Example] = (), family: str = "encoder_decoder") -> str:
        """The question; for a decoder-only model, as an instruction. This form has no demonstrations."""
        question = " ".join(question.split())
        return question if self.model_family == "encoder_decoder" else INSTRUCTION.replace("{question}", question)

    def solution_text(self, example: Example) -> str:
        """The reference solution as a generator is trained to write it."""
        return self.written(example.answer)

    def written(self, solution: str) -> str:
        """Convert a solution from GSM8K's own notation to this form."""
        return one_line(solution) if self.model_family == "encoder_decoder" else solution

    def split_steps(self, text: str) -> list[str]:
        """Sentences without their final period, or lines."""
        if self.model_family == "encoder_decoder":
            parts = _SENTENCE_END.split(steps.body_of(text).strip())
            parts = [part.removesuffix(".") for part in parts]
        else:
            parts = steps.body_of(text).split("\n")
        return [kept for part in parts if (kept := " ".join(part.split()))]

    def join_steps(self, parts: Sequence[str], answer: str | None = None) -> str:
        """The inverse of `split_steps`. Without an answer: a prefix, which ends in the delimiter if it has steps."""
        if self.model_family == "encoder_decoder":
            ended = [f"{part} ." if part.endswith("]") else f"{part}." for part in parts]
        else:
            ended = list(parts)
        if answer is not None:
            ended.append(f"{self.answer_marker} {answer}")
        if self.model_family == "encoder_decoder":
            return " ".join(ended)
        return "\n".join(ended) + ("\n" if parts and answer is None else "")

    def reference_steps(self, example: Example) -> list[str]:
        """The steps of the reference, in this form."""
        return self.split_steps(self.solution_text(example))

    def extract(self, text: str) -> str | None:
        """The answer by DPO-ST's own extractor."""
        value = last_answer(text)
        return None if value is None else decimal_text(value) or str(value)

    def grade(self, text: str, gold: str) -> bool:
        """DPO-ST's grader: the values differ by less than 1e-4, compared exactly where floats are too coarse.

        Raises UserError if gold has no answer.
        """
        reference, found = extract_value(gold), extract_value(text)
        if isinstance(reference, str):
            raise UserError(f"the reference solution has no '#### number': {gold[-80:]!r}; mend the data")
        near = not isinstance(found, str) and abs(found - reference) < 1e-4
        return near and (abs(reference) < 2**53 or last_answer(text) == last_answer(gold))


register(
    Form(
        "dpo_st",
        make=lambda task, family, examples: DpoStTask(task.config, task.path, family),
        fits=lambda family: issubclass(family, WordProblems),
        # An instruction and line breaks; for encoder-decoders there is no instruction.
        adds_words=frozenset({"decoder_only"}),
    )
)
