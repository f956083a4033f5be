"""Fetching models: a local server plays the Hub; the lock, the mirror and the messages."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.machine.storage import sha256_of
from retrace.models.hub import fetch_model, local_folder, missing_shards, needed_files, read_lock
from retrace.models.options import ModelConfig

SCRIPT = Path(__file__).parents[3] / "scripts" / "fetch_model.py"
REVISION = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"model_type": "t5", "is_encoder_decoder": true, "relative_attention_num_buckets": 32}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 100,
    "pytorch_model.bin": b"the same weights again",
    "README.md": b"not needed",
    "tf_model.h5": b"not needed",
}


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as a download of a whole model asks for."""

    def log_message(self, *args) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/")
        if "gated" in path:
            return self.answer(403, b"{}", X_Error_Code="GatedRepo")
        if "unknown" in path or "owner/tiny" not in path:
            return self.answer(404, b"{}", X_Error_Code="RepoNotFound")
        if "/revision/bad" in path:
            return self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
        if "/tree/" in path:
            rows = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in FILES.items()
            ]
            return self.answer(200, json.dumps(rows).encode(), Content_Type="application/json")
        if path.startswith("api/models/"):
            siblings = [{"rfilename": name} for name in FILES]
            body = json.dumps({"id": "owner/tiny", "sha": REVISION, "siblings": siblings}).encode()
            return self.answer(200, body, Content_Type="application/json")
        name = path.split("/")[-1]
        if name not in FILES:
            return self.answer(404, b"", X_Error_Code="EntryNotFound")
        etag = f'"{hashlib.sha1(FILES[name]).hexdigest()}"'
        return self.answer(200, FILES[name], ETag=etag, X_Repo_Commit=REVISION)

    do_HEAD = do_GET


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def fetch(tmp_path: Path, endpoint: str, hub: str = "owner/tiny", output: str = "model", yaml: str = "", **environment):
    (tmp_path / "tiny.yaml").write_text(f"name: tiny\ntitle: Tiny\nfamily: encoder_decoder\nhub: {hub}\n{yaml}")
    words = [sys.executable, str(SCRIPT), "--model-file", f"{tmp_path}/tiny.yaml"]
    words += ["--lock", f"{tmp_path}/models.lock.json", "--output", f"{tmp_path}/{output}"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "RETRACE_"))}
    kept |= {"HF_ENDPOINT": endpoint, "HF_HOME": f"{tmp_path}/hub", "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(words, capture_output=True, text=True, env=kept | environment, timeout=120)


def test_first_download_locks_and_later_ones_are_verified(tmp_path, endpoint) -> None:
    done = fetch(tmp_path, endpoint)
    assert done.returncode == 0, done.stderr
    wanted = ["config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == wanted
    assert all((tmp_path / "model" / name).read_bytes() == FILES[name] for name in wanted)
    entry = read_lock(tmp_path / "models.lock.json")["owner/tiny"]
    assert entry == {"revision": REVISION, "files": {name: hashlib.sha256(FILES[name]).hexdigest() for name in wanted}}

    for environment in ({"HF_HUB_OFFLINE": "1"}, {}):  # the revision is locked and cached: nobody is asked
        offline = fetch(tmp_path, "http://127.0.0.1:9", output="offline", **environment)
        assert offline.returncode == 0, offline.stderr
        assert sha256_of(tmp_path / "offline") == sha256_of(tmp_path / "model")

    document = json.loads((tmp_path / "models.lock.json").read_text())
    document["owner/tiny"]["files"]["config.json"] = "0" * 64
    (tmp_path / "models.lock.json").write_text(json.dumps(document))
    refused = fetch(tmp_path, endpoint, output="other")
    assert refused.returncode == 2
    assert "config.json has sha256" in refused.stderr
    assert "the lock says 000000" in refused.stderr
    assert refused.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("hub", "yaml", "message"),
    [
        (
            "owner/gated",
            "license_note: Ask nicely.\n",
            "gated. Accept its license at https://huggingface.co/owner/gated",
        ),
        ("owner/unknown", "", "no such model, or a private one"),
        ("owner/tiny", "revision: bad\n", "has no revision 'bad'"),
    ],
)
def test_refusals_say_what_to_do(tmp_path, endpoint, hub: str, yaml: str, message: str) -> None:
    done = fetch(tmp_path, endpoint, hub, yaml=yaml)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "models.lock.json").exists()
    if "gated" in hub:
        assert "HF_TOKEN. Ask nicely." in done.stderr


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_without_network_two_ways_are_named(tmp_path, environment) -> None:
    done = fetch(tmp_path, "http://127.0.0.1:9", **environment)
    assert done.returncode == 2
    assert "Two ways on" in done.stderr
    assert "RETRACE_MIRROR" in done.stderr
    assert "tiny preset" in done.stderr


