"""The decoding engine: one forward pass per token for a whole batch of rows (`retrace.decoding.state`).

On a processor in float32, a row's logits do not depend on the other rows (`retrace.models.exact`), because keys and
values are stored in float64. In half precision they are stored as the model computes them. Under autocast with float32
weights they are stored in float64, but the layers compute in half precision, so rows may depend on one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache

from retrace.decoding.state import GROUPED, GROUPED_FAST, ExactLayer, Groups, GrowingLayer, State
from retrace.errors import UserError
from retrace.models.architectures import ENCODER_DECODER
from retrace.models.exact import ATTENTION as EXACT
from retrace.models.exact import is_wanted, make_rows_independent, set_attention
from retrace.text.encoding import prompt_ids

_NO_LIMIT = 1_000_000  # tokenizers without a limit give 1e30
_WORTH_SHARING = 32  # tokens; a shorter prefix costs more in passes than it saves


@dataclass(frozen=True)
class SharedPrefix:
    """A common prefix of several prompts (worked examples, instructions) that was read once. state: has one row."""

    ids: list[int]
    state: State


def no_numbers(dtype: torch.dtype) -> UserError:
    """The error for a model whose scores are NaN."""
    return UserError(
        f"the model's scores are not numbers (NaN) in {dtype}: its weights are damaged, or float16 is too small for "
        "them; rebuild the checkpoint, or set `dtype: bfloat16` or `float32` in the model's YAML"
    )


class Decoder:
    """A model with its tokenizer, for decoding many rows at once.

    Args:
        model: T5-like (`encoder_decoder`) or any causal language model (`decoder_only`); put in evaluation mode.
        tokenizer: Its tokenizer.
        family: `encoder_decoder` or `decoder_only`.
        device: Device to run on; default: the model's device.
        separated: Whether prompts end in the end token, which separates the question (implicit chain of thought).
        ends: Number of end tokens after which a text is finished.
        end_ids: Tokens that end an answer; default: the tokenizer's end token.
        special_tokens: Whether the tokenizer adds special tokens to prompts; a chat template has its own.
        control_tokens: Whether prompts may contain control tokens as text, as in chat templates.
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
        control_tokens: bool = True,
        exact: str = "always",
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
        self.special_tokens, self.control_tokens = special_tokens, control_tokens
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.wants_exact = is_wanted(exact, self.model)
        if family == "encoder_decoder":
            if model.config.model_type not in ENCODER_DECODER:
                raise UserError(
                    f"model type {model.config.model_type!r}: of encoder-decoders, only T5 and similar models are supported"
                )
            set_attention(model, GROUPED if self.wants_exact else GROUPED_FAST)
            # As in each model's own forward: mT5 never, UMT5 if its head is tied to the embeddings.
            tied = model.config.tie_word_embeddings and model.config.model_type != "mt5"
            self._scales_outputs = bool(getattr(model.config, "scale_decoder_outputs", tied))
        self.exact = self.wants_exact and make_rows_independent(
            self.model, None if family == "encoder_decoder" else EXACT
        )

    @property
    def max_length(self) -> int:
        """Maximum input in tokens; for decoder-only models, of prompt and answer together."""
        config = self.model.config
        limits = [getattr(self.tokenizer, "model_max_length", _NO_LIMIT)]
        limits += [getattr(config, name, None) or _NO_LIMIT for name in ("max_position_embeddings", "n_positions")]
        return int(min(limits)) if min(limits) < _NO_LIMIT else _NO_LIMIT

    def encode(self, prompts: Sequence[str], names: Sequence[str] | None = None, reserve: int = 0) -> list[list[int]]:
        """Token ids of prompts, with the special tokens that the model was trained with.

        Args:
            prompts: The texts.
            names: Names of the prompts for error messages.
            reserve: Number of tokens that a decoder-only model will write after the prompt.

        Raises:
            UserError: If a prompt is too long or empty.
        """
        ids = prompt_ids(self.tokenizer, prompts, self.family, self.special_tokens, self.control_tokens)
        if self.separated:
            ids = [row[: row.index(self.eos_id) + 1] if self.eos_id in row else row for row in ids]
        limit = self.max_length - (reserve if self.family == "decoder_only" else 0)
        for index, row in enumerate(ids):
            name = names[index] if names is not None else f"prompt {index}"
            if len(row) > limit:
                raise UserError(
                    f"{name}: the question has {len(row)} tokens, but the model accepts {limit}"
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
    def shared_prefix(self, prompts: Sequence[Sequence[int]]) -> SharedPrefix | None:
        """Read the longest common prefix of prompts (token ids) once, for `prefill`; None if sharing saves nothing.

        On a processor in float32 the logits after it equal those of reading each prompt whole. Only decoder-only models
        can share a prefix, because an encoder's states depend on the text that follows. The weights must not change until
        the prefix is used.
        """
        if self.family != "decoder_only" or len(prompts) < 2:
            return None
        first, last = min(prompts), max(prompts)  # all others are between them in lexicographic order
        length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        length = min(length, min(map(len, prompts)) - 1)  # every prompt must keep at least one token of its own
        if length < _WORTH_SHARING:
            return None
        tokens = torch.tensor([first[:length]], device=self.device)
        real = torch.ones_like(tokens, dtype=torch.bool)
        state = State(self._new_cache(), real[:, :0], real, None, None)
        state.logits = self._numbers(self._forward(state, tokens, real))
        return SharedPrefix(list(first[:length]), state)

    @torch.no_grad()
    def prefill(self, prompts: Sequence[str] | Sequence[list[int]], shared: SharedPrefix | None = None) -> State:
        """Encode prompts (texts, or ids from `encode`) once; the state has one row per prompt.

        shared: a prefix of all prompts that was already read; default: the common prefix of these prompts.
        """
        ids = [list(p) for p in prompts] if prompts and not isinstance(prompts[0], str) else self.encode(prompts)
        left = self.family == "decoder_only"
        if shared is None:
            shared = self.shared_prefix(ids)
        if shared is not None:
            length = len(shared.ids)
            if any(row[:length] != shared.ids or len(row) == length for row in ids):
                raise ValueError("a shared prefix must be one of every prompt, and shorter")
            state = shared.state.select(torch.zeros(len(ids), dtype=torch.long))
            self._numbers(self.append(state, [row[length:] for row in ids]))
            return state
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
        """Logits in float32, or in float64 if the model computes in float64."""
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
            state.realign((~mask).sum(1))
        return state.logits

    def _forward(self, state: State, tokens: Tensor, real: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Forward pass of tokens [B, n] after the cache; logits [B, V] after the last real token of each row."""
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
        if self._scales_outputs:
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
