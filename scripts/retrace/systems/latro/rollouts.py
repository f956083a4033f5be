"""Questions in LaTRO's training format, and sampling rationales for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from retrace.decoding.batch_size import rows_that_fit
from retrace.decoding.engine import Decoder
from retrace.decoding.sampling import Generated, generate
from retrace.errors import UserError
from retrace.prompting.prompting import Prompting, answer_end, end_tokens
from retrace.schemas import Example
from retrace.systems.latro.options import LatroTraining
from retrace.systems.latro.rationales import Rationale, cut_rationale
from retrace.text.calculator import Calculator
from retrace.text.encoding import text_ids
from retrace.text.token_text import TokenText
from retrace.training.data import report_long


@dataclass(frozen=True)
class Question:
    """A question with its reference answer, as text and as token ids.

    `answer` follows an empty rationale or one that ends in white space; `spaced` follows any other. Both include the token
    that ends an answer.
    """

    id: str
    text: str
    prompt: list[int]
    answer: list[int]
    spaced: list[int]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


class RationaleWriter:
    """Samples rationales from a model and cuts them where the answer would begin.

    Tokens that the calculator forces are part of a rationale but not the policy's choice.

    Attributes:
        stops: Texts that end a rationale; a token that contains the start of a stop is cut, too.
        end_ids: Tokens that end a text.
    """

    def __init__(
        self,
        prompting: Prompting,
        model: Any,
        options: LatroTraining,
        seed: int,
        calculator: Calculator | None = None,
    ) -> None:
        self.prompting = prompting
        self.tokenizer = prompting.tokenizer
        self.options = options
        self.seed = seed
        self.calculator = calculator
        self.text = calculator.text if calculator is not None else TokenText(self.tokenizer)
        task_stops = prompting.task.rationale_stops()
        self.stops = [stop for stop in (*task_stops, *options.stop_strings) if stop]
        self.end_ids = end_tokens(self.tokenizer, model, prompting.chat)

    def decoder(self, model: Any) -> Decoder:
        """The model wrapped for decoding, in evaluation mode."""
        special = self.prompting.special_tokens
        control = self.prompting.control_tokens
        return Decoder(
            model,
            self.tokenizer,
            "decoder_only",
            end_ids=self.end_ids,
            special_tokens=special,
            control_tokens=control,
        )

    # ---------------------------------------------------------------- questions

    def questions(self, examples: Sequence[Example], model: Any, what: str) -> list[Question]:
        """The examples as token ids. Examples with prompts or answers that are too long are left out, counted and named.

        Raises UserError if no example is left, an answer is empty, or no answer contains the text that ends a rationale.
        """
        if not examples:
            raise UserError(f"there are no {what}; check the split and its limits")
        task, options = self.prompting.task, self.options
        self._check_phrase(examples, what)
        texts = [self.prompting.text(example.question) for example in examples]
        prompts = self.prompting.ids(texts)
        answers = [task.answer_text(example) for example in examples]
        for example, answer in zip(examples, answers, strict=True):
            if not answer.strip():
                raise UserError(f"{what}: the answer of {example.id!r} is empty; mend the data")
        end = answer_end(self.tokenizer, self.prompting.chat)
        bare = text_ids(self.tokenizer, answers)
        spaced = text_ids(self.tokenizer, [f" {answer}" for answer in answers]) if self.prompting.chat else bare
        positions = getattr(model.config, "max_position_embeddings", None) or 1 << 30
        room = min(options.max_length, positions - options.max_rationale_tokens - options.max_answer_tokens)
        if room < 1:
            raise UserError(
                f"max_rationale_tokens {options.max_rationale_tokens} and max_answer_tokens "
                f"{options.max_answer_tokens} leave no room for a question in {positions} positions; lower them"
            )
        rows, long_prompts, long_answers = [], [], []
        for example, text, prompt, answer, other in zip(examples, texts, prompts, bare, spaced, strict=True):
            if len(prompt) > room:
                long_prompts.append(example.id)
            elif max(len(answer), len(other)) + 1 > options.max_answer_tokens:
                long_answers.append(example.id)
            else:
                rows.append(Question(example.id, text, prompt, [*answer, end], [*other, end]))
        if not rows:
            raise UserError(
                f"{what}: no question is left: of {len(examples)}, {len(long_prompts)} are longer than {room} tokens and "
                f"{len(long_answers)} have answers longer than {options.max_answer_tokens} tokens; raise max_length (which "
                "the model's positions also limit) or max_answer_tokens"
            )
        report_long(long_prompts, len(examples), room, f"questions of {what}", "left out")
        report_long(long_answers, len(examples), options.max_answer_tokens, f"answers of {what}", "left out")
        return rows

    def _check_phrase(self, examples: Sequence[Example], what: str) -> None:
        """Raise UserError if no answer contains a text that ends a rationale: no rationale would then end."""
        answers = [self.prompting.task.answer_text(example) for example in examples[:100]]
        if self.stops and not any(stop in answer for stop in self.stops for answer in answers):
            raise UserError(
                f"{what}: no answer contains {self.stops[0]!r}, which ends a rationale (the first is {answers[0][:60]!r}); "
                "set `chat: {answer: ...}` in the task's YAML to how these answers begin, or set `stop_strings`"
            )

    # ---------------------------------------------------------------- rationales

    @torch.no_grad()
    def sample(self, model: Any, questions: Sequence[Question], visits: Sequence[int]) -> list[Rationale]:
        """Sample `options.rationales` rationales per question from the current model, those of one question in a row.

        visits: how often each question was seen before; with its id and the seed this determines the random numbers.
        """
        keys = [f"{question.id} visit {visit}" for question, visit in zip(questions, visits, strict=True)]
        count, options = self.options.rationales, self.options
        decoder = self.decoder(model)
        written: list[list[Rationale]] = [[] for _ in questions]
        for answers in generate(
            decoder,
            [question.text for question in questions],
            keys,
            samples=count,
            temperature=options.temperature,
            max_new_tokens=options.max_rationale_tokens,
            calculator=self.calculator,
            seed=self.seed,
            batch_size=self.at_once(decoder, questions, options.max_rationale_tokens),
            stops=self.stops,
            writer=self.text,
        ):
            question = questions[answers.index]
            written[answers.index] = [self.rationale(question, one.ids, one.free) for one in answers.samples]
        return [one for group in written for one in group]

    def at_once(self, decoder: Decoder, questions: Sequence[Question], new_tokens: int) -> int:
        """Number of rows decoded together: generation_batch_size, or fewer if the device's free memory holds fewer."""
        longest = max((len(question.prompt) for question in questions), default=1) + new_tokens
        return rows_that_fit(decoder.model, longest, self.options.generation_batch_size, decoder.device)

    def solve(self, model: Any, questions: Sequence[Question]) -> list[Generated]:
        """The greedy solution of each question, rationale and answer, in the order of the questions."""
        options, decoder = self.options, self.decoder(model)
        new_tokens = options.max_rationale_tokens + options.max_answer_tokens
        found: dict[int, Generated] = {}
        for answers in generate(
            decoder,
            [question.text for question in questions],
            [question.id for question in questions],
            max_new_tokens=new_tokens,
            calculator=self.calculator,
            batch_size=self.at_once(decoder, questions, new_tokens),
            stops=self.prompting.stops,
            writer=self.text,
        ):
            found[answers.index] = answers.samples[0]
        return [found[index] for index in range(len(questions))]

    def rationale(self, question: Question, ids: Sequence[int], free: Sequence[bool] = ()) -> Rationale:
        """The rationale in the tokens generated for a question. free: as in `Generated`; default: all tokens."""
        kept, finished = self.cut(ids)
        before = "".join(self.text.surfaces[token] for token in kept)
        answer = question.spaced if self.prompting.chat and before and not before[-1].isspace() else question.answer
        sampled = list(free[: len(kept)]) if free else [True] * len(kept)
        return Rationale(question.prompt, kept, answer, sampled, finished)

    def cut(self, ids: Sequence[int]) -> tuple[list[int], bool]:
        """`cut_rationale` with the writer's stops and end tokens."""
        return cut_rationale(ids, self.text.surfaces, self.stops, self.end_ids)
