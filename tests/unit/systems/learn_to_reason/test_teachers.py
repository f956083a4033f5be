"""A served teacher under faults, limits and kills."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

import ask_teacher
from retrace.errors import UserError
from retrace.systems.learn_to_reason.teachers.recording import FILE
from unit.chat_server import FAULTS, ChatServer, rightly
from unit.teacher_world import ROOT, recorded, report_of, rows_of, world, wrong_for_some
from unit.tiny_models import problems

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def no_proxy_and_a_key(monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEACHER_KEY", KEY)


@pytest.mark.slow
def test_a_thousand_requests_under_faults_end_with_one_verdict_each(tmp_path) -> None:
    with ChatServer(faults=0.05, reply=wrong_for_some) as server:
        words = world(tmp_path, 1000, base_url=server.url, concurrency=24, timeout_seconds=1, retries=1, attempts=12)
        ask_teacher.main(words)
        outcomes = server.outcomes()
        assert all(outcomes[fault] + (fault == "timeout") * outcomes["gone"] > 20 for fault in FAULTS), outcomes
        answered = Counter(server.answered())
        assert max(answered.values()) == 1, "a request was paid for twice"
        assert server.most_at_once <= 24 + 24  # requests that the client gave up still hang in the server
    rows = rows_of(tmp_path)
    assert [row.example_id for row in rows] == [example.id for example in problems(1000)]
    wrong = [row for row in rows if not row.accepted]
    assert {row.verdict for row in wrong} == {"wrong_answer"}
    assert 20 < len(wrong) < 300
    assert all(row.responses == 2 for row in wrong)
    report = report_of(tmp_path)
    assert report["asked"] == 1000
    assert report["accepted"] + sum(report["rejected"].values()) == 1000
    assert report["recording"]["responses"] == sum(answered.values()) == 1000 + len(wrong)
    assert report["requests"]["answered"] == 1000 + len(wrong)
    assert report["requests"]["sent"] > report["requests"]["answered"]


def test_a_second_run_sends_nothing(tmp_path) -> None:
    with ChatServer() as server:
        words = world(tmp_path, base_url=server.url)
        ask_teacher.main(words)
        first = rows_of(tmp_path)
        sent = len(server.log)
        ask_teacher.main(words)
        assert len(server.log) == sent == 12
    assert rows_of(tmp_path) == first
    assert report_of(tmp_path)["requests"] == {"recorded": 12}


def test_another_request_is_another_response(tmp_path) -> None:
    """The key is that of the whole request: model, messages, temperature and length."""
    with ChatServer() as server:
        for change in ({}, {"model": "wiser"}, {"temperature": 0.1}, {"max_tokens": 99}, {"demonstrations": 0}):
            ask_teacher.main(world(tmp_path, 2, **{"base_url": server.url, **change}))
        assert len(server.log) == 8, "the arithmetic task has no demonstrations, so the last change changes nothing"


def start(words: list[str]) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "scripts/ask_teacher.py"), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_nothing_recorded_is_asked_again_after_a_kill_in_mid_flight(tmp_path) -> None:
    with ChatServer(faults=0.05, delay=0.01) as server:
        words = world(tmp_path, 400, base_url=server.url, concurrency=8, timeout_seconds=1, attempts=12)
        for wanted in (60, 180):
            running = start(words)
            deadline = time.monotonic() + 120
            while len(set(server.answered())) < wanted:
                assert time.monotonic() < deadline
                assert running.poll() is None, running.stderr.read()
                time.sleep(0.005)
            running.send_signal(signal.SIGKILL)
            running.wait()
            running.stderr.close()
            while server.at_once:  # the server finishes what it has begun
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.3)
            before = len(server.log)
            kept = {row["key"] for row in recorded(tmp_path)} if wanted == 180 else None
        assert not (tmp_path / "rationales.jsonl").exists()
        with open(tmp_path / "recording" / FILE, "ab") as handle:
            handle.write(b'{"key": "cut sho')  # what a kill in the middle of a line leaves
        ask_teacher.main(words)
        after = {key for key, _ in server.log[before:]}
        assert kept is not None
        assert len(kept) > 100
        assert not kept & after
        repeated = sum(count - 1 for count in Counter(server.answered()).values())
        assert repeated <= 2 * 8, "only what was in flight at a kill can have been answered twice"
    rows = rows_of(tmp_path)
    assert len(rows) == 400
    assert all(row.accepted for row in rows)
    assert len({row["key"] for row in recorded(tmp_path)}) == len(recorded(tmp_path)) == 400


def test_a_wrong_key_is_one_clear_error_and_one_request(tmp_path, capsys, monkeypatch) -> None:
    with ChatServer(key="another") as server:
        with pytest.raises(
            UserError, match=r"the key was rejected \(401\); set the environment variable TEACHER_KEY"
        ) as caught:
            ask_teacher.main(world(tmp_path, base_url=server.url))
        assert len(server.log) == 1
        assert KEY not in str(caught.value)
        monkeypatch.setenv("TEACHER_KEY", "another")
        ask_teacher.main(world(tmp_path, base_url=server.url))
    assert all(row.accepted for row in rows_of(tmp_path))


def test_the_key_is_nowhere(tmp_path, capsys) -> None:
    """Not even where a server sends it back."""
    with ChatServer(key=KEY, reply=lambda body: f"your key is {KEY}\n{rightly(body)}") as server:
        ask_teacher.main(world(tmp_path, base_url=server.url))
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    shown = capsys.readouterr()
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert all(KEY not in text for text in [*files, shown.out, shown.err])
    assert "your key is [key]" in rows_of(tmp_path)[0].text


def test_every_response_has_its_model_and_time(tmp_path) -> None:
    with ChatServer() as server:
        ask_teacher.main(world(tmp_path, 3, base_url=server.url))
    for row in recorded(tmp_path):
        assert row["response"]["model"] == "wise-1"
        assert row["response"]["time"].endswith("+00:00")
        assert row["request"]["messages"][0]["role"] == "system"
        assert (row["response"]["input_tokens"], row["response"]["output_tokens"]) == (100, 20)
    assert {row.teacher for row in rows_of(tmp_path)} == {"wise-1"}


def test_a_server_that_never_answers_ends_the_run_and_keeps_what_came(tmp_path) -> None:
    with ChatServer() as server:
        ask_teacher.main(world(tmp_path, 4, base_url=server.url))
        server.faults = 0.2  # each of the five: always
        words = world(tmp_path, 12, base_url=server.url, attempts=3, timeout_seconds=0.5)
        with pytest.raises(UserError, match=r"no answer after 3 attempts \(the last: \w+\); run again") as caught:
            ask_teacher.main(words)
        assert "0 new responses are recorded, 8 requests are left" in str(caught.value)
        assert len(recorded(tmp_path)) == 4
        server.faults = 0.0
        ask_teacher.main(words)
        assert len(recorded(tmp_path)) == 12
    with pytest.raises(UserError, match=r"no answer after 2 attempts \(the last: connection\)"):
        ask_teacher.main(world(tmp_path, 14, base_url=server.url, attempts=2))


@pytest.mark.parametrize(
    ("limit", "responses"),
    [({"max_requests": 5}, 5), ({"max_total_tokens": 1200}, None), ({"max_cost": 0.001, "output_price": 10.0}, None)],
)
def test_limits_stop_cleanly_and_a_raised_one_goes_on(tmp_path, limit: dict, responses: int | None) -> None:
    with ChatServer() as server:
        given = {"base_url": server.url, "max_tokens": 30, "concurrency": 3, "retries": 0}
        with pytest.raises(UserError, match=rf"teacher\.{next(iter(limit))} .* is reached.*raise it to go on"):
            ask_teacher.main(world(tmp_path, 12, **given, **limit))
        kept = len(recorded(tmp_path))
        assert 1 < kept < 12
        assert responses is None or kept == responses
        if "max_total_tokens" in limit:
            assert kept * 120 <= 1200
        if "max_cost" in limit:
            assert kept * 20 * 10.0 / 1e6 <= 0.001
        assert not (tmp_path / "rationales.jsonl").exists()
        ask_teacher.main(world(tmp_path, 12, **given))
        assert len(server.log) == 12
    assert len(rows_of(tmp_path)) == 12


def test_a_dry_run_tells_the_price_and_sends_nothing(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.delenv("TEACHER_KEY")
    with ChatServer() as server:
        given = {"base_url": server.url, "input_price": 2.0, "output_price": 8.0}
        ask_teacher.main([*world(tmp_path, 10, **given), "--dry-run"])
        assert server.log == []
        plan = json.loads(capsys.readouterr().out)
        assert plan == report_of(tmp_path)
        assert (plan["rationales"], plan["requests"], plan["recorded_already"]) == (10, 10, 0)
        assert 10 * 150 < plan["estimated_input_tokens"] < 10 * 400
        assert 0 < plan["estimated_cost"] < plan["most_cost"]
        expected = (plan["estimated_input_tokens"] * 2 + plan["estimated_output_tokens"] * 8) / 1e6
        assert plan["estimated_cost"] == pytest.approx(expected, abs=1e-4)
        ask_teacher.main(world(tmp_path, 4, **given))
        capsys.readouterr()
        ask_teacher.main([*world(tmp_path, 10, **given), "--dry-run"])
        assert json.loads(capsys.readouterr().out)["requests"] == 6
    assert not (tmp_path / "recording" / FILE).read_text().count("\n") > 4


def test_two_jobs_at_once_do_not_pay_for_the_same(tmp_path) -> None:
    allowed = threading.Event()

    def when_both_are_there(body: dict) -> str:
        allowed.wait(60)  # or one does not wait for the other
        return rightly(body)

    with ChatServer(reply=when_both_are_there) as server:
        given = {"base_url": server.url, "concurrency": 2, "timeout_seconds": 600}
        running = start(world(tmp_path, 30, **given))
        while not server.at_once:
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.01)
        (tmp_path / "other").mkdir()
        changed = {"output": tmp_path / "other/rationales.jsonl", "report": tmp_path / "other/report.json"}
        second = start(world(tmp_path, 30, released_folder=tmp_path / "other/released", **given, **changed))
        said = ""
        while "another job is asking the teacher; waiting for it" not in said:
            line = second.stderr.readline()
            assert line, said
            said += line
        allowed.set()
        assert running.communicate(timeout=120) is not None
        said = second.communicate(timeout=120)[1]
        assert (running.returncode, second.returncode) == (0, 0), said
        assert len(server.log) == 30
