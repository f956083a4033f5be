"""Downloads against a real local server: what goes well, and every way in which it goes wrong."""

import contextlib
import hashlib
import http.server
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

import retrace.machine.download
from retrace.errors import UserError
from retrace.machine.download import download, fetch, mirror_path

BODY = b"row\n" * 50_000
GOOD = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        count = len(self.server.asked)  # type: ignore[attr-defined]
        if self.path == "/missing":
            self.send_error(404)
        elif self.path == "/broken" or (self.path == "/flaky" and count < 3):
            self.send_error(503)
        elif self.path == "/busy" and count == 1:
            self.send_response(429)
            self.send_header("Retry-After", self.server.pause)  # type: ignore[attr-defined]
            self.end_headers()
        elif self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere)  # type: ignore[attr-defined]
            self.end_headers()
        elif self.path.startswith("/drip"):
            self.drip(b"HTTP/1.0 200 OK\r\nX-Long: " if self.path == "/drip_head" else b"HTTP/1.0 200 OK\r\n\r\n")
        else:
            self.send_response(200)
            cut = self.path == "/cut" or (self.path == "/cut_once" and count == 1)
            if self.path != "/unsized":
                self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            if self.path in ("/hangs_once", "/reset_once") and count == 1:
                self.wfile.write(BODY[: len(BODY) // 2])
                self.wfile.flush()
                if self.path == "/hangs_once":
                    self.server.half_sent.set()  # type: ignore[attr-defined]
                    self.server.gone_on.wait(60)  # type: ignore[attr-defined]
                else:  # no orderly end, as when a machine on the way goes down
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                return
            self.wfile.write(BODY[: len(BODY) // 2] if cut else BODY)

    def drip(self, head: bytes) -> None:
        """A byte now and then, for ever: no single read ever waits long."""
        self.wfile.write(head)
        with contextlib.suppress(OSError):
            while not self.server.gone_on.wait(0.02):  # type: ignore[attr-defined]
                self.wfile.write(b"x" * (3 if self.path == "/drip_endless" else 1))
                self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "RETRACE_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked = []
    running.half_sent, running.gone_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    running.url = f"http://127.0.0.1:{running.server_port}"
    yield running
    running.gone_on.set()
    running.shutdown()
    running.server_close()
    thread.join()


def get(url: str, target: Path, sha256: str = GOOD, **options) -> Path:
    return download(url, sha256, target, pause=0.01, timeout=5, **options)


@pytest.mark.parametrize("page", ["/good", "/unsized"])
def test_a_good_file_arrives_and_is_not_fetched_twice(server, tmp_path, page, capsys):
    target = tmp_path / "deep" / "rows.jsonl"
    assert get(server.url + page, target).read_bytes() == BODY
    assert "0.2" in capsys.readouterr().err  # megabytes: progress is shown
    get(server.url + page, target)
    assert server.asked == [page]


def test_a_damaged_target_is_replaced(server, tmp_path):
    target = tmp_path / "rows.jsonl"
    target.write_bytes(BODY[:-1])
    assert get(server.url + "/good", target).read_bytes() == BODY


@pytest.mark.parametrize(("page", "times"), [("/flaky", 3), ("/cut_once", 2), ("/reset_once", 2)])
def test_passing_failures_are_retried(server, tmp_path, page, times):
    assert get(server.url + page, tmp_path / "rows.jsonl").read_bytes() == BODY
    assert server.asked == [page] * times


@pytest.mark.parametrize(
    ("page", "sha256", "message", "times"),
    [
        ("/missing", GOOD, "404", 1),
        ("/broken", GOOD, "503", 4),
        ("/cut", GOOD, "cut off after 100000 of 200000 bytes", 4),
        ("/good", "0" * 64, f"sha256 is {GOOD}, expected 000", 1),
    ],
)
def test_a_failure_names_the_url_and_leaves_nothing(server, tmp_path, page, sha256, message, times):
    with pytest.raises(UserError) as caught:
        get(server.url + page, tmp_path / "rows.jsonl", sha256)
    assert message in str(caught.value)
    assert server.url + page in str(caught.value)
    assert len(server.asked) == times
    assert list(tmp_path.iterdir()) == []


def test_a_download_killed_half_way_leaves_no_part_in_place_and_starts_again(server, tmp_path):
    target = tmp_path / "data" / "rows.jsonl"
    words = [sys.executable, "-c", "import sys; from retrace.machine.download import download; download(*sys.argv[1:])"]
    words += [server.url + "/hangs_once", GOOD, str(target)]
    running = subprocess.Popen(words, cwd=Path(retrace.machine.download.__file__).parents[2])
    try:
        assert server.half_sent.wait(60)
        assert not target.exists()
    finally:
        running.kill()
        running.wait()
        server.gone_on.set()
    assert not target.exists()
    assert get(server.url + "/hangs_once", target).read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ["rows.jsonl"]


def test_no_network_names_both_ways_on(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "RETRACE_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/data/rows.jsonl"
    with pytest.raises(UserError) as caught:
        get(url, tmp_path / "rows.jsonl", attempts=2)
    text = str(caught.value)
    assert "not reached in 2 attempts" in text
    assert "refused" in text
    assert "no mirror folder was given" in text
    assert "https_proxy" in text
    assert "MIRROR/127.0.0.1/data/rows.jsonl" in text
    assert "RETRACE_MIRROR" in text


def test_a_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    get("http://data.invalid/rows.jsonl", tmp_path / "rows.jsonl")
    assert server.asked == ["http://data.invalid/rows.jsonl"]


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://x/y", "rows.jsonl", "https://x/a/../b"])
def test_other_urls_are_refused(tmp_path, url):
    with pytest.raises(UserError):
        get(url, tmp_path / "rows.jsonl")


@pytest.mark.parametrize("through", ["argument", "environment"])
def test_the_mirror_comes_first(server, tmp_path, monkeypatch, through):
    mirror = tmp_path / "mirror"
    stored = mirror_path(server.url + "/good", mirror)
    stored.parent.mkdir(parents=True)
    stored.write_bytes(BODY)
    if through == "environment":
        monkeypatch.setenv("RETRACE_MIRROR", str(mirror))
    given = mirror if through == "argument" else None
    assert get(server.url + "/good", tmp_path / "rows.jsonl", mirror=given).read_bytes() == BODY
    assert fetch(server.url + "/good", GOOD, given) == stored
    assert server.asked == []
    stored.write_bytes(b"other")
    with pytest.raises(UserError, match="replace the mirror's file"):
        get(server.url + "/good", tmp_path / "other.jsonl", mirror=given)


def test_a_mirror_without_the_file_falls_back_to_the_network(server, tmp_path):
    (tmp_path / "mirror").mkdir()
    get(server.url + "/good", tmp_path / "rows.jsonl", mirror=tmp_path / "mirror")
    assert server.asked == ["/good"]
    with pytest.raises(UserError, match="no such folder"):
        get(server.url + "/good", tmp_path / "again.jsonl", mirror=tmp_path / "none")


def test_fetch_keeps_one_verified_copy(server, tmp_path, monkeypatch):
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))
    first = fetch(server.url + "/good", GOOD)
    assert fetch(server.url + "/good", GOOD) == first
    assert server.asked == ["/good"]
    first.write_bytes(b"damaged")
    assert fetch(server.url + "/good", GOOD).read_bytes() == BODY


def test_a_full_disk_is_no_fault_of_the_network(server, tmp_path, monkeypatch):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BODY) // 2, limit[1]))
    try:
        with pytest.raises(UserError, match=r"rows\.jsonl: the file is larger than the system allows"):
            get(server.url + "/good", tmp_path / "rows.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert server.asked == ["/good"]  # not tried again
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"cache/.*/good: cannot be written: a part of this path is a file"):
        fetch(server.url + "/good", GOOD)


def test_a_url_with_a_password_is_refused_and_not_shown(tmp_path):
    with pytest.raises(UserError, match=r"a URL of data\.invalid holds a user name or password") as caught:
        get("https://me:secret@data.invalid/rows.jsonl", tmp_path / "rows.jsonl")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("page", "message"), [("/drip_head", r"no answer in 0\.4 s"), ("/drip", r"too slow: \d+ bytes in \d+ s")]
)
def test_a_server_that_sends_drop_by_drop_is_given_up(server, tmp_path, page, message):
    with pytest.raises(UserError, match=rf"not reached in 2 attempts \(.*{message}"):
        download(server.url + page, GOOD, tmp_path / "rows.jsonl", pause=0.01, timeout=0.2, attempts=2)
    assert server.asked == [page] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_download_has_a_time_limit_in_all(server, tmp_path, monkeypatch):
    monkeypatch.setattr(retrace.machine.download, "SLOWEST", 1)  # fast enough, and without end
    with pytest.raises(UserError, match=r"not reached in 1 attempts \(not done in the time allowed, \d+ bytes came\)"):
        download(server.url + "/drip_endless", None, tmp_path / "rows.jsonl", timeout=5, pause=0.01, longest=0.5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("pause", "least"), [("0.3", 0.3), ("soon", 0.01)])
def test_a_busy_server_says_how_long_to_wait(server, tmp_path, pause, least):
    server.pause = pause
    began = time.monotonic()
    assert get(server.url + "/busy", tmp_path / "rows.jsonl").read_bytes() == BODY
    assert time.monotonic() - began >= least


def test_a_pause_without_end_is_not_waited_for(server, tmp_path):
    server.pause = "inf"
    with pytest.raises(UserError, match="the server answered 429"):
        get(server.url + "/busy", tmp_path / "rows.jsonl", longest=5)
    assert server.asked == ["/busy"]


def test_a_redirection_is_followed(server, tmp_path):
    server.elsewhere = f"{server.url}/good"
    assert get(server.url + "/to/good", tmp_path / "rows.jsonl").read_bytes() == BODY


@pytest.mark.parametrize("elsewhere", ["file:///etc/hosts", "ftp://127.0.0.1/rows", "gopher://x"])
def test_a_redirection_to_another_kind_of_address_is_refused(server, tmp_path, elsewhere):
    server.elsewhere = f"{elsewhere}?token=hidden"
    with pytest.raises(UserError, match=rf"sends on to {elsewhere}, which is no http or https address") as caught:
        get(server.url + "/to/there", tmp_path / "rows.jsonl")
    assert "hidden" not in str(caught.value)


def test_a_redirection_from_https_to_http_is_refused():
    handler = retrace.machine.download._Redirection()
    request = urllib.request.Request("https://data.invalid/rows.jsonl")
    for code in (301, 302, 303, 307, 308):
        follow = getattr(handler, f"http_error_{code}")
        with pytest.raises(UserError, match="which is no https address"):
            follow(request, None, code, "Found", {"location": "http://data.invalid/rows.jsonl"})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a b", "http://127.0.0.1:1/a\nb", "http://127.0.0.1:x/a", "http://[b/a"]
)
def test_an_address_that_is_none_is_named_at_once(tmp_path, url):
    with pytest.raises(UserError, match="URL"):
        download(url, GOOD, tmp_path / "rows.jsonl", pause=0.01, attempts=1)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9x", "nonsense:"])
def test_a_proxy_that_cannot_be_used_is_named(server, tmp_path, monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(UserError, match=r"rows\.jsonl: .*https_proxy"):
        get("http://data.invalid/rows.jsonl", tmp_path / "rows.jsonl")


def test_letters_of_any_alphabet_may_stand_in_a_url(server, tmp_path):
    assert get(server.url + "/größe", tmp_path / "rows.jsonl").read_bytes() == BODY
    assert server.asked == ["/gr%C3%B6%C3%9Fe"]
