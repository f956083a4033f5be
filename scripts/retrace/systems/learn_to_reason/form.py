"""Tasks in the text form of Learn-to-Reason (arXiv 2310.13332; Raibows/Learn-to-Reason@6417bf8, preprocessors.py).

In training and in decoding, every prompt begins with the authors' worked examples of the task, followed by

    Question: Tom has 3 pens and buys 4. How many pens has he?
    Reasoning: Tom has 3 + 4 = 7 pens.
    Answer: 7

with the rationale on one line. No calculator is used. A question with choices lists them on lines below
`Answer Choices:`, and the rationale follows `Answer:` and ends with the choice: `... the answer is blotter (e).`
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.systems.learn_to_reason import cleanup
from retrace.systems.learn_to_reason.reasoning import reasoning_lines
from retrace.tasks import steps
from retrace.tasks.base import Task, canonical
from retrace.tasks.formats import locate
from retrace.tasks.forms import Form, form_named, register
from retrace.tasks.options import TaskConfig
from retrace.tasks.question_files import LETTERS, with_choices
from retrace.text.constants import string_constant

FORM = "learn_to_reason"
ZERO_SHOT = "learn_to_reason_zero_shot"
Kind = Literal["number", "yes_no", "choice"]

_LETTER = re.compile(r"\(([a-e])\)")
_CALCULATION = re.compile(r"<<[^<>]*>>")


def prompt_text(kind: Kind, question: str, choices: Sequence[str] = (), examples: str = "") -> str:
    """The model's input. choices: texts of (a), (b), ...; examples: worked examples, separated by blank lines."""
    before = f"{examples}\n" if examples else ""
    if kind != "choice":
        return f"{before}Question: {question}\nReasoning: "
    listed = "".join(f"\n({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
    # Without examples the authors ask for the letter only, and put the space before it.
    return f"{before}Question: {question}\nAnswer Choices:{listed}\nAnswer:" + (" " if examples else "")


def written_text(kind: Kind, rationale: str, answer: str, examples: bool = True) -> str:
    """The text after the prompt in training, as in the authors' code.

    In the rationale, line breaks become spaces, and two spaces in a row are removed.
    """
    if kind != "choice":
        return f"{rationale.replace(chr(10), ' ').strip().replace('  ', '').strip()}\nAnswer: {answer}"
    return rationale.strip() if examples else f" {answer}"


def choices_of(question: str) -> tuple[str, list[str]]:
    """The stem of a question and the texts of its choices. Raises UserError if it has no choices."""
    stem, choices = with_choices(question)
    if not choices:
        raise UserError(f"question {question[:60]!r} lists no choices after 'Answer choices:'; correct the data")
    return stem, choices


def check_not_shown(examples: str, questions: Iterable[Example], path: str | Path) -> None:
    """Raise UserError for test questions that the worked examples show with their answers.

    path: the task's YAML, for the message.
    """
    shown = {_words(line.removeprefix("Question:")) for line in examples.splitlines() if line.startswith("Question:")}
    ids = [one.id for one in questions if {_words(one.question), _words(with_choices(one.question)[0])} & shown]
    if ids:
        raise UserError(
            f"{path}: splits.test: the worked examples of learn_to_reason show {', '.join(ids)} with the answer; leave "
            f"these questions out (`without: [{', '.join(ids)}]`)"
        )


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.lower()))


