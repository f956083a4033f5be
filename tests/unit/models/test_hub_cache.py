"""The Hub's cache as people have it: without references, with dangling links, at another revision, beside no network."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from retrace.errors import UserError
from retrace.models.hub import fetch_model, local_folder, read_lock
from retrace.models.hub_cache import from_cache
from retrace.models.load import load_model
from retrace.models.options import ModelConfig
from unit.tiny_models import arithmetic_task, problems, tiny_folder

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40
FILES = {
    "config.json": b'{"model_type": "t5", "is_encoder_decoder": true, "relative_attention_num_buckets": 32}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 100,
}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 500\n"
TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one model, as the Hub's client lays it out; the Hub itself cannot be reached."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home/hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("RETRACE_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    home = tmp_path / "home/hub/models--owner--tiny"
    put(home, COMMIT)
    (home / "refs").mkdir()
    (home / "refs/main").write_text(COMMIT)
    return home


def put(home: Path, commit: str) -> None:
    folder = home / "snapshots" / commit
    folder.mkdir(parents=True)
    (home / "blobs").mkdir(exist_ok=True)
    for name, content in FILES.items():
        (home / "blobs" / name).write_bytes(content)
        (folder / name).symlink_to(f"../../blobs/{name}")


def get(tmp_path: Path, output: str = "model", **values: object) -> dict:
    model = ModelConfig(name="tiny", title="Tiny", family="encoder_decoder", **({"hub": "owner/tiny"} | values))
    return fetch_model(model, tmp_path / "lock.json", tmp_path / output)


@pytest.fixture(params=["offline", "unreachable"])
def no_hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", request.param == "offline")
    return request.param


# ---------------------------------------------------------------- what serves


def test_a_cached_model_serves_without_the_hub(tmp_path, cache, no_hub, capsys) -> None:
    assert get(tmp_path)["revision"] == COMMIT
    assert (tmp_path / "model/model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert read_lock(tmp_path / "lock.json")["owner/tiny"]["revision"] == COMMIT
    noted = "the Hub cannot be reached" in capsys.readouterr().err
    assert noted == (no_hub == "unreachable"), "what may not be the newest is said"


def test_a_cache_without_references_serves_where_one_revision_is_there(tmp_path, cache, no_hub) -> None:
    shutil.rmtree(cache / "refs")
    assert get(tmp_path)["revision"] == COMMIT
    assert local_folder("owner/tiny").name == COMMIT


def test_a_reference_that_was_cut_off_is_none(tmp_path, cache, no_hub) -> None:
    (cache / "refs/main").write_text("")
    assert get(tmp_path)["revision"] == COMMIT


# ---------------------------------------------------------------- what does not, and why


def test_of_several_revisions_without_a_reference_none_is_guessed(tmp_path, cache, no_hub) -> None:
    put(cache, OTHER)
    shutil.rmtree(cache / "refs")
    found = from_cache("owner/tiny", None)
    assert f"the cache has revision {COMMIT}, {OTHER}: set `revision`" in found
    with pytest.raises(UserError, match="Two ways on") as caught:
        get(tmp_path)
    assert ("set `revision`" in str(caught.value)) == (no_hub == "offline")
    assert get(tmp_path, revision=OTHER)["revision"] == OTHER


def test_another_revision_is_not_taken(tmp_path, cache, no_hub) -> None:
    with pytest.raises(UserError, match=r"owner/tiny: .*Two ways on") as caught:
        get(tmp_path, revision=OTHER)
    if no_hub == "offline":
        assert f"not in the Hub's cache at revision {OTHER} (the cache has revision {COMMIT})" in str(caught.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_link_without_its_file_is_named(tmp_path, cache, monkeypatch, name: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (cache / "blobs" / name).rename(cache / "blobs" / f"{name}.incomplete")
    with pytest.raises(
        UserError, match=rf"{name}: a link to \.\./\.\./blobs/{name}, and nothing is there; .*HF_HUB_OFFLINE"
    ):
        get(tmp_path)
    assert not (tmp_path / "lock.json").exists()


def test_a_part_of_the_weights_that_the_index_names_is_missed(tmp_path, cache, monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = cache / "snapshots" / COMMIT
    parts = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (folder / "model.safetensors").rename(folder / parts[0])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": parts[0], "b": parts[1]}}))
    with pytest.raises(UserError, match=rf"not in the Hub's cache as a whole \(.*{parts[1]} is missing\)"):
        get(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("place", ["cache", "mirror", "file"])
def test_a_pointer_in_the_place_of_a_file_is_named(tmp_path, cache, monkeypatch, name: str, place: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = cache / "snapshots" / COMMIT
    given: dict[str, object] = {}
    if place == "mirror":
        folder = shutil.copytree(folder, tmp_path / "mirror/huggingface.co/owner/tiny")
        monkeypatch.setenv("RETRACE_MIRROR", str(tmp_path / "mirror"))
    elif place == "file":
        folder = shutil.copytree(folder, tmp_path / "mine")
        given = {"hub": None, "file": str(folder)}
    (folder / name).write_bytes(POINTER)
    with pytest.raises(UserError, match=rf"{name}: a Git LFS pointer in the place of the file; run `git lfs pull`"):
        get(tmp_path, **given)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("fault", ["empty", "dangling", "none", "part"])
def test_a_copy_of_a_model_without_its_weights_is_named(tmp_path, cache, fault: str) -> None:
    mine = shutil.copytree(cache / "snapshots" / COMMIT, tmp_path / "mine", symlinks=fault == "dangling")
    if fault == "empty":
        (mine / "model.safetensors").write_bytes(b"")
    elif fault == "none":
        (mine / "model.safetensors").unlink()
    elif fault == "part":
        (mine / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    message = {
        "empty": r"model\.safetensors: empty; copy it again",
        "dangling": r"\.json: a link to .*, and nothing is there",
        "none": "mine: holds no weights",
        "part": r"mine: model-00001-of-00002\.safetensors is missing",
    }[fault]
    with pytest.raises(UserError, match=message):
        get(tmp_path, hub=None, file=str(mine))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_in_a_folder_that_is_loaded_is_named(tmp_path, name: str) -> None:
    tiny_folder(tmp_path / "model", arithmetic_task(), problems(8), "encoder_decoder")
    assert (tmp_path / "model" / name).exists()
    (tmp_path / "model" / name).write_bytes(POINTER)
    with pytest.raises(UserError, match=rf"{name}: a Git LFS pointer"):
        load_model(tmp_path / "model", "encoder_decoder")


# ---------------------------------------------------------------- revisions, folders, names, tokens


@pytest.mark.parametrize("revision", ["main", "v1", "refs/pr/1"])
def test_a_branch_or_tag_is_refused_with_its_commit(tmp_path, cache, no_hub, revision: str) -> None:
    (cache / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
    (cache / "refs" / revision).write_text(COMMIT)
    with pytest.raises(UserError, match=rf"revision '{revision}' is a branch, a tag .* give the commit .*: {COMMIT}"):
        get(tmp_path, revision=revision)
    assert not (tmp_path / "lock.json").exists()


@pytest.mark.parametrize("hub", ["a/b/c", "two words/x", "owner/-tiny"])
def test_a_name_that_is_none_is_named(tmp_path, cache, hub: str) -> None:
    with pytest.raises(UserError, match="no name of a model on the Hub"):
        get(tmp_path, hub=hub)


@pytest.mark.parametrize(
    "said",
    [
        f"Illegal header value b'Bearer {TOKEN}'",
        f"refused for {TOKEN}",
        "no route to https://me:hf_pass@host/x?sig=hf_signed",
        "the token my-own-token is no good",
    ],
)
@pytest.mark.parametrize("kind", [OSError, RuntimeError, ValueError])
def test_no_token_is_in_a_message(tmp_path, cache, monkeypatch, said: str, kind: type[Exception]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind(said)

    shutil.rmtree(cache)
    monkeypatch.setenv("HF_TOKEN", "my-own-token")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    with pytest.raises(UserError, match=r"the Hub cannot be reached \(.*Two ways on") as caught:
        get(tmp_path)
    assert not any(secret in str(caught.value) for secret in (TOKEN, "hf_pass", "hf_signed", "my-own-token"))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_the_hub_asks_for_a_token(tmp_path, cache, monkeypatch, status: int) -> None:
    class Refused(OSError):
        response = type("Response", (), {"status_code": status})

    def fail(*_: object, **__: object) -> None:
        raise Refused("no")

    shutil.rmtree(cache)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    with pytest.raises(UserError, match=rf"the Hub refuses it \({status}\); set HF_TOKEN"):
        get(tmp_path)
