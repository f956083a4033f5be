"""Training rows of implicit chain of thought: all token ids in one array, read one line of data at a time.

808,000 rows of 4 x 4 multiplication take 120 MB so, and no Python object each.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.machine.storage import iter_jsonl
from retrace.prompting.layouts import Layout
from retrace.prompting.separated import separators, whole_text
from retrace.schemas import Example
from retrace.tasks.base import Task
from retrace.training.data import IGNORED, report_long

CHUNK = 4096  # rows that are encoded together


class SeparatedRows(Sequence[int]):
    """Rows `question <end> steps <end> #### answer <end>` as token ids; as a sequence: their numbers.

    ids: all rows on end. starts [n + 1]: where each begins. first, second [n]: places of the separators in each row.
    """

    def __init__(self, ids: np.ndarray, starts: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
        self.ids, self.starts, self.first, self.second = ids, starts, first, second

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        if isinstance(number, slice):
            return list(range(*number.indices(len(self))))
        return range(len(self))[number]

    def row(self, number: int) -> np.ndarray:
        """All token ids of a row."""
        return self.ids[self.starts[number] : self.starts[number + 1]]

    def without_steps(self, number: int) -> np.ndarray:
        """Token ids of `question <end> #### answer <end>`."""
        row = self.row(number)
        return np.concatenate([row[: self.first[number] + 1], row[self.second[number] + 1 :]])

    def of_layout(self, number: int, layout: Layout) -> np.ndarray:
        """Token ids of a row in a layout."""
        return self.row(number) if layout == "explicit_cot" else self.without_steps(number)

    def lengths(self, layout: Layout | None) -> np.ndarray:
        """Tokens of each row in a layout; None: of question and separator alone."""
        whole = np.diff(self.starts)
        if layout == "explicit_cot":
            return whole
        question = self.first + 1
        return question if layout is None else question + whole - self.second - 1

    def fingerprint(self) -> str:
        """Checksum of all rows."""
        digest = hashlib.sha256()
        for array in (self.ids, self.starts, self.first, self.second):
            digest.update(f"{array.dtype} {len(array)}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def read_rows(
    path: str | Path,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    leave_out_long: bool = False,
    limit: int = -1,
) -> SeparatedRows:
    """The examples of a JSONL file as rows, at most the first `limit` (-1: all).

    max_length: most tokens of a row with its steps. Raises UserError naming file and example for a longer one (or
    leaves it out, counted), for other separators than the layout has, and where there are none at all.
    """
    end, end_id = tokenizer.eos_token, tokenizer.eos_token_id
    if end is None:
        raise UserError(f"{path}: the tokenizer has no end token, which separates question, steps and answer")
    # An array of 16-bit numbers grows by appending bytes; a vocabulary beyond 65,535 takes twice the room.
    kind = np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.int32)
    ids, lengths, places = bytearray(), [], []
    dropped: list[str] = []
    total = 0
    encode = _encoder(tokenizer)
    examples = iter_jsonl(path, Example)
    for chunk in _chunks(islice(examples, limit) if limit >= 0 else examples):
        texts = [
            whole_text(example.question, task.reasoning_text(example), task.written_answer(example), end)
            for example in chunk
        ]
        for example, row in zip(chunk, encode(texts), strict=True):
            total += 1
            if len(row) > max_length:
                if not leave_out_long:
                    raise UserError(
                        f"{path}: example {example.id} has {len(row)} tokens, {max_length} are allowed (max_length, and "
                        "the model's own limit); raise max_length, take a model with a longer context, or set "
                        "leave_out_long"
                    )
                dropped.append(example.id)
                continue
            found = separators(row, end_id, 3, f"{path}: example {example.id}")
            ids += np.asarray(row[: found[2] + 1], dtype=kind).tobytes()
            lengths.append(found[2] + 1)
            places.append(found[:2])
    if not total:
        raise UserError(f"{path}: holds no rows; check the split and its limits")
    report_long(dropped, total, max_length, f"examples of {path}", "left out")
    starts = np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))])
    first, second = np.asarray(places, dtype=np.int32).reshape(-1, 2).T
    return SeparatedRows(np.frombuffer(bytes(ids), dtype=kind), starts, first.copy(), second.copy())


def _encoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[list[str]], list[list[int]]]:
    """Texts to token ids; for a tokenizer of words a look-up each, which is several times faster."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    table, unknown = tokenizer.get_vocab(), tokenizer.unk_token_id

    def by_tokenizer(texts: list[str]) -> list[list[int]]:
        return tokenizer(texts, verbose=False)["input_ids"]

    def by_words(texts: list[str]) -> list[list[int]]:
        return [[table.get(word, unknown) for word in text.split()] for text in texts]

    probe = [f" 1 0 * 9 x {tokenizer.eos_token} ( 7 ) {tokenizer.eos_token} #### 1 {tokenizer.eos_token}"]
    alike = isinstance(getattr(backend, "model", None), WordLevel) and isinstance(
        backend.pre_tokenizer, WhitespaceSplit
    )
    return by_words if alike and by_words(probe) == by_tokenizer(probe) else by_tokenizer


def _chunks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    iterator = iter(examples)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


# ---------------------------------------------------------------- batches


def padded(rows: Sequence[np.ndarray], value: int) -> Tensor:
    """Pad on the right with `value`: LongTensor [n, longest]."""
    lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    out = np.full((len(rows), lengths.max()), value, dtype=np.int64)
    out[np.arange(out.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(out)


def labelled(tokens: Sequence[np.ndarray], first: Sequence[int], pad_id: int) -> dict[str, Tensor]:
    """input_ids, labels [B, L - 1] of texts: labels[t] is what position t shall predict; the question is not in the loss.

    first: where the separator behind the question stands in each. No mask: the padding stands on the right, and no token
    of a causal model sees what follows it.
    """
    whole = padded(tokens, pad_id)
    lengths = torch.tensor([len(row) for row in tokens])
    places = torch.arange(whole.shape[1] - 1)[None]
    inside = (places >= torch.tensor(first)[:, None]) & (places < lengths[:, None] - 1)
    return {"input_ids": whole[:, :-1], "labels": torch.where(inside, whole[:, 1:], IGNORED)}


def text_batch(rows: SeparatedRows, numbers: Sequence[int], layout: Layout, pad_id: int) -> dict[str, Tensor]:
    """`labelled` texts of rows in a layout."""
    tokens = [rows.of_layout(number, layout) for number in numbers]
    return labelled(tokens, [int(rows.first[number]) for number in numbers], pad_id)


def question_batch(rows: SeparatedRows, numbers: Sequence[int], pad_id: int) -> dict[str, Tensor]:
    """question_ids [B, L]: question and separator; positions [B]: where the separator stands."""
    first = rows.first[np.asarray(numbers)].astype(np.int64)
    tokens = [rows.row(number)[: place + 1] for number, place in zip(numbers, first, strict=True)]
    return {"question_ids": padded(tokens, pad_id), "positions": torch.from_numpy(first)}


def reasoning_batch(rows: SeparatedRows, numbers: Sequence[int], pad_id: int) -> dict[str, Tensor]:
    """teacher_ids [B, L]: question, steps and their separators; first, second [B]: where the separators stand."""
    places = np.asarray(numbers)
    first, second = (array[places].astype(np.int64) for array in (rows.first, rows.second))
    tokens = [rows.row(number)[: place + 1] for number, place in zip(numbers, second, strict=True)]
    return {
        "teacher_ids": padded(tokens, pad_id),
        "first": torch.from_numpy(first),
        "second": torch.from_numpy(second),
    }