@pytest.mark.parametrize("home", ["file", "file/below", "/proc/nowhere"])
def test_a_cache_that_cannot_be_made_is_named(tmp_path, endpoint, home: str) -> None:
    (tmp_path / "file").write_text("")
    done = fetch(tmp_path, endpoint, HF_HOME=str(tmp_path / home))
    assert done.returncode == 2, done.stderr
    assert f"owner/tiny: the Hub's cache {tmp_path / home}/hub cannot be used (" in done.stderr
    assert "set HF_HOME to another folder" in done.stderr
    assert not (tmp_path / "models.lock.json").exists()


def write(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(FILES[name])
    return folder


def model(**values) -> ModelConfig:
    return ModelConfig(name="tiny", title="Tiny", family="encoder_decoder", **values)


@pytest.mark.parametrize("place", ["", f"resolve/{REVISION}"])
def test_mirror(tmp_path, place: str) -> None:
    folder = write(tmp_path / "mirror" / "huggingface.co" / "owner" / "tiny" / place, list(FILES))
    lock = tmp_path / "models.lock.json"
    entry = fetch_model(model(hub="owner/tiny"), lock, tmp_path / "out", tmp_path / "mirror")
    assert entry["revision"] == (REVISION if place else "")
    assert sorted(entry["files"]) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert local_folder("owner/tiny", mirror=tmp_path / "mirror") == folder
    (folder / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(UserError, match=r"model\.safetensors has sha256"):
        fetch_model(model(hub="owner/tiny"), lock, tmp_path / "again", tmp_path / "mirror")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors is missing"):
        fetch_model(model(hub="owner/tiny"), lock, tmp_path / "again", tmp_path / "mirror")
    if place:
        with pytest.raises(UserError, match="is locked at revision"):
            fetch_model(model(hub="owner/tiny", revision="f" * 40), lock, tmp_path / "again", tmp_path / "mirror")
        write(folder.parent / "other", list(FILES))
        lock.unlink()
        with pytest.raises(UserError, match="holds 2 revisions"):
            fetch_model(model(hub="owner/tiny"), lock, tmp_path / "again", tmp_path / "mirror")


def test_a_mirrors_change_does_not_reach_the_fetched_copy(tmp_path) -> None:
    """A hard link shares its content only until a program replaces the file, as ours do."""
    source = write(tmp_path / "mine", ["config.json", "model.safetensors"])
    fetch_model(model(file=str(source)), tmp_path / "lock.json", tmp_path / "out")
    (source / "config.json").unlink()
    (source / "config.json").write_bytes(b"new")
    assert (tmp_path / "out" / "config.json").read_bytes() == FILES["config.json"]


def test_local_folder_and_scratch_models(tmp_path) -> None:
    source = write(tmp_path / "mine", ["config.json", "pytorch_model.bin"])
    entry = fetch_model(model(file=str(source)), tmp_path / "lock.json", tmp_path / "out")
    assert entry["revision"] is None
    assert not (tmp_path / "lock.json").exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "pytorch_model.bin"]
    (source / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: missing"):
        fetch_model(model(file=str(source)), tmp_path / "lock.json", tmp_path / "out2")
    with pytest.raises(UserError, match=r"use train_base\.py"):
        fetch_model(model(scratch={}), tmp_path / "lock.json", tmp_path / "out2")


def test_a_network_of_another_kind_is_refused_before_it_is_placed(tmp_path) -> None:
    source = write(tmp_path / "mine", ["config.json", "pytorch_model.bin"])
    (source / "config.json").write_text('{"model_type": "bart", "is_encoder_decoder": true}')
    for given in (model(file=str(source)), in_mirror(tmp_path / "mirror", "owner/bart")):
        if given.hub:
            shutil.copy(source / "config.json", tmp_path / "mirror/huggingface.co/owner/bart")
        with pytest.raises(UserError, match=r"config\.json: an encoder-decoder of type 'bart'; .* only T5"):
            fetch_model(given, tmp_path / "lock.json", tmp_path / "out", tmp_path / "mirror")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "lock.json").exists()


def test_needed_files_prefer_safetensors() -> None:
    assert needed_files(FILES) == ["config.json", "tokenizer.json", "model.safetensors"]
    released = ["pytorch_model.bin", "spiece.model", "added_tokens.json", "training_args.bin", "optimizer.pt"]
    assert needed_files(released) == ["added_tokens.json", "spiece.model", "pytorch_model.bin"]
    sharded = ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "consolidated.00.pth"]
    assert needed_files(sharded) == ["model-00001-of-00002.safetensors", "model.safetensors.index.json"]


