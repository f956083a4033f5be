"""Data sets of the Hub: a local server plays it; the mirror, the cache and the messages."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from huggingface_hub import constants
from pyarrow import parquet

from retrace.errors import UserError
from retrace.tasks import hub_data
from retrace.tasks.options import Source
from retrace.tasks.raw_rows import Row

REVISION = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"question": f"Q{n}?", "day": "2024-01-05"} for n in range(4)]


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


CARD = "---\nconfigs:\n- config_name: other\n  data_files: other.csv\n- config_name: main\n  default: true\n---\n"
FILES = {
    "README.md": CARD.encode(),
    "data/train-00000-of-00002.parquet": as_parquet(ROWS[:1]),
    "data/train-00001-of-00002.parquet": as_parquet(ROWS[1:]),
    "test.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "other.csv": b"question,day\nQ?,2024-01-05\n",
    "dev/0000.parquet": as_parquet(ROWS),
    "video.mp4": b"not fetched",
}


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as reading a data set asks for."""

    asked: list[str] = []  # noqa: RUF012 (of all requests)

    def log_message(self, *args: object) -> None:
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
        Hub.asked.append(path)
        if "gated" in path:
            return self.answer(403, b"{}", X_Error_Code="GatedRepo")
        if "owner/tiny" not in path:
            return self.answer(404, b"{}", X_Error_Code="RepoNotFound")
        if REVISION not in path:
            return self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
        if path.startswith("api/"):
            siblings = [{"rfilename": name} for name in FILES]
            body = json.dumps({"id": "owner/tiny", "sha": REVISION, "siblings": siblings}).encode()
            return self.answer(200, body, Content_Type="application/json")
        body = FILES[path.partition(f"{REVISION}/")[2]]
        return self.answer(200, body, ETag=f'"{hashlib.sha1(body).hexdigest()}"', X_Repo_Commit=REVISION)

    do_HEAD = do_GET


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def ask(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let this server be the Hub."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The Hub is the local server, and its cache an empty folder."""
    ask(monkeypatch, endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Hub.asked.clear()
    return monkeypatch


def read(split: str = "train", mirror: Path | None = None, **options: Any) -> list[Row]:
    source = Source(**{"hub": "owner/tiny", "revision": REVISION, **options})
    return list(hub_data.rows(source, split, mirror))


def test_the_files_of_a_split_are_fetched_and_read_whole(hub: pytest.MonkeyPatch) -> None:
    rows = read()
    assert [row.values for row in rows] == ROWS
    assert [row.where for row in rows] == [f"owner/tiny train:{n}" for n in (1, 2, 3, 4)]
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert not any("video" in path or "test.jsonl" in path for path in Hub.asked)


def test_subsets_of_the_card_and_texts_that_look_like_dates(hub: pytest.MonkeyPatch) -> None:
    assert [row.values for row in read(subset="other")] == [{"question": "Q?", "day": "2024-01-05"}]
    assert [row.values for row in read("dev", hub_split="test")] == ROWS
    with pytest.raises(UserError, match=r"owner/tiny: has no subset 'mian'; .*it has .other, main"):
        read(subset="mian")
    with pytest.raises(UserError, match="owner/tiny: no file matches the split 'validation'; set `hub_split`"):
        read("validation")


@pytest.mark.parametrize("offline", [True, False])
def test_what_was_fetched_once_is_read_without_network(hub: pytest.MonkeyPatch, offline: bool) -> None:
    before = read()
    hub.setattr(constants, "HF_HUB_OFFLINE", offline)
    ask(hub, "http://127.0.0.1:9")
    assert read() == before
    with pytest.raises(UserError, match=r"no file matches the split 'test'.*In the Hub's cache, because"):
        read("test")  # was never fetched


def test_a_cache_that_may_lack_files_is_refused(hub: pytest.MonkeyPatch) -> None:
    assert len(read("dev")) == 4
    hub.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="may lack files of dev, and HF_HUB_OFFLINE is set"):
        read("dev")


def test_half_a_split_in_the_cache_is_not_read(hub: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read()
    (lost,) = (tmp_path / "cache").glob(f"*/snapshots/{REVISION}/data/train-00001-of-00002.parquet")
    lost.unlink()
    hub.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        UserError, match=r"the split 'train' is incomplete: 1 of 2 files.*HF_HUB_OFFLINE is set.*MIRROR"
    ):
        read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hub": "owner/gated"}, "owner/gated: gated. Accept its terms at https://huggingface.co/datasets/owner/gated"),
        (
            {"hub": "owner/unknown"},
            "no such data set, or a private one; .*HF_TOKEN.*MIRROR/huggingface.co/datasets/own",
        ),
        ({"revision": "f" * 40}, "has no commit 'ffff"),
        ({"hub": "not a name"}, "not a name: not the id of a data set, owner/name .*; correct `hub`"),
    ],
)
def test_refusals_say_what_to_do(hub: pytest.MonkeyPatch, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(**options)


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_the_error_says_what_to_do(hub: pytest.MonkeyPatch, offline: bool) -> None:
    hub.setattr(constants, "HF_HUB_OFFLINE", offline)
    ask(hub, "http://127.0.0.1:9")
    why = "HF_HUB_OFFLINE is set" if offline else "the Hub cannot be reached"
    with pytest.raises(UserError, match=f"not in the Hub's cache, and {why}.*MIRROR.*or set a local `file`"):
        read()


@pytest.mark.parametrize("place", ["", f"resolve/{REVISION}"])
def test_a_mirror_comes_first(hub: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    base = tmp_path / "mirror/huggingface.co/datasets/owner/tiny"
    for name in ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"):
        (base / place / name).parent.mkdir(parents=True, exist_ok=True)
        (base / place / name).write_bytes(FILES[name])
    (base / "resolve/another").mkdir(parents=True)
    (base / "resolve/another/train.csv").write_text("question\nOf another commit?\n")
    assert [row.values for row in read(mirror=tmp_path / "mirror")] == ROWS
    assert Hub.asked == []


def test_a_mirror_without_the_split_leaves_it_to_the_hub(
    hub: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "mirror/huggingface.co/datasets/owner/tiny"
    (base / "resolve/another").mkdir(parents=True)
    assert len(read(mirror=tmp_path / "mirror")) == 4
    assert capsys.readouterr().err == ""
    (base / "test.csv").write_text("question\nQ?\n")
    assert len(read(mirror=tmp_path / "mirror")) == 4
    assert "no file matches the split 'train'" in capsys.readouterr().err
