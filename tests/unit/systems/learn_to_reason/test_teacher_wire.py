"""What a teacher's server sends over the wire: answers of every form, late, slow and endless ones; keys and proxies."""

import copy
import gzip
import json
import random
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

import ask_teacher
from retrace.errors import UserError
from retrace.machine.download import asked_pause
from retrace.systems.learn_to_reason.teachers import completions
from unit.chat_server import ChatServer
from unit.teacher_world import ask, completion, error, recorded, report_of, rows_of, world


@pytest.fixture(autouse=True)
def no_proxy_and_a_key(monkeypatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEACHER_KEY", "none")


# ---------------------------------------------------------------- answers of every form


@pytest.mark.parametrize(
    ("change", "text", "verdict"),
    [
        ({"message": {"content": None}}, "", "empty"),
        ({"message": {"content": None, "tool_calls": [{"id": "1"}]}, "finish": "tool_calls"}, "", "empty"),
        ({"message": {"content": None, "refusal": "I may not."}}, "I may not.", "refusal"),
        ({"message": {"content": [{"type": "refusal", "refusal": "No."}]}}, "No.", "no_answer"),
        (
            {"message": {"content": [{"type": "text", "text": "So "}, {"type": "text", "text": "what"}]}},
            "So what",
            "no_answer",
        ),
        ({"message": {"content": ["So ", "what"]}}, "So what", "no_answer"),
        ({"message": {"content": "half \ud83d of a sign"}}, "half \ufffd of a sign", "no_answer"),
        ({"message": {"content": "So what"}, "finish": 5, "model": None}, "So what", "no_answer"),
    ],
)
def test_what_was_paid_for_is_recorded_whatever_its_form(tmp_path, change: dict, text: str, verdict: str) -> None:
    with ChatServer(refuses=lambda body: (200, json.dumps(completion(body, **change)))) as server:
        ask(tmp_path, server)
        assert len(server.log) == 3
    assert [(row.text, row.verdict) for row in rows_of(tmp_path)] == [(text, verdict)] * 3
    assert len(recorded(tmp_path)) == 3


ODD = [None, True, 0, -1, 1e308, 10**40, "", "x", "\ud800", [], {}, [None], [[]], [{}], {"a": 1}, {"message": 5}]
ODD += [
    [{"type": kind, "text": text}] for kind in ("text", 5, ["a"], "thinking") for text in ("x", None, ["a"], {"a": 1})
]
WHOLE = {
    "id": "x",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": "hi",
                "refusal": None,
                "reasoning_content": "r",
                "tool_calls": [{}],
            },
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_stands_where_it_does_not_belong_is_read_or_called_malformed(seed: int) -> None:
    from openai._models import construct_type
    from openai.types.chat import ChatCompletion

    draw = random.Random(seed)
    read = 0
    for _ in range(100):
        document = copy.deepcopy(WHOLE)
        for _ in range(draw.choice([1, 1, 2, 3])):
            *above, last = draw.choice(list(places(document)))
            holder = document
            for key in above:
                holder = holder[key]
            holder[last] = copy.deepcopy(draw.choice(ODD))
        try:
            found = completions.read_completion(construct_type(type_=ChatCompletion, value=document))
        except completions.Malformed:
            continue
        read += 1
        json.dumps(vars(found), ensure_ascii=False).encode()  # as it is recorded
    assert read > 50


@pytest.mark.parametrize("beside", [5, {"a": 1}, [{"type": ["a"]}], [None, 7]])
def test_an_odd_part_beside_the_answer_does_not_cost_it(tmp_path, beside: object) -> None:
    message = {"reasoning_content": beside, "refusal": beside, "tool_calls": beside}
    with ChatServer(refuses=lambda body: (200, json.dumps(completion(body, message=message)))) as server:
        ask(tmp_path, server, 2)
    assert [row.accepted for row in rows_of(tmp_path)] == [True] * 2


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "free",
        [],
        {"prompt_tokens": -5, "completion_tokens": -5},
        {"prompt_tokens": "100", "completion_tokens": "x"},
        {"prompt_tokens": None, "completion_tokens": 1e30},
        {"prompt_tokens": True, "completion_tokens": [1]},
        {},
    ],
)
def test_a_count_of_tokens_that_is_none_is_guessed(tmp_path, usage: object) -> None:
    with ChatServer(refuses=lambda body: (200, json.dumps(completion(body, usage=usage)))) as server:
        ask(tmp_path, server)
    for row in recorded(tmp_path):
        assert 100 < row["response"]["input_tokens"] < 1000
        assert 5 < row["response"]["output_tokens"] < 50