def test_an_embedder_keeps_what_comes_behind_its_encoder(tmp_path) -> None:
    model, folder = in_mirror(tmp_path / "mirror", "owner/embedder"), tmp_path / "mirror/huggingface.co/owner/embedder"
    more = ["modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "2_Dense/model.safetensors"]
    for name in [*more, "onnx/model.safetensors", "onnx/config.json"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    plain = ["config.json", "model.safetensors", "tokenizer.json"]
    for number in range(2):  # the second time as locked
        entry = fetch_model(model, tmp_path / "lock.json", tmp_path / f"out{number}", tmp_path / "mirror")
        found = (path for path in (tmp_path / f"out{number}").rglob("*") if path.is_file())
        names = sorted(str(path.relative_to(tmp_path / f"out{number}")) for path in found)
        assert names == sorted(entry["files"]) == sorted([*more, *plain])
    assert needed_files(["1_Pooling/config.json", "config.json"]) == ["config.json"]  # no embedder
    assert needed_files(["modules.json", "1_x/../../config.json"]) == ["modules.json"]


def test_malformed_lock(tmp_path) -> None:
    (tmp_path / "lock.json").write_text('{"owner/tiny": {"revision": "x"}}')
    with pytest.raises(UserError, match="should hold `revision` and `files`"):
        read_lock(tmp_path / "lock.json")


def in_mirror(mirror: Path, hub: str, **changes: bytes) -> ModelConfig:
    folder = mirror / "huggingface.co" / hub
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_bytes(changes.get(name.partition(".")[0], FILES[name]))
    return ModelConfig(name="tiny", title="Tiny", family="encoder_decoder", hub=hub)


@pytest.mark.slow
def test_a_cache_that_a_download_left_incomplete_is_completed(tmp_path, endpoint) -> None:
    assert fetch(tmp_path, endpoint).returncode == 0
    for part in (tmp_path / "hub").rglob("tokenizer.json"):
        part.unlink()
    offline = fetch(tmp_path, "http://127.0.0.1:9", output="offline", HF_HUB_OFFLINE="1")
    assert offline.returncode == 2
    assert "owner/tiny: not in the Hub's cache" in offline.stderr
    assert fetch(tmp_path, endpoint, output="again").returncode == 0
    assert sha256_of(tmp_path / "again") == sha256_of(tmp_path / "model")
    for part in (tmp_path / "hub").rglob("blobs/*"):  # the links stay
        part.unlink()
    (tmp_path / "models.lock.json").unlink()
    assert fetch(tmp_path, endpoint, output="once more").returncode == 0
    assert sha256_of(tmp_path / "once more") == sha256_of(tmp_path / "model")


ADD = """
import sys, time
from retrace.models.lock import add_to_lock

time.sleep(max(0, float(sys.argv[3]) - time.time()))  # all at once
for number in range(20):
    add_to_lock(sys.argv[1], f"{sys.argv[2]}/{number}", {"revision": "r", "files": {}})
"""


@pytest.mark.slow
def test_jobs_that_lock_at_once_lose_no_entry(tmp_path) -> None:
    lock = tmp_path / "config" / "models.lock.json"
    together = time.time() + 4
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent), "OMP_NUM_THREADS": "1"}
    jobs = [
        subprocess.Popen([sys.executable, "-c", ADD, str(lock), f"job{job}", str(together)], env=environment)
        for job in range(4)
    ]
    assert [job.wait(timeout=60) for job in jobs] == [0] * 4
    assert sorted(read_lock(lock)) == sorted(f"job{job}/{number}" for job in range(4) for number in range(20))
    assert [path.name for path in lock.parent.iterdir()] == [lock.name]


