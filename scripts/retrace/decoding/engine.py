"""The decoding engine: one forward pass a token for a whole batch, with a cache that rows can leave and enter.

A `State` holds rows that are being decoded. Rows are right-aligned: the real tokens of a row end in the last cache
column, and what a shorter row has on its left are masked holes. T5's position bias depends only on the distance of
key and query, and decoder-only models get explicit position ids, so holes do not change any logit.

In an encoder-decoder the question's keys and values exist once a question, however many rows (samples, candidates)
decode it: cross-attention gathers the queries of a question's rows instead of copying its keys to every row.

On a processor a row's logits do not depend on the other rows in float32 (`retrace.models.exact`): keys and values are
float64 there. In half precision they are kept as the model computes them. Under autocast, float32 weights keep them in
float64, but the layers compute in half precision, so that rows may depend on one another.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from retrace.errors import UserError
from retrace.models.exact import ATTENTION as EXACT
from retrace.models.exact import exact_attention, make_rows_independent, set_attention, takes_float64

GROUPED = "retrace_grouped"
_NO_LIMIT = 1_000_000  # tokenizers without a limit give 1e30


class GrowingLayer(DynamicLayer):
    """A cache layer with room to grow, so that a new token does not copy all earlier ones."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values [B, heads, new, width]; returns all of them (views)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.used, self.key_room, self.value_room = 0, key_states[:, :, :0], value_states[:, :, :0]
        length = self.used + key_states.shape[2]
        if length > self.key_room.shape[2]:
            # A quarter more than needed: few copies in a long run, little waste in a short one.
            room = length + max(16, length // 4)
            self.key_room = _with_room(self.key_room, key_states, self.used, room)
            self.value_room = _with_room(self.value_room, value_states, self.used, room)
        self.key_room[:, :, self.used : length] = key_states
        self.value_room[:, :, self.used : length] = value_states
        self.used = length
        self.keys, self.values = self.key_room[:, :, :length], self.value_room[:, :, :length]
        return self.keys, self.values

    def replace(self, keys: Tensor, values: Tensor) -> None:
        """Hold exactly these keys and values, which nobody else may write to."""
        self.keys = self.key_room = keys
        self.values = self.value_room = values
        self.used = keys.shape[2]


class ExactLayer(GrowingLayer):
    """The same in float64, for attention that takes it."""

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
        self.question, self.questions = question, questions  # [B] index of the question, how many there are
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
        # Few queries a row: two plain products are a quarter faster than the processor's fused kernel.
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
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function of T5 under the engine; without `groups` it is the library's own."""
    if groups is None:
        attend = exact_attention if takes_float64(query) else sdpa_attention_forward
        return attend(module, query, key, value, attention_mask, scaling=scaling, position_bias=position_bias, **kwargs)
    kind = query.dtype
    # The cache is float64 where the weights are float32; under autocast the query is of half precision all the same.
    if takes_float64(query) or key.dtype == torch.float64:
        query, key, value = query.double(), key.double(), value.double()
    if not module.is_causal:  # cross-attention; T5's position bias is zero there
        return groups.attend(query, key, value, attention_mask, scaling).to(kind), None
    # Not -inf: a hole's query sees nothing, and -inf everywhere would make NaN of it.
    bias = position_bias.to(query.dtype).masked_fill(~attention_mask, torch.finfo(query.dtype).min)
    return _attend(query, key, value, bias, scaling).transpose(1, 2).to(kind), None


AttentionInterface.register(GROUPED, _grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


def no_numbers(dtype: torch.dtype) -> UserError:
    """The error for a model whose scores are NaN."""
    return UserError(
        f"the model's scores are not numbers (NaN) in {dtype}: its weights are damaged, or float16 is too small for "
        "them; rebuild the checkpoint, or set `dtype: bfloat16` or `float32` in the model's YAML"
    )


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
        """A new state of these rows (LongTensor[n], any order, repeats allowed); this one stays as it is.

        Left columns that are holes in all chosen rows are dropped. Questions without rows are dropped as soon as
        they are a quarter of all.
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

    def _realign(self, shift: Tensor) -> None:
        """Move row i by shift[i] columns to the right; what falls off the end are holes."""
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


class Decoder:
    """A model with its tokenizer, ready to decode many rows at once.

    model: T5-like (`encoder_decoder`) or any causal language model (`decoder_only`), put in evaluation mode.
    device: where it runs; default: where it is. separated: prompts end in the end token, as the separator behind the
    question (implicit chain of thought). ends: a text is over at its so-manieth end token. end_ids: tokens that end an
    answer; default: the tokenizer's end token. special_tokens: prompts get those that the tokenizer puts around a text
    (a chat template brings its own).
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        family: str,
        device: torch.device | str | None = None,
        separated: bool = False,
        ends: int = 1,
        end_ids: Sequence[int] = (),
        special_tokens: bool = True,
    ) -> None:
        if family not in ("encoder_decoder", "decoder_only"):
            raise UserError(f"family {family!r}: use encoder_decoder or decoder_only")
        self.model = (model if device is None else model.to(device)).eval()
        self.tokenizer = tokenizer
        self.family = family
        self.separated, self.ends = separated, ends
        self.device = next(model.parameters()).device
        self.eos_id: int = tokenizer.eos_token_id
        self.end_ids: tuple[int, ...] = tuple(end_ids) or (self.eos_id,)
        self.special_tokens = special_tokens
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        if family == "encoder_decoder":
            if not (hasattr(model, "decoder") and hasattr(model.config, "relative_attention_num_buckets")):
                raise UserError(
                    f"model type {model.config.model_type!r}: of the encoder-decoders only T5 and its relatives work"
                )
            set_attention(model, GROUPED)
        self.exact = make_rows_independent(self.model, None if family == "encoder_decoder" else EXACT)

    @property
    def max_length(self) -> int:
        """The longest input in tokens; for decoder-only models prompt and answer together."""
        config = self.model.config
        limits = [getattr(self.tokenizer, "model_max_length", _NO_LIMIT)]
        limits += [getattr(config, name, None) or _NO_LIMIT for name in ("max_position_embeddings", "n_positions")]
        return int(min(limits)) if min(limits) < _NO_LIMIT else _NO_LIMIT

    def encode(self, prompts: Sequence[str], names: Sequence[str] | None = None, reserve: int = 0) -> list[list[int]]:
        """Token ids of prompts, with the special tokens that the model was trained with.

        reserve: tokens that a decoder-only model will write behind the prompt. Raises UserError for a prompt that
        is too long, naming it by `names`.
        """
        words = {"add_special_tokens": self.special_tokens, "verbose": False}
        ids = self.tokenizer(list(prompts), **words)["input_ids"] if prompts else []
        if self.separated:
            ids = [row[: row.index(self.eos_id) + 1] if self.eos_id in row else row for row in ids]
        elif self.family == "decoder_only" and self.special_tokens:
            # Some tokenizers end every text; the model is to go on here.
            ids = [row[:-1] if len(row) > 1 and row[-1] == self.eos_id else row for row in ids]
        limit = self.max_length - (reserve if self.family == "decoder_only" else 0)
        for index, row in enumerate(ids):
            name = names[index] if names is not None else f"prompt {index}"
            if len(row) > limit:
                raise UserError(
                    f"{name}: the question has {len(row)} tokens, the model takes {limit}"
                    + (f" before {reserve} new ones" if self.family == "decoder_only" and reserve else "")
                    + "; shorten or remove it, or use a model with a longer input"
                )
            if not row:
                raise UserError(f"{name}: the question is empty")
        return ids

    def is_end(self, tokens: Tensor) -> Tensor:
        """Which tokens (LongTensor[B]) end an answer."""
        if len(self.end_ids) == 1:
            return tokens == self.end_ids[0]
        return torch.isin(tokens, torch.tensor(self.end_ids, device=tokens.device))

    def pad(self, rows: Sequence[Sequence[int]], left: bool) -> tuple[Tensor, Tensor]:
        """Token ids and mask (True: real), both [B, longest], padded on the left or on the right."""
        width = max(len(row) for row in rows)
        gaps = [[self.pad_id] * (width - len(row)) for row in rows]
        tokens = [[*gap, *row] if left else [*row, *gap] for row, gap in zip(rows, gaps, strict=True)]
        lengths = torch.tensor([len(row) for row in rows])[:, None]
        columns = torch.arange(width)[None]
        mask = columns >= width - lengths if left else columns < lengths
        return torch.tensor(tokens, device=self.device), mask.to(self.device)

    @torch.no_grad()
    def prefill(self, prompts: Sequence[str] | Sequence[list[int]]) -> State:
        """Read prompts (texts, or ids from `encode`) once; the state has one row a prompt."""
        ids = [list(p) for p in prompts] if prompts and not isinstance(prompts[0], str) else self.encode(prompts)
        left = self.family == "decoder_only"
        tokens, mask = self.pad(ids, left)
        if left:
            state = State(self._new_cache(), mask[:, :0], mask, None, None)
            state.logits = self._numbers(self._forward(state, tokens, mask))
            return state
        hidden = self.model.encoder(input_ids=tokens, attention_mask=mask[:, None, None, :]).last_hidden_state
        groups = Groups(torch.arange(len(ids), device=self.device), len(ids))
        cache = EncoderDecoderCache(self._new_cache(), DynamicCache())
        state = State(cache, mask[:, :0], mask, groups, mask[:, None, None, :])
        start = torch.full((len(ids), 1), self.model.config.decoder_start_token_id, device=self.device)
        state.logits = self._numbers(self._forward(state, start, torch.ones_like(start, dtype=torch.bool), hidden))
        if self.exact:
            for layer in cache.cross_attention_cache.layers:
                layer.keys, layer.values = layer.keys.double(), layer.values.double()
        return state

    def _new_cache(self) -> Cache:
        return Cache(layer_class_to_replicate=ExactLayer if self.exact else GrowingLayer)

    def _wide(self, logits: Tensor) -> Tensor:
        """Logits in float32, or in float64 where the model computes in it."""
        return logits if logits.dtype == torch.float64 else logits.float()

    def _numbers(self, logits: Tensor) -> Tensor:
        """The logits [B, V] themselves. Raises UserError where one is NaN: no token could be chosen by them."""
        if bool(logits.isnan().any()):
            raise no_numbers(logits.dtype)
        return logits

    @torch.no_grad()
    def step(self, state: State, token_ids: Tensor) -> Tensor:
        """Append one token a row (LongTensor[B]) in place; returns and keeps the next token's logits [B, V]."""
        token_ids = token_ids.to(self.device)[:, None]
        state.logits = self._forward(state, token_ids, torch.ones_like(token_ids, dtype=torch.bool))
        return state.logits

    @torch.no_grad()
    def append(self, state: State, rows: Sequence[Sequence[int]]) -> Tensor:
        """Append to each row its own tokens, one or more, in one pass, in place; returns the next logits [B, V]."""
        if len(rows) != len(state) or not all(rows):
            raise ValueError("append needs at least one token for every row of the state")
        tokens, mask = self.pad(rows, left=False)
        state.logits = self._forward(state, tokens, mask)
        if not bool(mask[:, -1].all()):
            state._realign((~mask).sum(1))
        return state.logits

    def _forward(self, state: State, tokens: Tensor, real: Tensor, hidden: Tensor | None = None) -> Tensor:
        """One pass of tokens [B, n] behind the cache; logits [B, V] behind the last real token of each row."""
        before = state.mask.shape[1]
        state.mask = torch.cat([state.mask, real], 1)
        last = tokens.shape[1] - 1 - real.flip(1).int().argmax(1) if tokens.shape[1] > 1 else None
        if self.family == "decoder_only":
            return self._forward_causal(state, tokens, real, last)
        keys = torch.arange(state.mask.shape[1], device=self.device)
        queries = keys[before:]
        mask = state.mask[:, None, None, :] & (keys[None, :] <= queries[:, None])[None, None]
        out = self.model.decoder(
            input_ids=tokens,
            attention_mask=mask,
            # Read at the first pass only: afterwards the questions' keys and values are in the cache.
            encoder_hidden_states=state.cross_mask if hidden is None else hidden,
            encoder_attention_mask=state.cross_mask,
            past_key_values=state.cache,
            use_cache=True,
            groups=state.groups,
        ).last_hidden_state
        out = out[:, -1] if last is None else out[torch.arange(len(out), device=self.device), last]
        if getattr(self.model.config, "scale_decoder_outputs", self.model.config.tie_word_embeddings):
            out = out * self.model.config.d_model**-0.5
        return self._wide(self.model.lm_head(out))

    def _forward_causal(self, state: State, tokens: Tensor, real: Tensor, last: Tensor | None) -> Tensor:
        positions = (state.mask.long().cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        # Only the columns that some row ends in need logits.
        keep = torch.tensor([0], device=self.device) if last is None else torch.unique(last)
        logits = self.model(
            input_ids=tokens,
            attention_mask=state.mask.long(),
            position_ids=positions,
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=keep,
        ).logits
        if last is None:
            return self._wide(logits[:, 0])
        return self._wide(logits[torch.arange(len(logits), device=self.device), torch.searchsorted(keep, last)])
