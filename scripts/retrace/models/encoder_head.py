"""A text encoder with a two-layer head: the body of the step discriminator and of the verifier.

The encoder may be a decoder-only network, as in process reward models; each position then attends only to earlier ones.
Weights carry the official names: `model.*` (encoder), `out_linear1.*`, `out_linear2.*`.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, T5Config, T5EncoderModel, UMT5EncoderModel
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging

from retrace.errors import UserError
from retrace.machine.storage import REBUILD, read_json, write_json
from retrace.models.architectures import described, kind_of
from retrace.models.backbones import is_causal, keep_lower_layers, moved_left, output_width
from retrace.models.exact import is_exact, is_wanted, make_rows_independent
from retrace.models.load import load_config, load_tokenizer, write_own_config
from retrace.models.share import share
from retrace.text.encoding import text_ids

Pooling = Literal["max", "mean", "cls", "last"]
FORMAT_FILE = "retrace.json"
_ENCODERS = {"t5": T5EncoderModel, "mt5": T5EncoderModel, "umt5": UMT5EncoderModel}


class EncoderHead(nn.Module):
    """encoder -> pooling over positions -> linear -> relu -> linear.

    Args: encoder, a network whose first output is [batch, positions, width]; outputs, numbers given for a text.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        pooling: Pooling = "max",
        pool_step_only: bool = False,
        max_length: int = 512,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        width = output_width(encoder.config)
        self.causal = is_causal(encoder.config)
        self.model = encoder
        self.out_linear1 = nn.Linear(width, width)
        self.out_linear2 = nn.Linear(width, outputs)
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.pool_step_only = pool_step_only
        self.max_length = max_length
        self.outputs = outputs
        # The layers that processes divide one by one, where they divide the network (FSDP).
        self._no_split_modules = getattr(encoder, "_no_split_modules", None)

    @property
    def device(self) -> torch.device:
        return self.out_linear1.weight.device

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, raw: bool = False) -> torch.Tensor:
        """input_ids, attention_mask: [batch, positions]. Returns what `squash` makes of the head's outputs; raw: the
        outputs, [batch, outputs]."""
        values = self.head(input_ids, attention_mask)
        return values if raw else self.squash(values)

    def squash(self, values: torch.Tensor) -> torch.Tensor:
        """What a text's outputs [batch, outputs] mean: the outputs themselves, unless a subclass says otherwise."""
        return values

    def head(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """input_ids, attention_mask: [batch, positions]. Returns [batch, outputs], before any squashing."""
        if self.causal:
            input_ids, attention_mask = moved_left(input_ids, attention_mask)
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)[0]
        else:
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask)[0]
        mask = attention_mask.bool()
        if self.pool_step_only and self.pooling != "last":  # a row's last token is the step's
            mask = mask & self._after_separator(input_ids)
        pooled = pool(hidden, mask, self.pooling)
        return self.out_linear2(torch.relu(self.out_linear1(pooled.to(self.out_linear1.weight.dtype))))

    def _after_separator(self, input_ids: torch.Tensor) -> torch.Tensor:
        """[batch, positions] bool: positions after the last separator; all where there is none."""
        is_separator = input_ids == self.tokenizer.sep_token_id
        later = is_separator.flip(1).cumsum(1).flip(1)  # separators at or after each position
        return later == 0

    def encode(self, contexts: list[str], steps: list[str]) -> list[list[int]]:
        """Token ids of `[CLS] context [SEP] step` for each row.

        A row longer than `max_length` loses tokens from the left of its context (after [CLS]); the step stays whole
        unless it alone is too long. Equal contexts and equal steps are tokenized once.
        """
        start, middle = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        of_context = self._tokenize(contexts)
        of_step = self._tokenize(steps)
        rows = []
        for context, step in zip(contexts, steps, strict=True):
            tail = [middle, *of_step[step]][: self.max_length - 1]
            room = self.max_length - 1 - len(tail)
            body = of_context[context]
            rows.append([start, *body[max(0, len(body) - room) :], *tail] if room else [start, *tail])
        return rows

    def too_long(self, contexts: list[str], steps: list[str]) -> list[int]:
        """Indices of the rows that `encode` has to cut."""
        of_context, of_step = self._tokenize(contexts), self._tokenize(steps)
        lengths = [len(of_context[c]) + len(of_step[s]) + 2 for c, s in zip(contexts, steps, strict=True)]
        return [index for index, length in enumerate(lengths) if length > self.max_length]

    def _tokenize(self, texts: list[str]) -> dict[str, list[int]]:
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return {}
        return dict(zip(distinct, text_ids(self.tokenizer, distinct), strict=True))

    def infer(self, rows: list[list[int]], batch_size: int) -> torch.Tensor:
        """Outputs of the head for token-id rows: FloatTensor [n, outputs] on the CPU, in evaluation mode.

        Equal rows are computed once; rows of like length share a batch. Inside a measurement that processes make
        together (`retrace.models.share`) each computes its part of the batches.
        """
        if not rows:
            return torch.zeros(0, self.outputs)
        was_training = self.training
        self.eval()
        distinct = {row: index for index, row in enumerate(dict.fromkeys(tuple(row) for row in rows))}
        order = sorted(distinct, key=len)
        values = torch.zeros(len(distinct), self.outputs)
        shared = share()
        with shared.quietly():
            for start, counts in shared.turns(range(0, len(order), batch_size)):
                part = order[start : start + batch_size]
                ids, mask = pad_rows(part, self.tokenizer.pad_token_id)
                out = self(ids.to(self.device), mask.to(self.device), raw=True).float().cpu()
                if counts:
                    values[[distinct[row] for row in part]] = out
            values = shared.total(values)
        self.train(was_training)
        if bool(values.isnan().any()):
            raise UserError(
                "the scores of the discriminator or verifier are not numbers (NaN): its weights are damaged; "
                "train or fetch it again"
            )
        return values[[distinct[tuple(row)] for row in rows]]

    def weights(self, state: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        """The weights by their official names, each tensor once: T5 ties two names to one embedding.

        state: the weights where this network has only a part of them, because processes divide it.
        """
        state = self.state_dict() if state is None else state
        first: dict[int, str] = {}
        for name, weight in self.named_parameters(remove_duplicate=False):
            first.setdefault(id(weight), name)
        again = {name for name, weight in self.named_parameters(remove_duplicate=False) if first[id(weight)] != name}
        if hasattr(self.model, "peft_config"):  # a saved state of adapters holds nothing that is frozen
            again |= {name for name, weight in self.named_parameters() if not weight.requires_grad}
        return {name: tensor.detach().contiguous().cpu() for name, tensor in state.items() if name not in again}

    def save(self, path: str | Path, kind: str) -> None:
        """Write our checkpoint layout into the folder `path` (created if missing)."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        save_file(self.weights(), path / "model.safetensors", metadata={"format": "pt"})
        write_own_config(path, kind, type(self).__name__, self.model.config)
        self.tokenizer.save_pretrained(path)
        write_json(
            path / FORMAT_FILE,
            {
                "kind": kind,
                "architecture": self.model.config.model_type,
                "pooling": self.pooling,
                "pool_step_only": self.pool_step_only,
                "max_length": self.max_length,
            },
        )


def pool(hidden: torch.Tensor, mask: torch.Tensor, kind: Pooling) -> torch.Tensor:
    """hidden: [batch, positions, width]; mask: [batch, positions] bool. Returns [batch, width].

    `max` and `mean` run over the positions of the mask; `last` is the last of these, `cls` is position 0.
    """
    if kind == "cls":
        return hidden[:, 0]
    if kind == "last":
        last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weights = mask.unsqueeze(-1)
    if kind == "max":
        return hidden.masked_fill(~weights, -1e9 if hidden.dtype != torch.float16 else -6e4).amax(dim=1)
    # In inference on a processor, how much is padded shall not matter (retrace.models.exact).
    wide = torch.float64 if is_exact(hidden.device) and torch.is_inference_mode_enabled() else None
    return ((hidden * weights).sum(dim=1, dtype=wide) / weights.sum(dim=1).clamp(min=1)).to(hidden.dtype)


def pad_rows(rows: list[tuple[int, ...]] | list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded LongTensor [batch, longest] of token ids, and its mask."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *([pad] * (longest - len(row)))] for row in rows], dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(longest)[None, :] < lengths[:, None]).long()


def encoder_from_pretrained(path: str | Path, layers: int = -1, dtype: str = "float32") -> PreTrainedModel:
    """The body of a model folder: T5's encoder alone, an ELECTRA/RoBERTa-like network, or a decoder-only one without head.

    layers: how many of its lower layers are kept; -1: all. dtype: of the weights; `auto`: as they are in the folder.
    Raises UserError for a folder whose weights are not that model's: random ones would be trained in their place.
    """
    config = load_config(path)
    if config.model_type not in _ENCODERS and getattr(config, "is_encoder_decoder", False):
        raise UserError(f"{path}: no encoder known for a {config.model_type}; use a T5 or an ELECTRA-like model")
    kind = kind_of(described(path) or {})
    automatic = _ENCODERS.get(config.model_type, AutoModel)
    missing: list[str] = []
    if kind is None:
        config = keep_lower_layers(config, layers, path)
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # else it warns of the weights that are left aside: a head, a decoder, upper layers
        logging.disable_progress_bar()
        try:
            encoder, loading = automatic.from_pretrained(
                path, config=config, dtype=dtype, output_loading_info=True, trust_remote_code=False
            )
        finally:
            logging.set_verbosity(verbosity)
        # The head reads positions: whether there is a pooler makes no difference.
        missing = sorted(name for name in loading["missing_keys"] if "pooler" not in name)
    if kind or missing:
        what = f"a {kind}" if kind else f"no {config.model_type} by itself (weight {missing[0]} is missing)"
        raise UserError(f"{path}: {what}; a backbone is a pretrained encoder: point to the folder or Hub id of one")
    return encoder


def scratch_encoder(
    tokenizer: PreTrainedTokenizerBase, width: int, layers: int, heads: int, feedforward: int, dropout: float, seed: int
) -> PreTrainedModel:
    """A freshly initialized T5 encoder; the caller's random state is left as it was."""
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=width // heads,
        d_ff=feedforward,
        num_layers=layers,
        num_heads=heads,
        dropout_rate=dropout,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return T5EncoderModel(config)


def add_separators(tokenizer: PreTrainedTokenizerBase, brackets: bool, causal: bool = False) -> None:
    """Add what a discriminator's input needs and a T5 tokenizer lacks: [CLS], [SEP] and, with `brackets`, << and >>.

    causal: the network knows texts that begin with its start token, which stands in [CLS]'s place where there is one.
    """
    if brackets:
        missing = [text for text in ("<<", ">>") if text not in tokenizer.get_vocab()]
        tokenizer.add_tokens(missing)
    if tokenizer.cls_token is None and causal and tokenizer.bos_token is not None:
        tokenizer.cls_token = tokenizer.bos_token
    if tokenizer.cls_token is None:
        tokenizer.add_special_tokens({"cls_token": "[CLS]"})
    if tokenizer.sep_token is None:
        tokenizer.add_special_tokens({"sep_token": "[SEP]"})


def infer_t5_config(state: dict[str, torch.Tensor]) -> T5Config:
    """The configuration of a T5 encoder, read from the shapes of its weights (keys `model.*`).

    What shapes do not show (maximal relative distance, layer norm epsilon) has the same value in every released T5.
    """
    try:
        bias = state["model.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        query = state["model.encoder.block.0.layer.0.SelfAttention.q.weight"]
        vocabulary, width = state["model.shared.weight"].shape
    except KeyError as error:
        raise UserError(
            f"no weight {error}: not a T5 encoder; put the backbone's config.json beside the weights"
        ) from None
    first = "model.encoder.block.0.layer.1.DenseReluDense."
    gated = first + "wi_0.weight" in state
    blocks = {name.split(".")[3] for name in state if name.startswith("model.encoder.block.")}
    return T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=query.shape[0] // bias.shape[1],
        d_ff=state[first + ("wi_0.weight" if gated else "wi.weight")].shape[0],
        num_layers=len(blocks),
        num_heads=bias.shape[1],
        relative_attention_num_buckets=bias.shape[0],
        feed_forward_proj="gated-gelu" if gated else "relu",
        dropout_rate=0.1,
    )


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a folder: model.safetensors, or pytorch_model.bin read with weights_only."""
    safe, released = path / "model.safetensors", path / "pytorch_model.bin"
    if not safe.exists() and not released.exists():
        raise UserError(f"{path}: neither model.safetensors nor pytorch_model.bin; train or fetch the checkpoint again")
    file = safe if safe.exists() else released
    try:
        if safe.exists():
            return load_file(safe)
        state = torch.load(released, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types for a broken file
        fault = str(error).strip().split("\n")[0][:160]
        raise UserError(f"{file}: cannot be read ({fault}); {REBUILD}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{file}: holds something else than weights; fetch it again")
    return state


def restore(head: EncoderHead, state: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load weights by their official names. A decoder's and language head's weights are left aside.

    Raises UserError for a missing weight or a shape that does not fit.
    """
    own = head.state_dict()
    state = dict(state)
    for one, other in (("model.shared.weight", "model.encoder.embed_tokens.weight"),):
        if one in own:
            state.setdefault(other, state.get(one))
            state.setdefault(one, state.get(other))
    missing = [name for name in own if state.get(name) is None and not name.endswith("position_ids")]
    if missing:
        raise UserError(
            f"{path}: weight {missing[0]} is missing ({len(missing)} in all); not a checkpoint of this kind"
        )
    for name, tensor in own.items():
        if name in state and state[name].shape != tensor.shape:
            raise UserError(
                f"{path}: weight {name} has shape {list(state[name].shape)}, expected {list(tensor.shape)}; "
                "configuration or tokenizer do not belong to these weights"
            )
    head.load_state_dict({name: state[name] for name in own if name in state}, strict=False)


def open_checkpoint(path: str | Path, kind: str) -> tuple[Any, dict, dict]:
    """(encoder configuration, weights, settings) of a discriminator or verifier folder, ours or released."""
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; train the {kind} or fetch a released one")
    settings: dict = {"kind": kind, "pooling": "max", "pool_step_only": False, "max_length": 512}
    if (path / FORMAT_FILE).exists():
        given = read_json(path / FORMAT_FILE)
        if not isinstance(given, dict) or given.get("pooling", "max") not in get_args(Pooling):
            raise UserError(f"{path / FORMAT_FILE}: not the settings of a {kind}; train or fetch it again")
        settings |= given
        if settings["kind"] != kind:
            raise UserError(f"{path / FORMAT_FILE}: this is a {settings['kind']}, a {kind} is needed")
    state = read_weights(path)
    config = load_config(path) if (path / "config.json").exists() else infer_t5_config(state)
    return config, state, settings


def build_head(
    cls: type, path: str | Path, kind: str, device: str | torch.device, outputs: int, exact: str = "always"
) -> Any:
    """Load a network of class `cls` with weights, tokenizer and settings from folder `path`, in evaluation mode.

    exact: whether its rows are independent of each other on a processor, see `retrace.models.exact.is_wanted`.
    """
    config, state, settings = open_checkpoint(path, kind)
    own = _ENCODERS.get(config.model_type)
    encoder = own(config) if own else AutoModel.from_config(config, trust_remote_code=False)
    tokenizer = load_tokenizer(path)
    if tokenizer.cls_token is None or tokenizer.sep_token is None:
        raise UserError(f"{path}: its tokenizer has no [CLS] or [SEP] token; this is no {kind}'s folder")
    if len(tokenizer) > encoder.get_input_embeddings().num_embeddings:
        raise UserError(
            f"{path}: its tokenizer has more tokens than the network embeddings; they do not belong together"
        )
    network = cls(
        encoder,
        tokenizer,
        pooling=settings["pooling"],
        pool_step_only=settings["pool_step_only"],
        max_length=settings["max_length"],
        outputs=outputs,
    )
    restore(network, state, path)
    network = network.to(device).eval()
    if is_wanted(exact, network):
        make_rows_independent(network)
    return network
