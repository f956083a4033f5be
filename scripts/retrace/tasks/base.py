"""A task: how its questions are put, where its solutions are cut into steps, and how answers are judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from retrace.schemas import Example
from retrace.tasks import forms, steps
from retrace.tasks.families import family_named
from retrace.tasks.options import TaskConfig
from retrace.text.numbers import decimal_text, exact, significant


class Task:
    """The rest of Retrace's view of a data set. Made by `retrace.tasks.load`; contains no data.

    What depends on the family of the task is asked of `family`.
    """

    answer_marker = steps.MARKER
    form = "steps"  # of the texts; see `in_form`
    joint = " "  # between prompt and solution, for a decoder-only model
    in_words = False  # whether the answer stands behind a phrase, and not behind the marker
    stops: tuple[str, ...] = ()  # texts that end a solution of this form, whoever writes it
    calculator_notation: Literal["angle", "bracket"] = "angle"
    calculator_closing: str | None = None  # see retrace.text.calculator.Calculator
    calculator_signs = ("<<", ">>")

    def __init__(self, config: TaskConfig, path: Path) -> None:
        self.config = config
        self.path = path
        self.name = config.name
        self.family = family_named(config.family)(config)
        self.delimiter = self.family.delimiter

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    def in_form(self, form: str, family: str) -> "Task":
        """This task in a paper's text form, for models of `family`.

        `steps`: GRACE's, `step | step | #### answer`, in which steps are told apart; this task itself. The others are the
        systems' own (retrace.tasks.forms); one that shows worked examples is asked for as `NAME:FILE`.
        """
        return self if form == forms.PLAIN else forms.formed(self, form, family)

    # ---------------------------------------------------------------- text

    def split_steps(self, text: str) -> list[str]:
        """The steps of a solution's text, without delimiter, up to the answer marker."""
        return steps.split_steps(text, self.delimiter)

    def join_steps(self, parts: Sequence[str], answer: str | None = None) -> str:
        """`step | step | #### answer`; without an answer a prefix, which ends in the delimiter if there are steps."""
        return self.family.join_steps(parts, self.delimiter, answer)

    def solution_text(self, example: Example) -> str:
        """The text that a generator is trained to write for `example`."""
        return self.join_steps(example.steps, example.final_answer)

    def reference_steps(self, example: Example) -> list[str]:
        """The steps of the reference, as this form writes them."""
        return example.steps

    def reasoning_text(self, example: Example) -> str:
        """The steps of `example` on one line, as the data of implicit chain of thought has them; empty without any."""
        joined = self.family.joint.join(example.steps)
        written = example.answer.rpartition(f"\n{self.answer_marker}")[0]
        return written if written.split() == joined.split() and "\n" not in written else joined

    def written_answer(self, example: Example) -> str:
        """The final answer with its marker; white space is the data's own."""
        _, marker, tail = example.answer.rpartition(self.answer_marker)
        return f"{marker}{tail}" if marker else f"{self.answer_marker} {example.final_answer}"

    @property
    def words(self) -> list[str] | None:
        """All words of the task's texts, where these are few and stand apart; None for text in natural language."""
        return self.family.words

    def answer_text(self, example: Example) -> str:
        """The text that states the final answer: `#### answer`."""
        return f"{self.answer_marker} {example.final_answer}"

    def rationale_stops(self) -> list[str]:
        """Texts at which a rationale ends and the answer begins."""
        return [self.answer_marker]

    def prompt(self, question: str, demonstrations: Sequence[Example] = (), family: str = "encoder_decoder") -> str:
        """The model's input: the question in the task's frame, after worked examples if there are any.

        A decoder-only model (or any model with demonstrations) also reads `answer_prompt`, so that what follows is
        the solution; write `prompt + " " + solution` to train one.
        """
        framed = self.family.framed(question)
        if not demonstrations and family == "encoder_decoder":
            return framed
        blocks = [
            self._with_answer_prompt(self.prompt(example.question)) + " " + self.solution_text(example)
            for example in demonstrations
        ]
        return "\n\n".join([*blocks, self._with_answer_prompt(framed)])

    def _with_answer_prompt(self, text: str) -> str:
        return f"{text} {self.config.answer_prompt}".strip()

    # ---------------------------------------------------------------- answers

    @property
    def phrases(self) -> list[str]:
        """Where an answer is looked for."""
        return [self.answer_marker]

    def extract(self, text: str) -> str | None:
        """The answer in a solution's text by the paper's own extractor; None where it finds none."""
        return self.family.extract(text)

    def kept_text(self, text: str) -> str:
        """The part of a student's sample that is kept."""
        return text

    def answer_of(self, text: str, example: Example) -> str | None:
        """The answer in a text that answers `example`."""
        return self.extract(text)

    def grade(self, text: str, gold: str) -> bool:
        """Whether the text's answer is right by the paper's own grader; `gold` is text with '#### answer'."""
        return self.family.grade(text, gold)

    def grade_strict(self, text: str, gold: str) -> bool:
        """Whether the text ENDS in '#### value' with exactly the right value, numbers read whole."""
        return self.family.grade_strict(text, gold)

    def canonical(self, answer: str) -> str:
        """The key under which equal answers meet in a vote: '5.0', '5.' and '5' are '5', '1,000' is '1000'."""
        return canonical(answer)

    # ---------------------------------------------------------------- steps

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str] = ()) -> bool:
        """Whether `step` says the same as the aligned reference step, both behind `prefix` (GRACE section 3.1)."""
        return self.family.step_correct(step, reference_step, prefix)


def canonical(answer: str) -> str:
    """The form of an answer that equal answers share: whole numbers by value, others to ten digits, words in lower case."""
    text = " ".join(answer.split())
    value = exact(text)
    if value is not None:
        return decimal_text(significant(value)) or text
    return text.casefold().rstrip(".")
