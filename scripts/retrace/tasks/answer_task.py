"""Tasks whose final answer is all that is judged: data with answers only, and every task when a chat model answers it."""

import re
from collections.abc import Sequence

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import steps
from retrace.tasks.answer_kinds import AnswerKind
from retrace.tasks.base import Task
from retrace.tasks.families import row_format
from retrace.tasks.graders import PHRASE, Grader, final_answer, grader_named

_CALCULATION = re.compile(r"<<[^<>]*>>")


class AnswerTask(Task):
    """A task without judged steps. `chat`: put to a model with a chat template, which answers in words."""

    chat = False

    @property
    def kind(self) -> AnswerKind:
        """How answers are read and compared."""
        return self.family.answers

    @property
    def own_texts(self) -> bool:
        """Whether the rows bring whole inputs and outputs of the user's own."""
        return row_format(self.config.format).own_texts

    @property
    def in_words(self) -> bool:
        """Whether the answer follows a phrase (`chat.answer`) instead of '####'."""
        return self.chat or self.own_texts

    @property
    def phrase(self) -> str:
        """The text before the final answer."""
        return self.config.chat.answer.partition("{answer}")[0].strip() if self.in_words else self.answer_marker

    @property
    def phrases(self) -> list[str]:
        """Where an answer is looked for."""
        return [self.phrase, self.answer_marker] if self.in_words else [self.answer_marker]

    def rationale_stops(self) -> list[str]:
        """Texts at which a rationale ends: the phrase, as a sentence's beginning and inside one."""
        phrase = self.phrase
        return [phrase, phrase[:1].lower() + phrase[1:]] if self.in_words and phrase else [phrase] if phrase else []

    # ---------------------------------------------------------------- text

    def prompt(self, question: str, demonstrations: Sequence[Example] = (), family: str = "encoder_decoder") -> str:
        """As `Task.prompt`; a query of the user's own stays as it is."""
        if self.own_texts and not demonstrations:
            return self.config.prompt.replace("{question}", question)
        return super().prompt(question, demonstrations, family)

    def messages(
        self, question: str, demonstrations: Sequence[Example] = (), direct: bool = False
    ) -> list[dict[str, str]]:
        """The conversation before the model's turn; worked examples are turns of their own."""
        frame = self.config.chat.prompt
        if direct and self.config.chat.direct_prompt is not None:
            frame = self.config.chat.direct_prompt

        def asked(text: str) -> dict[str, str]:
            return {"role": "user", "content": frame.replace("{question}", text)}

        turns = []
        for example in demonstrations:
            solution = self.answer_text(example) if direct else self.solution_text(example)
            turns += [asked(example.question), {"role": "assistant", "content": solution}]
        return [*turns, asked(question)]

    def sft_messages(self, question: str) -> list[dict[str, str]]:
        """The conversation before the model's turn in LaTRO's fine-tuning baseline."""
        frame = self.config.chat.sft_prompt or self.config.chat.prompt
        return [{"role": "user", "content": frame.replace("{question}", question)}]

    def sft_text(self, example: Example) -> str:
        """The training text of LaTRO's baseline: the unchanged reference with its marker replaced by the phrase."""
        if not example.steps:
            return self.answer_text(example)
        body = example.answer.rpartition(f"\n{self.answer_marker}")[0]
        return f"{body}\n{self.phrase} {example.final_answer}"

    def answer_text(self, example: Example) -> str:
        """What states the final answer."""
        if self.own_texts:
            return example.answer.rpartition(f"\n{steps.MARKER} ")[0]
        if self.chat:
            return self.config.chat.answer.replace("{answer}", example.final_answer)
        return super().answer_text(example)

    def solution_text(self, example: Example) -> str:
        """Steps and answer; for a chat model as lines of prose, without the calculator's notes."""
        if not self.in_words:
            return super().solution_text(example)
        # A step that is a calculation and nothing else keeps it: <<3+4=7>> reads 3+4=7.
        lines = [_CALCULATION.sub("", step).strip() or step.strip("<>") for step in example.steps]
        return "\n".join([*lines, self.answer_text(example)])

    # ---------------------------------------------------------------- answers

    @property
    def grader(self) -> Grader:
        """The paper's own grader: `chat.grader` if the answer follows a phrase, otherwise the comparison after `####`."""
        return grader_named(self.config.chat.grader if self.in_words else PHRASE)

    def extract(self, text: str) -> str | None:
        """The answer in a text; for a choice, its words or label as written."""
        return self.grader.extract(self, text)

    def answer_of(self, text: str, example: Example) -> str | None:
        """The answer in a text; of a choice the text of the option that it names."""
        options = self.kind.options(example.answer)
        return self.kind.read(text, self.phrases, options) if options else self.extract(text)

    def grade(self, text: str, gold: str) -> bool:
        """Whether the text's answer is right; `gold` ends in '#### answer', after the options where there are some."""
        return self.grader.right(self, text, gold)

    def grade_strict(self, text: str, gold: str) -> bool:
        """Whether the text ENDS in the phrase and exactly the right answer."""
        return self.kind.ends_in(text, self.phrases, final_answer(self, gold))

    def canonical(self, answer: str) -> str:
        """The key under which equal answers meet in a vote."""
        key = self.kind.key(answer)
        return super().canonical(answer) if key is None else key

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str] = ()) -> bool:
        """Never asked for: these tasks have no steps to judge."""
        raise UserError(
            f"{self.path}: family {self.config.family}: its steps cannot be judged, so GRACE cannot be trained"
        )


def in_chat(task: Task) -> AnswerTask:
    """The task as a chat model answers it."""
    asked = AnswerTask(task.config, task.path)
    asked.chat = True
    return asked
