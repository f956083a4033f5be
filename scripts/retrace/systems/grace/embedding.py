"""Sentence embeddings of solution steps. Every distinct step is embedded once, in batches of similar length.

Choices of `align.embedder`: `roscoe`, `simcse`, `mpnet`, `minilm`, a sentence-transformers id or folder, `openai:MODEL`.
"""

import importlib.util
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrace.errors import UserError
from retrace.models.packaged import PACKAGED, packaged_folder

OPTION = "align.embedder"
Embedder = Callable[[list[str]], np.ndarray]

COMPUTATION = re.compile(r"<<.*?>>")


@dataclass(frozen=True)
class Known:
    """A named model on the Hub: pooler output or mean over tokens; texts are truncated to max_length."""

    hub: str
    pooling: str
    max_length: int


# Pooling and length as in the simcse package (encode: pooler_output, 128 tokens), which the official code uses.
KNOWN = {
    "roscoe": Known("facebook/roscoe-512-roberta-base", "pooler", 128),
    "simcse": Known("princeton-nlp/sup-simcse-roberta-base", "pooler", 128),
}


def embedding_text(step: str) -> str:
    """The text of a step to embed, without its `<<...>>` computations.

    A step that consists only of a computation keeps it, without the brackets; otherwise all such steps would be the same
    empty text. (The brackets would make different computations look similar.)
    """
    return COMPUTATION.sub("", step).strip() or step.replace("<<", "").replace(">>", "").strip() or step


