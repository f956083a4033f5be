"""Teachers: a served one under faults, limits and kills, recorded responses, the oracle, a local model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

import ask_teacher
from retrace.errors import UserError
from retrace.schemas import MarkedAnswer, TeacherRationale
from retrace.storage import read_jsonl, write_jsonl
from retrace.teachers.recording import FILE, open_recording
from unit.chat_server import FAULTS, ChatServer, rightly
from unit.tiny_models import arithmetic_task, problems, tiny_folder

ROOT = Path(__file__).parents[2]
KEY = "sk-very-secret-0123456789"
TASK_YAML = """name: arithmetic
title: Arithmetic
family: word_problems
format: generated
splits: {train: {generator: arithmetic, count: 1}}
"""


@pytest.fixture(autouse=True)
def no_proxy_and_a_key(monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEACHER_KEY", KEY)


def world(folder: Path, count: int = 12, **options: object) -> list[str]:
    """Data of `count` missed questions in a folder, and the words of ask_teacher.py."""
    (folder / "arithmetic.yaml").write_text(TASK_YAML)
    examples = problems(count)
    write_jsonl(folder / "train.jsonl", examples)
    marks = [MarkedAnswer(example_id=one.id, text="<<1+1=2>> | #### 2", answer="2", correct=False) for one in examples]
    write_jsonl(folder / "marks.jsonl", marks)
    given = {
        "task-file": folder / "arithmetic.yaml",
        "data": folder / "train.jsonl",
        "marks": folder / "marks.jsonl",
        "template-file": ROOT / "config/prompts/feedback.yaml",
        "round": 1,
        "seed": 0,
        "output": folder / "rationales.jsonl",
        "report": folder / "report.json",
        "released-folder": folder / "released",
        "recording": folder / "recording",
        "model": "wise",
        "key-variable": "TEACHER_KEY",
        "max-wait-seconds": "0.2",
    } | {name.replace("_", "-"): value for name, value in options.items()}
    return [str(word) for name, value in given.items() for word in (f"--{name}", value)]


def rows_of(folder: Path) -> list[TeacherRationale]:
    return read_jsonl(folder / "rationales.jsonl", TeacherRationale)


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def recorded(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "recording" / FILE).read_text().splitlines()]


def wrong_for_some(body: dict) -> str:
    """Right for nine questions of ten, always wrong for the others."""
    question = body["messages"][-1]["content"]
    return rightly(body) if len(question) % 10 else "I count.\nAnswer: 77777"


# ---------------------------------------------------------------- a server that fails


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
            UserError, match=r"the key is refused \(401\); set the environment variable TEACHER_KEY"
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
    with ChatServer(delay=0.02) as server:
        words = world(tmp_path, 30, base_url=server.url, concurrency=2)
        running = start(words)
        while not server.log:
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.01)
        (tmp_path / "other").mkdir()
        changed = {"output": tmp_path / "other/rationales.jsonl", "report": tmp_path / "other/report.json"}
        second = start(world(tmp_path, 30, base_url=server.url, released_folder=tmp_path / "other/released", **changed))
        assert running.communicate(timeout=120) is not None
        said = second.communicate(timeout=120)[1]
        assert (running.returncode, second.returncode) == (0, 0), said
        assert "another job asks the teacher; waiting for it" in said
        assert len(server.log) == 30


# ---------------------------------------------------------------- what teachers may say


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("", "empty"),
        ("   \n ", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("Let us think about this.", "no_answer"),
        ("I count.\nAnswer: 77777", "wrong_answer"),
        ("Answer: GOLD", "no_rationale"),
        ("word " * 100_000 + "\nAnswer: GOLD", "too_long"),
        ("他先数一数，然后再加上去，最后得到了正确的结果。\nAnswer: GOLD", "another_language"),
        (
            "Il commence avec ses affaires puis il en gagne encore plus pendant cette longue semaine.\nAnswer: GOLD",
            "another_language",
        ),
        ("<<1+1=2>>\n<<2+2=4>>\nAnswer: GOLD", "accepted"),
        ("He does have this many on Monday and then some more how many does he have.\nAnswer: GOLD", "accepted"),
    ],
)
def test_every_kind_of_answer_has_its_verdict(tmp_path, reply: str, verdict: str) -> None:
    def say(body: dict) -> str:
        return reply.replace("GOLD", rightly(body).rpartition(" ")[2])

    with ChatServer(reply=say) as server:
        ask_teacher.main(world(tmp_path, 60, base_url=server.url, retries=1, max_questions=3))
        assert len(server.log) == (3 if verdict == "accepted" else 6)
    rows = rows_of(tmp_path)
    assert [(row.verdict, row.accepted) for row in rows] == [(verdict, verdict == "accepted")] * 3
    report = report_of(tmp_path)
    assert report["accepted"] == (3 if verdict == "accepted" else 0)
    assert report["rejected"] == ({} if verdict == "accepted" else {verdict: 3})
    assert report["responses_by_verdict"] == {verdict: 3 if verdict == "accepted" else 6}


@pytest.mark.parametrize(("finish", "verdict"), [("content_filter", "refusal"), ("length", "unfinished")])
def test_what_the_server_says_about_an_end(tmp_path, finish: str, verdict: str) -> None:
    with ChatServer(reply=lambda body: "So first", finish=finish) as server:
        ask_teacher.main(world(tmp_path, 2, base_url=server.url, retries=0))
    assert {row.verdict for row in rows_of(tmp_path)} == {verdict}


def test_a_rejected_rationale_is_asked_for_again_a_limited_number_of_times(tmp_path) -> None:
    came: Counter[str] = Counter()

    def second_time(body: dict) -> str:
        came[body["messages"][-1]["content"]] += 1
        return rightly(body) if came[body["messages"][-1]["content"]] > 1 else "no idea"

    with ChatServer(reply=second_time) as server:
        ask_teacher.main(world(tmp_path, 5, base_url=server.url, retries=3))
        assert len(server.log) == 10
        assert len(server.bodies) == 10  # another attempt has another key
    assert all((row.accepted, row.responses) == (True, 2) for row in rows_of(tmp_path))
    assert report_of(tmp_path)["responses_by_verdict"] == {"no_answer": 5, "accepted": 5}


def test_a_server_that_counts_no_tokens(tmp_path) -> None:
    with ChatServer(usage=False) as server:
        ask_teacher.main(world(tmp_path, 2, base_url=server.url))
    assert all(row["response"]["input_tokens"] > 100 for row in recorded(tmp_path))
    assert all(row["response"]["output_tokens"] > 5 for row in recorded(tmp_path))


# ---------------------------------------------------------------- options and files


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "localhost:8000"}, "give an address such as http://localhost:8000/v1"),
        ({"base_url": "https://me:secret@host/v1"}, "the address of host holds a name, a password or a query"),
        ({"base_url": "https://host/v1?api_key=secret"}, "the address of host holds"),
        ({"model": ""}, "teacher.model: give the name of the model on the server"),
        ({"key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set; it must hold the key for api.openai.com"),
        ({"temperature": -1}, "--temperature '-1'"),
        ({"template_file": "nowhere.yaml"}, "nowhere.yaml: no such template"),
        ({"kind": "replay"}, "no such file; name the folder of recorded responses"),
        ({"kind": "local"}, "needs --local-folder and --local-file"),
    ],
)
def test_options_that_cannot_work(tmp_path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        ask_teacher.main(world(tmp_path, 2, **options))
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "rationales.jsonl").exists()


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((400, '{"error": {"message": "no such model"}}'), r"the server refuses the request \(400: .*no such model"),
        (
            (404, '{"error": {"message": "no such page"}}'),
            r"not found \(404\); check teacher.base_url and teacher.model",
        ),
        ((403, '{"error": {"message": "no"}}'), r"the key is refused \(403\)"),
        ((429, '{"error": {"message": "pay", "code": "insufficient_quota"}}'), "the quota of this key is used up"),
    ],
)
def test_what_cannot_get_better_stops_at_once(tmp_path, refusal: tuple[int, str], message: str) -> None:
    with ChatServer(refuses=lambda body: refusal) as server:
        with pytest.raises(UserError, match=message):
            ask_teacher.main(world(tmp_path, 5, base_url=server.url))
        assert len(server.log) == 1


def test_a_question_that_the_server_refuses_costs_only_itself(tmp_path) -> None:
    hard = problems(6)[3].question

    def refuse(body: dict) -> tuple[int, str] | None:
        asked = body["messages"][-1]["content"]
        return (400, '{"error": {"message": "too long"}}') if hard in asked else None

    with ChatServer(refuses=refuse) as server:
        ask_teacher.main(world(tmp_path, 6, base_url=server.url))
        assert server.outcomes()["400"] == 1
    verdicts = [row.verdict for row in rows_of(tmp_path)]
    assert verdicts == ["accepted"] * 3 + ["no_response"] + ["accepted"] * 2


def test_faulty_recordings_are_named(tmp_path) -> None:
    (tmp_path / "recording").mkdir()
    file = tmp_path / "recording" / FILE
    for line in ("not json", '{"key": "a"}', '{"key": 5, "response": {"text": "a", "model": "b", "time": null}}'):
        file.write_text(f"{line}\n")
        with pytest.raises(UserError, match=rf"{FILE}:1: no recorded response; remove the line"):
            ask_teacher.main(world(tmp_path, 2))
    file.write_text('{"key": "cut')
    with open_recording(tmp_path / "recording") as recording:
        assert len(recording) == 0
    assert file.read_text() == ""
    (tmp_path / "plain").write_text("")
    with pytest.raises(UserError, match="plain: cannot be used"):
        ask_teacher.main(world(tmp_path, 2, recording=tmp_path / "plain"))


def test_nothing_to_ask_needs_no_key(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("TEACHER_KEY")
    words = world(tmp_path, 3)
    (tmp_path / "marks.jsonl").write_text("")
    ask_teacher.main(words)
    assert (tmp_path / "rationales.jsonl").read_text() == ""
    assert report_of(tmp_path)["asked"] == 0


# ---------------------------------------------------------------- the other teachers


def test_replay_gives_what_was_recorded_without_network_or_key(tmp_path, monkeypatch) -> None:
    with ChatServer(reply=wrong_for_some) as server:
        ask_teacher.main(world(tmp_path, 20, base_url=server.url))
        first = rows_of(tmp_path)
    monkeypatch.delenv("TEACHER_KEY")
    ask_teacher.main(world(tmp_path, 20, base_url=server.url, kind="replay"))
    assert rows_of(tmp_path) == first
    ask_teacher.main(world(tmp_path, 22, base_url=server.url, kind="replay"))
    more = rows_of(tmp_path)
    assert more[:20] == first
    assert [row.verdict for row in more[20:]] == ["no_response"] * 2


def test_the_oracle_gives_the_references(tmp_path) -> None:
    ask_teacher.main(world(tmp_path, 5, kind="oracle"))
    task = arithmetic_task()
    assert [row.text for row in rows_of(tmp_path)] == [task.solution_text(example) for example in problems(5)]
    assert all(row.accepted and row.teacher == "oracle" for row in rows_of(tmp_path))
    bare = [example.model_copy(update={"steps": []}) for example in problems(5)]
    words = world(tmp_path, 5, kind="oracle")
    write_jsonl(tmp_path / "train.jsonl", [bare[0], *problems(5)[1:]])
    ask_teacher.main(words)
    assert [row.verdict for row in rows_of(tmp_path)] == ["no_response"] + ["accepted"] * 4
    write_jsonl(tmp_path / "train.jsonl", bare)
    with pytest.raises(
        UserError, match="oracle: task arithmetic has no worked solutions; choose openai, local or replay"
    ):
        ask_teacher.main(words)


def test_released_rationales_instead_of_a_teacher(tmp_path) -> None:
    examples = problems(4)
    document = {
        examples[0].question: [f"<<1+1=2>>\nAnswer: {examples[0].final_answer}", "<<1+1=2>>\nAnswer: 77777"],
        f" {examples[1].question} ": [f"<<2+2=4>>\nTherefore, the answer is {examples[1].final_answer}."],
        "A question of somebody else?": ["Answer: 5"],
    }
    (tmp_path / "released.json").write_text(json.dumps(document))
    ask_teacher.main(world(tmp_path, 4, released=tmp_path / "released.json"))
    found = [(row.example_id, row.verdict) for row in rows_of(tmp_path)]
    names = [example.id for example in examples]
    assert found == [
        (names[0], "accepted"),
        (names[0], "wrong_answer"),
        (names[1], "accepted"),
        (names[2], "no_response"),
        (names[3], "no_response"),
    ]
    report = report_of(tmp_path)
    assert (report["questions_missing"], report["questions_not_asked_for"]) == (2, 1)
    # What is written in the authors' format can be read again.
    written = json.loads((tmp_path / "released/arithmetic.train.round1.json").read_text())
    assert list(written) == [examples[0].question, examples[1].question]
    mistakes = json.loads((tmp_path / "released/arithmetic.student.train.round0.neg4.json").read_text())
    assert mistakes[examples[3].question] == ["<<1+1=2>> | #### 2"]
    ask_teacher.main(world(tmp_path, 4, released=tmp_path / "released/arithmetic.train.round1.json"))
    assert [row.example_id for row in rows_of(tmp_path) if row.accepted] == names[:2]


@pytest.mark.parametrize("family", ["decoder_only", "encoder_decoder"])
def test_a_local_model_writes_and_is_recorded(tmp_path, family: str, monkeypatch) -> None:
    monkeypatch.delenv("TEACHER_KEY")
    tiny_folder(tmp_path / "model", arithmetic_task(), problems(8), family)
    (tmp_path / "tiny.yaml").write_text(f"name: tiny\ntitle: tiny\nfamily: {family}\nscratch: {{}}\n")
    (tmp_path / "short.yaml").write_text(
        "system: Teach.\ndemonstration: '{question}'\nsolution: '{solution}'\n"
        "with_mistake: '{question} {mistake}'\nwithout_mistake: '{question}'\n"
    )
    given = {"kind": "local", "local_folder": tmp_path / "model", "local_file": tmp_path / "tiny.yaml", "max_tokens": 6}
    given |= {"template_file": tmp_path / "short.yaml", "retries": 1, "concurrency": 2}
    ask_teacher.main(world(tmp_path, 3, **given))
    assert len(rows_of(tmp_path)) == 3
    first = recorded(tmp_path)
    assert {row["address"].partition(":")[0] for row in first} == {"local"}
    assert all(row["response"]["output_tokens"] <= 6 for row in first)
    ask_teacher.main(world(tmp_path, 3, **given))
    assert recorded(tmp_path) == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("with_mistake: '{question}'\n", "with_mistake: must hold {mistake}"),
        (
            "with_mistake: '{question} {mistake} {solution}'\n",
            "with_mistake: {solution} is unknown; it may hold {mistake}",
        ),
        ("system: 'You are {name}'\n", "system: {name} is unknown; it may hold no places"),
        ("sytem: x\n", "unknown key 'sytem'; did you mean 'system'"),
    ],
)
def test_faulty_templates_are_named(tmp_path, change: str, message: str) -> None:
    values = yaml.safe_load((ROOT / "config/prompts/feedback.yaml").read_text()) | yaml.safe_load(change)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError) as caught:
        ask_teacher.main(world(tmp_path, 2, template_file=tmp_path / "mine.yaml"))
    assert message in str(caught.value)


def test_help_comes_without_heavy_imports() -> None:
    code = "import sys, ask_teacher\ntry: ask_teacher.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('torch', 'transformers', 'openai') if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.rstrip().endswith("[]")
