"""Prompt format of a model (plain text, separators, or chat template), and the tokens that end its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.models.options import ModelConfig
from retrace.prompting.layouts import Layout, layout_of
from retrace.prompting.separated import END_TOKENS, prompt_text
from retrace.schemas import Example
from retrace.tasks.answer_task import AnswerTask, in_chat
from retrace.tasks.base import Task
from retrace.tasks.formats import demonstrations as worked_examples
from retrace.text.encoding import Turns, control_texts, prompt_ids


@dataclass(frozen=True)
class Prompting:
    """The prompts of a task for one model.

    task: as the model answers it (`in_chat` for one with a chat template). layout: of the texts that it was trained on.
    latro_sft: as LaTRO's fine-tuning baseline asks a chat model while it trains it.
    """

    task: Task
    family: str
    tokenizer: Any
    chat: bool = False
    layout: Layout | None = None
    demonstrations: Sequence[Example] = field(default=())
    latro_sft: bool = False

    def text(self, question: str) -> str:
        """The model's input."""
        if self.separated:
            return prompt_text(question, self.tokenizer.eos_token)
        if not self.chat:
            return self.task.prompt(question, self.demonstrations, self.family)
        assert isinstance(self.task, AnswerTask)
        if self.latro_sft:
            turns = self.task.sft_messages(question)
        else:
            turns = self.task.messages(question, self.demonstrations, direct=self.layout == "direct")
        return chat_prompt(self.tokenizer, turns)

    def ids(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of prompts that `text` gave, the same in training and in decoding."""
        return prompt_ids(self.tokenizer, prompts, self.family, self.special_tokens, self.control_tokens)

    def solution(self, example: Example, answers_only: bool = False) -> str:
        """Training target: the whole solution, or only the final answer."""
        if answers_only:
            return self.task.answer_text(example)
        if self.latro_sft and isinstance(self.task, AnswerTask):
            return self.task.sft_text(example)
        return self.task.solution_text(example)

    @property
    def separated(self) -> bool:
        """Whether the model was trained on texts with separators (implicit chain of thought)."""
        return self.layout in END_TOKENS

    @property
    def special_tokens(self) -> bool:
        """Whether the tokenizer puts its own tokens around the input; a chat template brings them."""
        return not self.chat

    @property
    def control_tokens(self) -> bool:
        """Whether prompts hold control tokens as text: those of a chat template, or separators."""
        return self.chat or self.separated

    @property
    def stops(self) -> list[str]:
        """Texts that end a solution: a few-shot model goes on with the next example, which is not part of its answer."""
        if self.task.stops:
            return list(self.task.stops)
        if self.family == "encoder_decoder" or self.chat or self.separated or self.task.form != "steps":
            return []  # fine-tuned and chat models end by themselves
        start = self.task.config.prompt.partition("{question}")[0].strip()
        return ["\n\n", start] if start else ["\n\n"]


def prompting_of(
    task: Task, config: ModelConfig, tokenizer: Any, folder: str | Path | None = None, demonstrations: int | None = 0
) -> Prompting:
    """How the model of `config` is asked. folder: of its checkpoint, which may say what it was trained on.

    demonstrations: worked examples in the prompt; None: as many as a frozen model's YAML says, where its texts have room
    for any. Raises UserError where they have none, and where a chat template is asked for and there is none.
    """
    layout = layout_of(folder) if folder else None
    fixed = layout in END_TOKENS or task.form != "steps"  # a paper's own texts: no worked examples, no chat template
    if fixed and demonstrations:
        raise UserError(
            f"{folder or config.name}: its texts have no place for worked examples ({layout or task.form}); decode it "
            "with greedy, self_consistency or maj"
        )
    chat = config.chat and not fixed
    if chat:
        check_chat_template(tokenizer, folder or config.name)
        task = in_chat(task)
    if demonstrations is None:
        demonstrations = config.demonstrations if config.generator == "base" and not fixed else 0
    examples = worked_examples(task, demonstrations)
    return Prompting(task, config.family, tokenizer, chat, layout, examples)


def check_chat_template(tokenizer: Any, name: str | Path) -> None:
    """Raise UserError for a tokenizer without a chat template."""
    if getattr(tokenizer, "chat_template", None) is None:
        raise UserError(
            f"{name}: the tokenizer has no chat template; set `chat: false` in the model's YAML, or point it to an "
            "instruction-tuned model"
        )


def chat_prompt(tokenizer: Any, turns: Sequence[Mapping[str, str]]) -> str:
    """The conversation in the tokenizer's chat template, up to where the model answers.

    A message with the text of a control token in it (`<|im_end|>`) stays text, see `Turns`. Raises UserError where the
    template does not show where its messages stand.
    """
    written = tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True)
    special = control_texts(tokenizer)
    found = next((text for turn in turns for text in special if text in turn["content"]), None)
    if found is None:
        return written
    marks = [f"\ue000{number}\ue001" for number in range(len(turns))]
    marked = [{**turn, "content": mark} for turn, mark in zip(turns, marks, strict=True)]
    frame = tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=True)
    parts, rest = [], frame
    for turn, mark in zip(turns, marks, strict=True):
        before, place, rest = rest.partition(mark)
        if not place:
            raise UserError(
                f"a question holds {found!r}, which the model's chat template would read as its own control token, and "
                "the template does not keep its messages in order; remove the token from the data"
            )
        parts += [(before, False), (turn["content"], True)]
    return Turns.of([*parts, (rest, False)])


def turn_end(tokenizer: Any) -> int | None:
    """The special token that ends the model's turn in its chat template; None where none does."""
    spoken = "x"
    turns = [{"role": "user", "content": spoken}, {"role": "assistant", "content": spoken}]
    before = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    tail = whole[len(before) :] if whole.startswith(before) else whole[whole.rindex(spoken) :]
    ids = tokenizer(tail.strip().removeprefix(spoken), add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | set(getattr(tokenizer, "added_tokens_decoder", {}))
    return next((token for token in ids if token in special), None)


def end_tokens(tokenizer: Any, model: Any, chat: bool) -> list[int]:
    """The tokens that end an answer: the tokenizer's, those of the model's generation settings, its chat template's."""
    found = [tokenizer.eos_token_id]
    declared = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    found += declared if isinstance(declared, list) else [declared]
    if chat:
        found.append(turn_end(tokenizer))
    return list(dict.fromkeys(token for token in found if token is not None))


def answer_end(tokenizer: Any, chat: bool) -> int:
    """The end token of a training answer."""
    end = turn_end(tokenizer) if chat else None
    return tokenizer.eos_token_id if end is None else end