def embed_steps(steps: Sequence[str], embedder: Embedder) -> np.ndarray:
    """Unit vectors of the steps' texts, float32 [len(steps), width]; equal texts are embedded once.

    Raises UserError naming the step if its vector is zero or not finite, because then no cosine exists.
    """
    number: dict[str, int] = {}
    rows = [number.setdefault(embedding_text(step), len(number)) for step in steps]
    texts = list(number)
    vectors = np.asarray(embedder(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise UserError(
            f"the embedder gave vectors of shape {list(vectors.shape)} for {len(texts)} texts; use another embedder"
        )
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        bad = ~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0)
    if bad.any():
        text = texts[int(np.argmax(bad))]
        raise UserError(
            f"the embedding of step {text[:80]!r} is zero or not a number, so it has no similarity to any other; "
            "remove the step from the data or use another align.embedder"
        )
    return (vectors / norms)[rows]


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # an earlier import failed
        return False


def check_embedder(name: str, url: str | None = None) -> None:
    """Raise UserError if an embedder's package or API key is missing; does not check for weights."""
    kind, _, model = name.partition(":")
    if kind == "openai":
        if not model:
            raise UserError(f"align.embedder {name!r}: name the model, as in openai:text-embedding-3-small")
        if not _installed("openai"):
            raise UserError("align.embedder openai: the package openai is missing; pip install openai")
        if not os.environ.get("OPENAI_API_KEY") and url is None:
            raise UserError(
                "align.embedder openai: OPENAI_API_KEY is not set; export it, or give the URL of your own "
                "server in align.embedder_url, or set align.embedder to minilm"
            )
        return
    if url is not None:
        raise UserError(f"align.embedder_url is for openai:MODEL only; the embedder is {name!r}")
    if name in PACKAGED:
        packaged_folder(name, OPTION)
    elif name not in KNOWN and not _installed("sentence_transformers"):
        raise UserError(f"align.embedder {name!r} needs a package; pip install sentence-transformers")


def load_embedder(name: str, url: str | None = None, batch_size: int = 256, folder: str | None = None) -> Embedder:
    """The embedder with this name; see the module's docstring. Weights come from the Hub or its cache, except minilm's.

    Args:
        name: A choice of `align.embedder`.
        url: Base URL of an OpenAI-compatible endpoint, for `openai:MODEL` only.
        batch_size: Texts per batch or request.
        folder: Folder with the files of a named embedder, if the workflow already fetched its pinned revision.
    """
    check_embedder(name, url)
    kind, _, model = name.partition(":")
    if kind == "openai":
        return EndpointEmbedder(model, url, batch_size)
    if name in PACKAGED:
        return TransformerEmbedder(str(packaged_folder(name, OPTION)), "mean", 256, batch_size)
    if name in KNOWN:
        known = KNOWN[name]
        return TransformerEmbedder(folder or known.hub, known.pooling, known.max_length, batch_size)
    return SentenceTransformersEmbedder(folder or name, batch_size)


def _no_model(name: str, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    return UserError(
        f"align.embedder: {name} could not be loaded ({reason}). Is the id correct, and is the Hub or its cache "
        f"(HF_HOME) reachable? Fill the cache on a machine that can reach the Hub (hf download {name}), or set "
        "align.embedder to minilm, which needs no download"
    )


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class TransformerEmbedder:
    """An encoder of the transformers library with mean pooling or pooler output.

    For minilm the output equals that of sentence-transformers, without the cost of importing it.
    """

    def __init__(self, model: str, pooling: str, max_length: int, batch_size: int = 256) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
            encoder, loading = AutoModel.from_pretrained(model, output_loading_info=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise _no_model(model, error) from None
        if pooling == "pooler" and any("pooler" in key for key in loading["missing_keys"]):
            raise UserError(
                f"align.embedder: {model} has no pooler weights and is not a SimCSE model, so random weights would be used. "
                "Set align.embedder to simcse, mpnet or minilm, or to the folder or Hub id of a sentence-transformers "
                "embedder"
            )
        self.encoder = encoder.float().eval().to(_device())
        self.pooling, self.max_length, self.batch_size = pooling, max_length, batch_size
        self.revision = getattr(encoder.config, "_commit_hash", None)

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Texts -> float32 [len(texts), width], not normalized."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        tokens = self.tokenizer(texts, truncation=True, max_length=self.max_length)["input_ids"]
        order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
        result = np.empty((len(texts), self.encoder.config.hidden_size), dtype=np.float32)
        device = self.encoder.device
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            rows = [torch.tensor(tokens[index]) for index in part]
            ids = pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.pad_token_id or 0).to(device)
            lengths = torch.tensor([len(row) for row in rows], device=device)
            mask = (torch.arange(ids.shape[1], device=device) < lengths[:, None]).long()
            with torch.inference_mode():
                output = self.encoder(input_ids=ids, attention_mask=mask)
                if self.pooling == "pooler":
                    pooled = output.pooler_output
                else:
                    weights = mask.unsqueeze(-1).to(output.last_hidden_state.dtype)
                    pooled = (output.last_hidden_state * weights).sum(1) / weights.sum(1)
            result[part] = pooled.cpu().numpy()
        return result


class SentenceTransformersEmbedder:
    """Any model of the sentence-transformers library, by Hub id or folder, with its own pooling."""

    def __init__(self, model: str, batch_size: int = 256) -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self.model = SentenceTransformer(model, device=_device())
        except (OSError, ValueError) as error:
            raise _no_model(model, error) from None
        self.batch_size = batch_size

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Texts -> float32 [len(texts), width]; the library sorts by length."""
        return self.model.encode(texts, batch_size=self.batch_size, convert_to_numpy=True, show_progress_bar=False)


class EndpointEmbedder:
    """An OpenAI-compatible embeddings endpoint. The key comes from OPENAI_API_KEY and never appears in a message."""

    MOST_INPUTS = 2048  # per request, OpenAI's limit

    def __init__(self, model: str, url: str | None = None, batch_size: int = 256, retries: int = 5) -> None:
        import openai

        self.key = os.environ.get("OPENAI_API_KEY", "")
        # Self-hosted servers often need no key, but the client requires one.
        self.client = openai.OpenAI(api_key=self.key or "none", base_url=url, max_retries=retries, timeout=60.0)
        self.model, self.batch_size = model, min(batch_size, self.MOST_INPUTS)

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Texts -> float32 [len(texts), width]. Raises UserError if a request fails after retries."""
        import openai

        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors: list[list[float] | None] = [None] * len(texts)
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            try:
                answer = self.client.embeddings.create(
                    model=self.model, input=[texts[index] for index in part], encoding_format="float"
                )
            except openai.OpenAIError as error:
                raise UserError(self._fault(error)) from None
            given: dict[int, Any] = {item.index: item.embedding for item in answer.data}
            if sorted(given) != list(range(len(part))):
                raise UserError(
                    f"align.embedder openai:{self.model}: the server returned {len(given)} vectors for {len(part)} texts; "
                    "is it compatible? Try a smaller align.batch_size"
                )
            for place, index in enumerate(part):
                vectors[index] = given[place]
        if len({len(vector) for vector in vectors if vector is not None}) != 1:
            raise UserError(f"align.embedder openai:{self.model}: the vectors differ in length; use another model")
        return np.asarray(vectors, dtype=np.float32)

    def _fault(self, error: Exception) -> str:
        text = " ".join(str(error).split())[:200]
        if self.key:
            text = text.replace(self.key, "[key]")
        return (
            f"align.embedder openai:{self.model}: the endpoint failed after retries ({type(error).__name__}: "
            f"{text}); check align.embedder_url, the model's name and OPENAI_API_KEY, or set align.embedder to "
            "minilm"
        )
