"""Token rows for training: encoded once, padded per batch."""

import random
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.prompting.prompting import Prompting, answer_end
from retrace.schemas import Example
from retrace.tasks.base import Task
from retrace.text.encoding import around, ids_and_places, text_ids
from retrace.text.token_text import TokenText

IGNORED = -100  # label of positions excluded from the loss
_RESULT = re.compile(r"<<[^<>=]*=([^<>=]*)>>|\[[^\[\]=]*=([^\[\]=]*)\]")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Row:
    """One example as token ids.

    Attributes:
        ids: The model's input.
        target: The output to learn.
        ignored: Whether the loss leaves out each token of the target; the model still reads it.
    """

    ids: list[int]
    target: list[int]
    ignored: list[bool]

    @property
    def length(self) -> int:
        return len(self.ids) + len(self.target)


def result_spans(text: str) -> list[tuple[int, int]]:
    """Character spans of a calculator's results: `7` in `<<3+4=7>>` and in `[ 3 + 4 = 7 ]`."""
    spans = []
    for match in _RESULT.finditer(text):
        group = 1 if match.group(1) is not None else 2
        spans.append(match.span(group))
    return spans


def encode_solutions(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[tuple[list[int], list[bool]]]:
    """For each text, its token ids without special tokens, and whether each token belongs to a calculator's result."""
    if not tokenizer.is_fast:  # written in Python, like ByT5's: it does not report the positions of tokens
        writer = TokenText(tokenizer)
        ids = text_ids(tokenizer, texts)
        return [(row, _inside(text, writer.offsets(row, text))) for text, row in zip(texts, ids, strict=True)]
    return [
        (ids, _inside(text, places))
        for text, (ids, places) in zip(texts, ids_and_places(tokenizer, texts), strict=True)
    ]


def _inside(text: str, offsets: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each token, given by start and end, belongs to a calculator's result."""
    marks = bytearray(len(text))
    for low, high in result_spans(text):
        marks[low:high] = b"\x01" * (high - low)
    # A token with more than the result (`=7`) must be written by the model.
    return [start < end and 0 not in marks[start:end] for start, end in offsets]


def generator_rows(
    examples: Sequence[Example],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    family: str,
    max_length: int,
    mask_calculator: bool = False,
    what: str = "examples",
    targets: str = "solutions",
    prompting: Prompting | None = None,
) -> list[Row]:
    """Training rows of a generator: `task.prompt(question)` -> `task.solution_text(example)`.

    Encoder-decoder rows have prompt and solution separately. Decoder-only rows have prompt, solution and end token
    together, with the prompt masked from the loss. Examples that are too long are left out, counted and named, because
    truncated questions teach a model to guess.

    Args:
        examples: The examples.
        task: The task.
        tokenizer: The model's tokenizer.
        family: Family of the model.
        max_length: Maximum number of tokens: of input or output, or of both together for a decoder-only model.
        mask_calculator: Whether results of the calculator are masked, too.
        what: Name of the examples in messages.
        targets: `solutions` or `answers`.
        prompting: For a model with a chat template; otherwise the input is plain text.

    Raises:
        UserError: If no example is left.
    """
    if not examples:
        raise UserError(f"there are no {what} to train on; check the split and its limits")
    prompting = prompting or Prompting(task, family, tokenizer)
    solutions = [prompting.solution(one, targets == "answers") for one in examples]
    made = solution_rows(prompting, [one.question for one in examples], solutions)
    return short_rows([example.id for example in examples], made, family, max_length, mask_calculator, what)


def solution_rows(prompting: Prompting, questions: Sequence[str], solutions: Sequence[str]) -> list[Row]:
    """Token rows of solutions in the task's form; results of the calculator are marked as ignored."""
    prompts = [prompting.text(question) for question in questions]
    if not prompts:
        return []
    if prompting.chat:
        return _chat_rows(prompting, prompts, solutions)
    if prompting.family == "encoder_decoder":
        return _encoder_decoder_rows(prompting, prompts, solutions)
    return _decoder_only_rows(prompting, prompts, solutions)


def length_of(row: Row, family: str) -> int:
    """The length that limits apply to: the longer of input and output, or both together for a decoder-only model."""
    return row.length if family == "decoder_only" else max(len(row.ids), len(row.target))


def short_rows(
    names: Sequence[str], made: Sequence[Row], family: str, max_length: int, mask_calculator: bool, what: str
) -> list[Row]:
    """The rows of at most `max_length` tokens; see `generator_rows`."""
    rows, dropped = [], []
    for name, row in zip(names, made, strict=True):
        if not mask_calculator:
            row = Row(row.ids, row.target, [False] * len(row.target))
        if length_of(row, family) > max_length:
            dropped.append(name)
        else:
            rows.append(row)
    report_long(dropped, len(names), max_length, what, "left out")
    return rows


def _encoder_decoder_rows(prompting: Prompting, prompts: Sequence[str], solutions: Sequence[str]) -> list[Row]:
    tokenizer = prompting.tokenizer
    behind = around(tokenizer)[1]
    if behind[-1:] != [tokenizer.eos_token_id]:
        behind = [*behind, tokenizer.eos_token_id]
    ends = [False] * len(behind)
    targets = encode_solutions(tokenizer, solutions)
    return [
        Row(head, [*ids, *behind], [*results, *ends])
        for head, (ids, results) in zip(prompting.ids(prompts), targets, strict=True)
    ]


def _decoder_only_rows(prompting: Prompting, prompts: Sequence[str], solutions: Sequence[str]) -> list[Row]:
    tokenizer = prompting.tokenizer
    end, before = tokenizer.eos_token_id, len(around(tokenizer)[0])
    behind = [f"{prompting.task.joint}{solution}" for solution in solutions]
    whole = [f"{prompt}{rest}" for prompt, rest in zip(prompts, behind, strict=True)]
    rows = []
    for head, prompt, rest, (ids, results) in zip(
        prompting.ids(prompts), prompts, behind, encode_solutions(tokenizer, whole), strict=True
    ):
        length = len(head) - before
        target, ignored = ids[length:], results[length:]
        if ids[:length] != head[before:]:
            target, ignored = _apart(tokenizer, prompt, rest)
        rows.append(Row(head, [*target, end], [*ignored, False]))
    return rows


def _apart(tokenizer: PreTrainedTokenizerBase, prompt: str, rest: str) -> tuple[list[int], list[bool]]:
    """The tokens of `rest` after a prompt. They may not share the prompt's last token, because decoding cannot."""
    writer = TokenText(tokenizer)
    for text in dict.fromkeys((rest, rest.lstrip(" "))):
        ids, inside = encode_solutions(tokenizer, [text])[0]
        if "".join(writer.surfaces[token] for token in ids) == rest:
            return ids, inside
    ids = writer.continuation(prompt, rest)
    if ids is None:  # no tokens give exactly this text; use the tokenizer's own encoding
        return encode_solutions(tokenizer, [rest.lstrip(" ")])[0]
    return ids, _inside(rest, writer.offsets(ids, rest))


def _chat_rows(prompting: Prompting, prompts: Sequence[str], solutions: Sequence[str]) -> list[Row]:
    """Rows with prompts from a chat template, which has special tokens; the answer ends like a turn of the template."""
    end = answer_end(prompting.tokenizer, chat=True)
    targets = encode_solutions(prompting.tokenizer, solutions)
    return [
        Row(head, [*ids, end], [*results, False])
        for head, (ids, results) in zip(prompting.ids(prompts), targets, strict=True)
    ]


def report_long(names: Sequence[str], total: int, limit: int, what: str, done: str) -> None:
    """Report on standard error how many examples were too long; raise UserError if all were."""
    if not names:
        return
    if len(names) == total and done == "left out":
        raise UserError(
            f"all {total} {what} are longer than {limit} tokens (first: {names[0]}); raise max_length or shorten them"
        )
    print(
        f"note: {len(names)} of {total} {what} are longer than {limit} tokens and were {done} (first: {names[0]})",
        file=sys.stderr,
    )


def add_noise(examples: Sequence[Example], share: float, seed: int, vocabulary: Iterable[str]) -> list[Example]:
    """The examples with `share` of their questions' words replaced by random words; numbers and steps are unchanged.

    The random words are drawn uniformly from the letters-only words of `vocabulary`'s texts.
    """
    if share == 0:
        return list(examples)
    words = sorted({word for text in vocabulary for word in _WORD.findall(text)})
    draw = random.Random(f"noise {seed}")

    def replace(match: re.Match[str]) -> str:
        return words[int(draw.random() * len(words))] if draw.random() < share else match.group()

    return [example.model_copy(update={"question": _WORD.sub(replace, example.question)}) for example in examples]


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Pad on the right with `value`: LongTensor [n, longest]."""
    lengths = [len(row) for row in rows]
    out = np.full((len(rows), max(lengths)), value, dtype=np.int64)
    for index, row in enumerate(rows):
        out[index, : lengths[index]] = row
    return torch.from_numpy(out)


def mask_of(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """LongTensor [n, longest]: 1 where a row has a token. Based on lengths, so a pad id inside a row stays visible."""
    lengths = torch.tensor([len(row) for row in rows])
    return (torch.arange(int(lengths.max()))[None, :] < lengths[:, None]).long()


def collate_generator(rows: Sequence[Row], pad_id: int, start_id: int | None = None) -> dict[str, torch.Tensor]:
    """A batch for `retrace.training.sft.token_loss`.

    With start_id (encoder-decoder): input_ids, attention_mask [n, input]; decoder_input_ids, labels [n, output].
    Without (decoder-only): input_ids, attention_mask, labels [n, input + output]; labels[t] is the token that position t
    predicts, so labels are already shifted. Labels of -100 are not in the loss.
    """
    wanted = [[IGNORED if out else token for token, out in zip(row.target, row.ignored, strict=True)] for row in rows]
    if start_id is not None:
        ids = [row.ids for row in rows]
        return {
            "input_ids": pad(ids, pad_id),
            "attention_mask": mask_of(ids),
            "decoder_input_ids": pad([[start_id, *row.target[:-1]] for row in rows], pad_id),
            "labels": pad(wanted, IGNORED),
        }
    ids = [[*row.ids, *row.target[:-1]] for row in rows]
    labels = [[IGNORED] * (len(row.ids) - 1) + target for row, target in zip(rows, wanted, strict=True)]
    return {"input_ids": pad(ids, pad_id), "attention_mask": mask_of(ids), "labels": pad(labels, IGNORED)}


def bucketed_order(lengths: Sequence[int], batch_size: int, steps: int, seed: int, window: int = 50) -> np.ndarray:
    """Indices of `steps` full batches, IntArray [steps * batch_size], with similar lengths in a batch.

    Each epoch is a new permutation. Within windows of `window` batches the examples are sorted by length and cut into
    batches, which are shuffled again. `seed` determines the order, so a resumed run continues where it stopped.
    """
    generator = np.random.default_rng(seed)
    needed = steps * batch_size
    epochs = -(-needed // len(lengths))
    order = np.concatenate([generator.permutation(len(lengths)) for _ in range(epochs)])[:needed]
    sizes = np.asarray(lengths)
    for start in range(0, needed, window * batch_size):
        part = order[start : start + window * batch_size]
        part = part[np.argsort(sizes[part], kind="stable")].reshape(-1, batch_size)
        order[start : start + window * batch_size] = part[generator.permutation(len(part))].reshape(-1)
    return order
