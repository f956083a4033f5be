"""Choice of the decoding batch size: as many rows as fit in device memory.

A row needs memory for its keys and values, a few copies of its logits, and temporarily a second copy of its cache when
finished rows are dropped. The count is only an estimate, because other programs may share the device. `in_batches`
therefore halves the number of rows whenever memory runs out, and repeats the batch.
"""

import gc
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from retrace.errors import UserError
from retrace.models.exact import takes_float64
from retrace.sections import BatchSize

if TYPE_CHECKING:
    from retrace.decoding.engine import Decoder

Item = TypeVar("Item")
Done = TypeVar("Done")

MOST_ROWS = 1024  # with more rows, a GPU gains little and a kill loses more work
ROWS_ON_PROCESSOR = 64  # a batch should stay in the processor's cache
_SHARE = 0.8  # of the free memory; the rest is for activations and fragmentation
_COPIES = 2.25  # of a row's cache: spare capacity (a quarter), and a second copy while rows are dropped
_LOGIT_BYTES = 40  # per vocabulary entry: logits in two types, probabilities, their sums in float64
_KEPT_BYTES = (
    12  # the same for a position whose logits are kept: in float32, and two more copies when they are searched
)
_CGROUPS = (  # files with a job's memory limit and usage: cgroup version 2 and version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def cache_bytes_per_token(model: Any) -> int:
    """Bytes of keys and values that one token of one row adds to the cache.

    Computed from the model's configuration: decoder layers, key-value heads (fewer than query heads with grouped
    queries), head width, and data type (float64 if a processor computes in float32). The question's keys and values in
    an encoder-decoder are not counted, because they exist once per question.
    """
    config = model.config.get_text_config(decoder=True) if hasattr(model.config, "get_text_config") else model.config
    layers = getattr(config, "num_decoder_layers", None) or config.num_hidden_layers
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weight = next(model.parameters())
    size = 8 if takes_float64(weight) else weight.element_size()
    return 2 * layers * heads * width * size


def rows_that_fit(model: Any, tokens_per_row: int, wanted: int, device: torch.device | str) -> int:
    """Number of rows of `tokens_per_row` tokens that can be decoded together on `device`: from 1 to `wanted`."""
    return rows_in(free_bytes(device), model, tokens_per_row, wanted)


def rows_for(
    batch_size: BatchSize,
    decoder: "Decoder",
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    per_question: int = 1,
    kept_logits: int = 0,
) -> int:
    """Number of rows decoded together: the batch size itself, or, for `auto`, as many as the memory holds.

    Args:
        batch_size: The option.
        decoder: The model.
        prompts: Token ids of the prompts.
        new_tokens: Maximum number of new tokens per row.
        per_question: Rows (samples, candidates, beams) per question; in an encoder-decoder they share its encoding.
        kept_logits: Number of positions whose logits are kept to the end.
    """
    if batch_size != "auto":
        return batch_size
    longest = max(map(len, prompts), default=1)
    if decoder.family == "encoder_decoder":
        longest = math.ceil(longest / per_question)
    most = ROWS_ON_PROCESSOR if decoder.device.type == "cpu" else MOST_ROWS
    rows = rows_in(free_bytes(decoder.device), decoder.model, longest + new_tokens, most, kept_logits)
    print(f"batches of {rows} sequences, based on the memory of {decoder.device}", file=sys.stderr, flush=True)
    return rows


def rows_in(free: int, model: Any, tokens_per_row: int, wanted: int, kept_logits: int = 0) -> int:
    """Number of rows of `tokens_per_row` tokens that fit into `free` bytes: from 1 to `wanted`.

    The count is rounded down to 2, 3, 4, 6, 8, 12, 16, ... rows (unless `wanted` itself fits), so that small differences
    in free memory do not change the batches.
    """
    vocabulary = int(getattr(model.config.get_text_config(decoder=True), "vocab_size", 0) or 0)
    row = _COPIES * tokens_per_row * cache_bytes_per_token(model) + vocabulary * (
        _LOGIT_BYTES + _KEPT_BYTES * kept_logits
    )
    fitting = int(_SHARE * free // max(1.0, row))
    return wanted if fitting >= wanted else max(1, _rounded_down(fitting))


def _rounded_down(count: int) -> int:
    """The largest power of two, or 1.5 times a power of two, that is at most `count`."""
    if count < 2:
        return count
    power = 1 << (count.bit_length() - 1)
    return power + power // 2 if count >= power + power // 2 else power


def free_bytes(device: torch.device | str) -> int:
    """Memory available for tensors: on a GPU including torch's unused cache; on a CPU within the job's limit."""
    device = torch.device(device)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return _free_ram()


def _free_ram() -> int:
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = 1024 * int(line.split()[1])
    except OSError:  # not Linux: assume all of the memory
        pass
    for limit, used in _CGROUPS:
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such file, or no limit ("max")
            continue
    return max(0, free)


def in_batches(
    items: Sequence[Item], rows: int, rows_per_item: int, work: Callable[[Sequence[Item], int], Done], least: int = 1
) -> Iterator[tuple[Sequence[Item], Done]]:
    """Yield consecutive items with the results of `work(items, rows)`, in order.

    If the device's memory runs out, the batch is repeated with half as many rows, which also applies to later batches.

    Args:
        items: The items.
        rows: Maximum number of rows in memory together.
        rows_per_item: Rows per item.
        work: Gets as many items as the rows allow, at least one, and must split an item that has more rows than allowed.
        least: Number of rows that `work` cannot split.

    Raises:
        UserError: If memory runs out with `least` rows.
    """
    start = 0
    while start < len(items):
        part = items[start : start + max(1, rows // rows_per_item)]
        lack = ""
        try:
            done = work(part, rows)
        except torch.OutOfMemoryError as error:
            lack = str(error).split("\n")[0]
        if lack:
            # Outside the handler, because the traceback would keep the failed batch's tensors alive.
            rows = _half(min(rows, len(part) * rows_per_item), least, lack)
            continue
        yield part, done
        start += len(part)


def _half(rows: int, least: int, lack: str) -> int:
    if rows <= least:
        raise UserError(
            f"not enough memory to decode {least} sequence(s) at once ({lack[:200]}); use a device with more memory, a "
            "smaller max_new_tokens, fewer candidates or beams, or `dtype: bfloat16` in the model's YAML"
        )
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = max(least, rows // 2)
    print(f"out of memory with {rows} sequences at once; continuing with {half}", file=sys.stderr, flush=True)
    return half
