"""State of rows being decoded: a cache that rows can leave and enter, and attention over it.

Rows are right-aligned: the real tokens of a row end in the last cache column, and shorter rows have masked holes on the
left. T5's position bias depends only on the distance between key and query, and decoder-only models get explicit position
ids, so holes do not change the logits.

In an encoder-decoder a question's keys and values are stored once for all rows (samples, candidates) that decode it:
cross-attention gathers the queries of a question's rows instead of copying its keys to every row.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from retrace.models.exact import exact_attention, takes_float64

GROUPED = "retrace_grouped"
GROUPED_FAST = "retrace_grouped_fast"  # the same without float64 on a CPU


class GrowingLayer(DynamicLayer):
    """A cache layer with spare capacity, so that a new token does not copy all earlier ones."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values [B, heads, new, width]; returns all of them (views)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.used, self.key_room, self.value_room = 0, key_states[:, :, :0], value_states[:, :, :0]
        length = self.used + key_states.shape[2]
        if length > self.key_room.shape[2]:
            # A quarter more than needed, so long runs need few copies and short runs waste little.
            room = length + max(16, length // 4)
            self.key_room = _with_room(self.key_room, key_states, self.used, room)
            self.value_room = _with_room(self.value_room, value_states, self.used, room)
        self.key_room[:, :, self.used : length] = key_states
        self.value_room[:, :, self.used : length] = value_states
        self.used = length
        self.keys, self.values = self.key_room[:, :, :length], self.value_room[:, :, :length]
        return self.keys, self.values

    def replace(self, keys: Tensor, values: Tensor) -> None:
        """Replace the contents by these keys and values, which the caller must not modify."""
        self.keys = self.key_room = keys
        self.values = self.value_room = values
        self.used = keys.shape[2]


class ExactLayer(GrowingLayer):
    """The same in float64, for attention that supports it."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values [B, heads, new, width]; returns all of them (views)."""
        return super().update(key_states.double(), value_states.double(), *args, **kwargs)


def _with_room(held: Tensor, like: Tensor, used: int, room: int) -> Tensor:
    batch, heads, _, width = like.shape
    larger = like.new_empty(batch, heads, room, width)
    larger[:, :, :used] = held[:, :, :used]
    return larger


class Groups:
    """Which question each row decodes, and each row's place among its question's rows."""

    def __init__(self, question: Tensor, questions: int) -> None:
        self.question, self.questions = question, questions  # [B] index of the question; number of questions
        counts = torch.bincount(question, minlength=questions)
        self.width = int(counts.max()) if len(question) else 0
        order = torch.argsort(question, stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[question[order]]
        self.slots = question * self.width + rank  # [B] place in a questions x width grid
        full = len(question) == questions * self.width
        self.in_order = full and bool((self.slots == torch.arange(len(self.slots), device=self.slots.device)).all())

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
        """Attention of rows [B, heads, n, width] over their question's keys [Q, heads, S, width]; [B, n, heads, width].

        mask: [Q, 1, 1, S], True where a key is real.
        """
        _, heads, new, width = query.shape
        cells = self.questions * self.width
        grid = query.transpose(1, 2)
        if not self.in_order:
            grid = query.new_zeros(cells, new, heads, width).index_copy_(0, self.slots, grid)
        grid = grid.reshape(self.questions, self.width * new, heads, width).transpose(1, 2)
        bias = query.new_zeros(mask.shape).masked_fill_(~mask, torch.finfo(query.dtype).min)
        out = _attend(grid, key, value, bias, scale)
        out = out.transpose(1, 2).reshape(cells, new, heads, width)
        return out if self.in_order else out.index_select(0, self.slots)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float) -> Tensor:
    if query.device.type == "cpu" and query.dtype == torch.float64:
        # With few queries per row, two plain products are 25 % faster than the processor's fused kernel.
        weights = torch.softmax(torch.matmul(query * scale, key.transpose(2, 3)) + bias, -1)
        return torch.matmul(weights, value)
    return scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)