def test_the_second_of_two_first_downloads_is_held_to_the_first(tmp_path, monkeypatch) -> None:
    model, lock = in_mirror(tmp_path / "mirror", "owner/two"), tmp_path / "lock.json"
    real = sha256_of

    def meanwhile(path: Path) -> str:
        """While this job takes checksums, another one finishes with other files."""
        if not lock.exists():
            entry = {"revision": "", "files": dict.fromkeys(("config.json", "model.safetensors"), "0" * 64)}
            lock.write_text(json.dumps({"owner/two": entry}))
        return real(path)

    monkeypatch.setattr("retrace.models.hub.sha256_of", meanwhile)
    with pytest.raises(UserError, match=r"config\.json has sha256 .*, the lock says 0000"):
        fetch_model(model, lock, tmp_path / "model", tmp_path / "mirror")
    assert not (tmp_path / "model").exists()
    assert read_lock(lock)["owner/two"]["files"]["config.json"] == "0" * 64


def test_a_model_in_parts_is_whole_or_refused(tmp_path) -> None:
    model = in_mirror(tmp_path / "mirror", "owner/parts")
    folder = tmp_path / "mirror" / "huggingface.co" / "owner" / "parts"
    parts = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (folder / "model.safetensors").rename(folder / parts[0])
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": parts[0], "b": parts[1]}}))
    assert missing_shards(folder, [index.name]) == [parts[1]]
    with pytest.raises(UserError, match=rf"{parts[1]} is missing .*complete the folder"):
        fetch_model(model, tmp_path / "lock.json", tmp_path / "model", tmp_path / "mirror")
    assert not (tmp_path / "lock.json").exists()
    assert not (tmp_path / "model").exists()
    (folder / parts[1]).write_bytes(b"more")
    fetch_model(model, tmp_path / "lock.json", tmp_path / "model", tmp_path / "mirror")
    assert (tmp_path / "model" / parts[1]).read_bytes() == b"more"
    index.write_text("{}")
    with pytest.raises(UserError, match="no `weight_map`"):
        missing_shards(folder, [index.name])


def test_small_files_are_copies_so_that_an_edit_stays_here(tmp_path) -> None:
    model = in_mirror(tmp_path / "mirror", "owner/tiny")
    fetch_model(model, tmp_path / "lock.json", tmp_path / "model", tmp_path / "mirror")
    with open(tmp_path / "model" / "config.json", "ab") as handle:
        handle.write(b" ")
    fetch_model(model, tmp_path / "lock.json", tmp_path / "again", tmp_path / "mirror")
    assert (tmp_path / "again" / "config.json").read_bytes() == FILES["config.json"]


def test_files_in_folders_of_a_repository_are_not_needed() -> None:
    assert needed_files(["config.json", "tokenizer/../../x", "onnx/model.safetensors"]) == ["config.json"]


@pytest.mark.parametrize("text", ["[]", '{"a": []}', '{"a": {"revision": "r"}}'])
def test_a_lock_file_of_another_form(tmp_path, text) -> None:
    (tmp_path / "lock.json").write_text(text)
    with pytest.raises(UserError, match=r"lock\.json: .*lock (it|all) anew"):
        read_lock(tmp_path / "lock.json")