@pytest.mark.parametrize(
    ("status", "text", "fault"),
    [
        (200, "<html><body>Please log in</body></html>", r"a web page instead of JSON; does the address end in /v1\?"),
        (200, "data: {}", "no JSON"),
        (200, "[" * 50_000, "malformed"),
        (200, '{"choices": []}', "malformed"),
        (200, '{"choices": null}', "malformed"),
        (200, '{"choices": [null]}', "malformed"),
        (200, '{"choices": [{"message": null}]}', "malformed"),
        (200, '{"choices": [{"message": {"content": 5}}]}', "malformed"),
        (200, '{"choices": [{"message": {"content": {"a": 1}}}]}', "malformed"),
        (200, "[]", "malformed"),
        (200, "null", "malformed"),
        (200, '"word"', "no JSON"),
        (200, "", "malformed"),
        (200, '{"error": {"message": "the model is asleep"}}', "an error instead of an answer: the model is asleep"),
        (502, "<html>\n<h1>Bad gateway</h1></html>", "502"),
        (503, "", "503"),
        (529, '{"type": "overloaded"}', "529"),
    ],
)
def test_an_answer_that_is_none_is_asked_for_again_and_named(tmp_path, status: int, text: str, fault: str) -> None:
    kind = (
        "text/html" if text.startswith("<") else "text/event-stream" if text.startswith("data") else "application/json"
    )
    headers = {"Content-Type": kind}
    with ChatServer(refuses=lambda body: (status, text, headers)) as server:
        with pytest.raises(UserError, match=rf"no answer after 2 attempts \(the last: {fault}\); run again") as caught:
            ask(tmp_path, server, max_wait_seconds=0.01)
        assert len(server.log) == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_key_is_not_sent_on_to_another_address(tmp_path, status: int) -> None:
    with ChatServer() as other:
        where = {"Location": f"{other.url}/chat/completions?token=hidden"}
        with ChatServer(refuses=lambda body: (status, "", where)) as server:
            with pytest.raises(UserError, match=rf"redirects \({status}\) to http://.*set teacher.base_url") as caught:
                ask(tmp_path, server)
            assert len(server.log) == 1
        assert other.log == []
    assert "hidden" not in str(caught.value)


def test_a_used_up_account_stops_in_the_middle_too(tmp_path) -> None:
    with ChatServer() as server:
        server.refuses = lambda body: (402, error("pay")) if len(server.log) >= 2 else None
        with pytest.raises(
            UserError, match=r"quota of this key is used up \(402\).*2 new responses are recorded, 3 requests"
        ):
            ask(tmp_path, server, 5, concurrency=1)


# ---------------------------------------------------------------- answers without end, late and slow ones


def test_an_answer_without_end_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(completions, "MOST_BYTES", 1_000_000)
    sent = []

    def pour(handler) -> bool:
        handler.wfile.write(
            b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900000000\r\n\r\n{"a": "'
        )
        sent.append(0)
        for _ in range(900):
            handler.wfile.write(b"x" * 1_000_000)
            sent[-1] += 1
        return True

    given_up = pytest.raises(UserError, match=r"no answer after 2 attempts \(the last: an answer without end\)")
    with ChatServer(raw=pour) as server, given_up:
        ask(tmp_path, server)
    assert len(sent) == 2
    assert max(sent) < 100, "what is not read cannot be sent"


def test_an_answer_that_comes_drop_by_drop_has_a_limit_in_all(tmp_path) -> None:
    def drip(handler) -> bool:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
        return True

    given_up = pytest.raises(UserError, match=r"no answer after 2 attempts \(the last: timeout\)")
    with ChatServer(raw=drip) as server, given_up:
        ask(tmp_path, server, timeout_seconds=0.4)


def test_a_half_answer_is_asked_for_again(tmp_path) -> None:
    came = []

    def half(handler) -> bool:
        came.append(1)
        if len(came) > 1:
            return False
        handler.wfile.write(
            b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"choices":'
        )
        return True

    with ChatServer(raw=half) as server:
        ask(tmp_path, server)
    assert all(row.accepted for row in rows_of(tmp_path))
    assert report_of(tmp_path)["requests"]["again: connection"] == 1


def test_a_packed_answer_is_unpacked(tmp_path) -> None:
    def pack(handler) -> bool:
        body = gzip.compress(json.dumps(completion(next(iter(server.bodies.values())))).encode())
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        return True

    with ChatServer(raw=pack) as server:
        ask(tmp_path, server, 1)
    assert [row.accepted for row in rows_of(tmp_path)] == [True]


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("3", 3, 3),
        ("0.5", 0.5, 0.5),
        ("-7", 0, 0),
        ("99999999999", 1e9, 1e12),
    ],
)
def test_a_pause_is_asked_for_in_seconds(text: str, least: float, most: float) -> None:
    assert least <= asked_pause(text) <= most