def _grouped_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    groups: Groups | None = None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    exact: bool = True,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function of T5 under the engine; without `groups` it is the library's own.

    exact: on a CPU, compute in float64 if the inputs are float32.
    """
    wide = exact and takes_float64(query)
    if groups is None:
        attend = exact_attention if wide else sdpa_attention_forward
        return attend(module, query, key, value, attention_mask, scaling=scaling, position_bias=position_bias, **kwargs)
    kind = query.dtype
    # The cache is float64 if the weights are float32; under autocast the query still has half precision.
    if wide or key.dtype == torch.float64:
        query, key, value = query.double(), key.double(), value.double()
    if not module.is_causal:  # cross-attention; T5's position bias is zero there
        return groups.attend(query, key, value, attention_mask, scaling).to(kind), None
    # Not -inf: a hole's query sees nothing, and -inf everywhere would give NaN.
    bias = position_bias.to(query.dtype).masked_fill(~attention_mask, torch.finfo(query.dtype).min)
    return _attend(query, key, value, bias, scaling).transpose(1, 2).to(kind), None


AttentionInterface.register(GROUPED, _grouped_attention)
AttentionInterface.register(GROUPED_FAST, partial(_grouped_attention, exact=False))
for _name in (GROUPED, GROUPED_FAST):
    AttentionMaskInterface.register(_name, sdpa_mask)


class State:
    """Rows that are being decoded. Made by `Decoder.prefill`; `logits` [B, V] are those of the next token."""

    def __init__(self, cache: Cache, mask: Tensor, logits: Tensor, groups: Groups | None, cross_mask: Tensor | None):
        self.cache = cache
        self.mask = mask  # [B, L] True where a cache column holds a real token
        self.logits = logits
        self.groups = groups
        self.cross_mask = cross_mask  # [Q, 1, 1, S]

    def __len__(self) -> int:
        return len(self.mask)

    @property
    def _layers(self) -> list[GrowingLayer]:
        cache = self.cache.self_attention_cache if isinstance(self.cache, EncoderDecoderCache) else self.cache
        return cache.layers

    @torch.no_grad()
    def select(self, rows: Tensor) -> "State":
        """A new state with these rows (LongTensor[n], any order, repeats allowed); this state is unchanged.

        Left columns that are holes in all selected rows are dropped. Questions without rows are dropped once they are a
        quarter of all questions.
        """
        rows = rows.to(self.mask.device)
        mask = self.mask.index_select(0, rows)
        first = _first_used_column(mask)
        cache = Cache(layers=[])
        for layer in self._layers:
            copy = type(layer)()
            copy.lazy_initialization(layer.keys, layer.values)
            keys, values = layer.keys[:, :, first:], layer.values[:, :, first:]
            copy.replace(keys.index_select(0, rows), values.index_select(0, rows))
            cache.layers.append(copy)
        groups, cross_mask = self.groups, self.cross_mask
        if groups is not None:
            question, questions = groups.question.index_select(0, rows), groups.questions
            cross = self.cache.cross_attention_cache
            left = torch.unique(question)
            if len(left) <= 0.75 * questions:
                renumbered = torch.zeros(questions, dtype=torch.long, device=left.device)
                renumbered[left] = torch.arange(len(left), device=left.device)
                question, questions, cross_mask = renumbered[question], len(left), cross_mask[left]
                cross = _selected(cross, left)
            groups = Groups(question, questions)
            cache = EncoderDecoderCache(cache, cross)
        return State(cache, mask[:, first:], self.logits.index_select(0, rows), groups, cross_mask)

    def repeat(self, n: int) -> "State":
        """A new state with each row n times, copies side by side: row i becomes rows i*n to i*n+n-1."""
        return self.select(torch.arange(len(self), device=self.mask.device).repeat_interleave(n))

    def realign(self, shift: Tensor) -> None:
        """Move row i by shift[i] columns to the right; only holes may be moved past the end."""
        columns = torch.arange(self.mask.shape[1], device=self.mask.device)[None] - shift[:, None]
        self.mask = self.mask.gather(1, columns.clamp(min=0)) & (columns >= 0)
        first = _first_used_column(self.mask)
        self.mask = self.mask[:, first:]
        columns = columns[:, first:].clamp(min=0)[:, None, :, None]
        for layer in self._layers:
            index = columns.expand(-1, layer.keys.shape[1], -1, layer.keys.shape[3])
            value_index = columns.expand(-1, layer.values.shape[1], -1, layer.values.shape[3])
            layer.replace(layer.keys.gather(2, index), layer.values.gather(2, value_index))


def _first_used_column(mask: Tensor) -> int:
    used = mask.any(0)
    return int(used.int().argmax()) if mask.numel() else 0


def _selected(cache: Cache, rows: Tensor) -> DynamicCache:
    copy = DynamicCache()
    for index, layer in enumerate(cache.layers):
        copy.update(layer.keys.index_select(0, rows), layer.values.index_select(0, rows), index)
    return copy
