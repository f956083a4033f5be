"""The common behavior of a family's tasks: how rows become examples, and how answers and steps are judged.

Each family is a class in retrace.tasks.families. It is asked through a task (`task.family`), or, where only a task's YAML
is known, as a class (`family_named(config.family)`): so nobody else tells families apart by their names.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from retrace.schemas import Example
from retrace.tasks import golds, steps
from retrace.tasks.answer_kinds import WORDS, AnswerKind
from retrace.tasks.options import TaskConfig
from retrace.tasks.row_formats import RowFormat

_EQUATION = re.compile(r"<<[^<>]*>>")
_WORD = re.compile(r"[a-zA-Z]+")


@dataclass(frozen=True)
class Wanted:
    """A request to a generator. taken: questions of other splits, which come from files; read when it is called."""

    config: TaskConfig
    where: str
    split: str
    count: int
    seed: int
    settings: Mapping[str, Any]
    taken: Callable[[], frozenset[str]]


@dataclass(frozen=True)
class Generator:
    """A generator of questions. streams: it can make too many to keep all of them in a list."""

    name: str
    make: Callable[[Wanted], Iterator[Example]]
    streams: bool = False


def first_word(text: str) -> str | None:
    """The first word of a text, letters only; None where it has none."""
    found = _WORD.search(text)
    return found.group() if found else None


class Family:
    """Base of all families; a class says what differs. One instance belongs to one task, whose YAML is `config`."""

    name: ClassVar[str]
    # How final answers in free text are read and compared, for tasks that are answered so: by a chat model, for instance.
    answers: ClassVar[AnswerKind] = WORDS
    # How Learn-to-Reason's rule finds an answer in a rationale without an agreed form; None: it knows none.
    free_text: ClassVar[Literal["number", "yes_no", "choice"] | None] = None
    final_only: ClassVar[bool] = False  # the final answer is all that is judged (retrace.tasks.answer_task)
    judges_steps: ClassVar[bool] = True  # whether steps can be told right from wrong
    tells_states: ClassVar[bool] = False  # whether a step is a sentence on a state, which an entailment model can judge
    prose: ClassVar[bool] = True  # whether a solution on one line can be cut into sentences
    # Whether the steps of a reference on one line are its sentences, as GRACE's sampling script cuts references.
    cuts_references: ClassVar[bool] = False
    computes: ClassVar[bool] = False  # whether an answer is what a solution computes, and is stated nowhere in it
    plain_delimiter: ClassVar[str] = "|"  # between steps, where the task's YAML names none
    own_keys: ClassVar[frozenset[str]] = frozenset()  # keys of a task's YAML that other families have no use for
    formats: ClassVar[tuple[RowFormat, ...]] = ()
    generators: ClassVar[tuple[Generator, ...]] = ()
    joint: ClassVar[str] = " "  # between steps on one line
    final_kind: ClassVar[str] = "number"  # the kind of text after `####` in a row, for messages

    def __init__(self, config: TaskConfig) -> None:
        self.config = config

    @classmethod
    def fault(cls, config: TaskConfig) -> str | None:
        """What is wrong with a task's YAML, starting with the key; None if nothing is."""
        return None

    @property
    def delimiter(self) -> str:
        """The text between two steps."""
        return self.config.delimiter if "delimiter" in self.config.model_fields_set else self.plain_delimiter

    # ---------------------------------------------------------------- from a row to an example

    def final_of(self, tail: str) -> str | None:
        """The final answer in the text after `####` in a row; None if there is none.

        Raises retrace.tasks.golds.Unclear, saying why, for one that can be read in two ways.
        """
        return golds.final_text(tail)

    def bare_final(self, answer: str) -> str | None:
        """The final answer of a row that states only the answer, without `####`; None if it states anything else."""
        if self.final_kind == "number":
            return self.final_of(answer) if golds.alone(answer) else None
        word = self.final_of(answer)
        stated = word is not None and self.extract(f"{steps.MARKER} {word}") is not None
        return word if stated and word == answer.strip("(). ") else None

    def stated_final(self, where: str, answer: str) -> str:
        """The final answer that a row states separately, in addition to the text that ends in it (`groundtruth`)."""
        if self.final_kind != "number":
            return answer
        final = self._read(where, self.final_of, answer)
        return answer if final is None or golds.read_over(answer, final) else final

    def _read(self, where: str, read: Callable[[str], str | None], answer: str) -> str | None:
        try:
            return read(answer)
        except golds.Unclear as unclear:
            raise golds.FaultyAnswer(f"{where}: the final answer {unclear}") from None

    def body_and_final(self, where: str, solution: str) -> tuple[str, str]:
        """A row's solution without its last line, and the final answer; a bare answer has no solution.

        Raises FaultyAnswer if there is no final answer, or more than one.
        """
        body, marker, tail = solution.partition(steps.MARKER)
        if (count := solution.count(steps.MARKER)) > 1:
            raise golds.FaultyAnswer(
                f"{where}: '{steps.MARKER}' appears {count} times; keep the one before the final answer (it ends "
                f"{solution[-40:]!r})"
            )
        final = self._read(where, self.final_of if marker else self.bare_final, tail if marker else solution.strip())
        if final is None:
            raise golds.FaultyAnswer(
                f"{where}: the answer has no final value; end it with '{steps.MARKER} {self.final_kind}', or let it be a "
                f"{self.final_kind} alone (it ends {solution[-40:]!r})"
            )
        return body.strip() if marker else "", final

    def check_row(self, where: str, question: str, final: str) -> None:
        """Raise UserError naming `where` for a row that no task of this family can hold."""

    def steps_of(self, body: str, delimiter: str) -> list[str]:
        """The steps of a reference; lone equations are a step each."""
        equations = _EQUATION.findall(body)
        if equations and " ".join(equations) == " ".join(body.split()):
            return equations
        parts = steps.split_steps(self.plain_body(body) + "\n", delimiter)
        return steps.split_sentences(parts[0]) if len(parts) == 1 and self.cuts_references else parts

    def plain_body(self, body: str) -> str:
        """A reference without what belongs to no step."""
        return body

    # ---------------------------------------------------------------- text

    def framed(self, question: str) -> str:
        """The question in the task's frame, its white space collapsed."""
        return self.config.prompt.replace("{question}", " ".join(question.split()))

    def join_steps(self, parts: Sequence[str], delimiter: str, answer: str | None) -> str:
        """`step | step | #### answer`; without an answer a prefix, which ends in the delimiter if there are steps."""
        return steps.join_steps(parts, delimiter, answer)

    def shown_answer(self, final: str) -> str:
        """A final answer as people write it."""
        return final

    @property
    def words(self) -> list[str] | None:
        """All words of the task's texts, where these are few and stand apart; None for text in natural language."""
        return None

    # ---------------------------------------------------------------- answers and steps

    def extract(self, text: str) -> str | None:
        """The answer in a solution's text by the paper's own extractor; None where it finds none."""
        raise NotImplementedError

    def grade(self, text: str, gold: str) -> bool:
        """Whether the text's answer is right by the paper's own grader; `gold` is text with '#### answer'."""
        raise NotImplementedError

    def grade_strict(self, text: str, gold: str) -> bool:
        """Whether the text ENDS in '#### value' with exactly the right value."""
        raise NotImplementedError

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str]) -> bool:
        """Whether `step` says the same as the aligned reference step, both behind `prefix`."""
        raise NotImplementedError


class FinalOnly(Family):
    """A family of tasks whose final answer is all that is judged: retrace.tasks.answer_task does it, by `answers`."""

    final_only = True
    judges_steps = False
    final_kind = "answer"

    def final_of(self, tail: str) -> str | None:
        """The whole text; a number alone loses its commas and its dollar sign."""
        return golds.without_marks(" ".join(tail.split())) or None

    def bare_final(self, answer: str) -> str | None:
        """All of a single line."""
        return None if "\n" in answer else self.final_of(answer)