@pytest.mark.parametrize(("ahead", "least", "most"), [(1000, 900, 1001), (-1000, 0, 0)])
def test_a_pause_is_asked_for_as_a_date(ahead: float, least: float, most: float) -> None:
    assert least <= asked_pause(formatdate(time.time() + ahead, usegmt=True)) <= most


@pytest.mark.parametrize("text", [None, "", "soon", "nan", "12 monkeys", "Fri, 99 Foo 2024"])
def test_a_pause_that_is_none_is_none(text: str | None) -> None:
    assert asked_pause(text) is None


@pytest.mark.parametrize("pause", ["99999999999", "inf", formatdate(time.time() + 1e6, usegmt=True)])
@pytest.mark.parametrize("status", [429, 503])
def test_no_server_makes_us_wait_longer_than_we_want(tmp_path, pause: str, status: int) -> None:
    came = []

    def busy(body: dict) -> tuple | None:
        came.append(time.monotonic())
        return (status, error("slow down"), {"Retry-After": pause}) if len(came) == 1 else None

    with ChatServer(refuses=busy) as server:
        ask(tmp_path, server, 1, max_wait_seconds=0.3)
    assert len(came) == 2
    assert came[1] - came[0] >= 0.25, "as long as the limit allows"


# ---------------------------------------------------------------- keys and proxies


@pytest.mark.parametrize("key", ["the", "Answer", "count", "1"])
def test_a_key_that_is_a_word_of_the_answer_leaves_it_alone(tmp_path, monkeypatch, key: str) -> None:
    monkeypatch.setenv("TEACHER_KEY", key)
    with ChatServer(key=key) as server:
        ask(tmp_path, server)
    assert all(row.accepted and "[key]" not in row.text for row in rows_of(tmp_path))
    assert all("[key]" not in json.dumps(row) for row in recorded(tmp_path))


@pytest.mark.parametrize("key", ["short7", "sk-very-secret-0123456789"])
def test_a_key_that_the_server_repeats_is_in_no_message(tmp_path, monkeypatch, key: str) -> None:
    monkeypatch.setenv("TEACHER_KEY", key)
    said = error(f"what is {key}\n\x1b[31m?")
    refused = pytest.raises(UserError, match=r"400: Error code: 400 - what is \[key\] \[31m\?\)")
    with ChatServer(refuses=lambda body: (400, said)) as server, refused as caught:
        ask(tmp_path, server)
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "sk-a\nb", "sk-“x”", "sk-\x07"])
def test_a_key_that_cannot_be_one_is_named_before_anything_is_sent(tmp_path, monkeypatch, key: str) -> None:
    monkeypatch.setenv("TEACHER_KEY", key)
    with ChatServer() as server:
        with pytest.raises(
            UserError, match="TEACHER_KEY contains a space, a line break or a character that keys do not have"
        ) as caught:
            ask(tmp_path, server)
        assert server.log == []
    assert key not in str(caught.value)


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:1", "http://127.0.0.1:9x"])
def test_a_proxy_that_cannot_be_used_is_named(tmp_path, monkeypatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    with (
        ChatServer() as server,
        pytest.raises(UserError, match="the proxy or the certificates that the environment names"),
    ):
        ask(tmp_path, server)


def test_a_proxy_of_the_environment_is_used(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    with ChatServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        ask_teacher.main(world(tmp_path, 2, base_url="http://teacher.invalid/v1", retries=0))
        assert len(proxy.log) == 2
    assert all(row.accepted for row in rows_of(tmp_path))