class LearnToReasonTask(Task):
    """A task in the authors' form for decoder-only models. examples: file with worked examples; None: no examples."""

    joint = ""

    def __init__(self, config: TaskConfig, path: Path, family: str, examples: str | Path | None) -> None:
        super().__init__(config.model_copy(update={"calculator": False}), path)
        self.form = FORM if examples else ZERO_SHOT
        self.delimiter = "."  # a step is a sentence
        if family != "decoder_only":
            raise UserError(
                f"Learn-to-Reason's text form is for decoder-only models, but this model's family is {family}; set "
                "learn_to_reason.form to steps"
            )
        if self.family.free_text is None:
            raise UserError(
                f"{path}: Learn-to-Reason's text form is for tasks of family {', '.join(form_named(FORM).families())}, but "
                f"this one's is {config.family}; set learn_to_reason.form to steps"
            )
        self.kind: Kind = self.family.free_text
        self.answer_marker = "Answer:" if self.kind != "choice" else "the answer is"
        # The authors read no further: a choice is on the first line, any other answer before a blank line.
        self.stops = ("\n",) if self.kind == "choice" else ("\n\n",)
        self.examples = Path(examples).read_text(encoding="utf-8") if examples else ""

    # ---------------------------------------------------------------- text

    def prompt(self, question: str, demonstrations: Sequence[Example] = (), family: str = "decoder_only") -> str:
        """The authors' worked examples and the question; `demonstrations` are not used in this form."""
        stem, choices = choices_of(question) if self.kind == "choice" else (" ".join(question.split()), [])
        return prompt_text(self.kind, stem, choices, self.examples)

    def written(self, rationale: str, example: Example) -> str:
        """A correct rationale in the form that a model learns to write, with the reference's answer.

        Lines that state the answer and Markdown and LaTeX markup are removed; steps in the task's own form become
        sentences. For a choice, the authors read the first letter in parentheses on the first line. If that is not the
        answer, the rationale is joined into one line, its letters lose their parentheses, and the answer is added.
        """
        body = "\n".join(reasoning_lines(rationale, sentences=False)).strip()
        if steps.MARKER in rationale:
            body = self._sentences(steps.split_steps(f"{body}\n", self.config.delimiter))
        answer = example.final_answer
        if self.kind == "choice" and cleanup.cleanup(body, "choice").prediction != answer:
            _, choices = choices_of(example.question)
            named = choices[LETTERS.index(answer)]
            said = _LETTER.sub(r"\1", " ".join(body.split()))
            body = f"{said} Therefore, the answer is {named} ({answer}).".strip()
        return written_text(self.kind, body, self._shown(answer), bool(self.examples))

    def official_mistake(self, text: str, example: Example) -> str:
        """A student's mistake as in the authors' preprocessing: the correct answer follows the mistake's own."""
        return written_text(self.kind, text, self._shown(example.final_answer), bool(self.examples))

    def solution_text(self, example: Example) -> str:
        """The reference without the calculator's annotations."""
        return self.written(self._sentences(example.steps), example)

    def _shown(self, answer: str) -> str:
        return answer.capitalize() if self.kind == "yes_no" else answer

    def _sentences(self, parts: Sequence[str]) -> str:
        """Steps as sentences; a step that is only an annotated calculation keeps it: <<3+4=7>> becomes 3+4=7."""
        plain = (_CALCULATION.sub("", part).strip() or part.strip("<>") for part in parts)
        return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in plain)

    def split_steps(self, text: str) -> list[str]:
        """Sentences without their final period, up to the answer."""
        body = f"\n{text.strip()}".split(cleanup.ANSWER_LINE)[0]
        return steps.split_sentences(body) if body.strip() else []

    def join_steps(self, parts: Sequence[str], answer: str | None = None) -> str:
        """The inverse of `split_steps`. Without an answer: a prefix, which ends in the delimiter if it has steps."""
        body = " ".join(f"{part}." for part in parts)
        if answer is None:
            return body
        if self.kind == "choice":
            return f"{body} Therefore, the answer is ({answer}).".strip()
        return f"{body}\nAnswer: {self._shown(answer)}"

    def reference_steps(self, example: Example) -> list[str]:
        """The steps of the reference, in this form."""
        return self.split_steps(self.solution_text(example))

    def answer_text(self, example: Example) -> str:
        """The text that states the final answer."""
        if self.kind == "choice":
            return f"Therefore, the answer is ({example.final_answer})."
        return f"Answer: {self._shown(example.final_answer)}"

    def kept_text(self, text: str) -> str:
        """The part of a student's sample that is kept: up to its answer."""
        return cleanup.cleanup(text, self.kind).text

    # ---------------------------------------------------------------- answers

    def extract(self, text: str) -> str | None:
        """The answer according to the authors' own reader."""
        return cleanup.cleanup(text, self.kind).prediction

    def grade(self, text: str, gold: str) -> bool:
        """Whether the answer is correct; numbers are compared by value. Raises UserError if gold has no answer."""
        right, found = self._right(gold), self.extract(text)
        return found is not None and canonical(found) == canonical(right)

    def grade_strict(self, text: str, gold: str) -> bool:
        """Whether the text ENDS in the correct answer and states only one."""
        right, text = self._right(gold), text.strip()
        if self.kind == "choice":
            return text.removesuffix(".").endswith(f"({right})") and len(_LETTER.findall(text)) == 1
        _, marker, tail = f"\n{text}".partition("\nAnswer:")
        return bool(marker) and canonical(tail) == canonical(right)

    def _right(self, gold: str) -> str:
        right = gold.rpartition(steps.MARKER)[2].strip() if steps.MARKER in gold else ""
        if not right:
            raise UserError(f"the reference solution has no '#### answer': {gold[-80:]!r}; mend the data")
        return right


def examples_of(config: TaskConfig, path: Path, mirror: str | None = None) -> str:
    """The authors' worked examples of a task, from the file that its YAML names."""
    if config.learn_to_reason is None:
        raise UserError(
            f"{path}: learn_to_reason: no worked examples are named, but Learn-to-Reason's prompts begin with them; name "
            "some, or set learn_to_reason.form to steps or learn_to_reason_zero_shot"
        )
    file, _ = locate(path, "learn_to_reason", config.learn_to_reason, mirror)
    return string_constant(file, config.learn_to_reason.constant)


for _name in (FORM, ZERO_SHOT):
    register(
        Form(
            _name,
            make=lambda task, family, examples: LearnToReasonTask(task.config, task.path, family, examples),
            fits=lambda family: family.free_text is not None,
            shows_examples=_name == FORM,
        )
    )
