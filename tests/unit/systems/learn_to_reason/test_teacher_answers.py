"""What teachers may say, recorded responses, the oracle, a local model; options and files that cannot be used."""

import errno
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
import yaml

import ask_teacher
from retrace.errors import UserError
from retrace.machine.storage import write_jsonl
from retrace.systems.learn_to_reason.teachers.base import Request
from retrace.systems.learn_to_reason.teachers.oracle import Oracle, reordered
from retrace.systems.learn_to_reason.teachers.recording import FILE, open_recording
from unit.chat_server import ChatServer, rightly
from unit.teacher_world import ROOT, recorded, report_of, rows_of, world, wrong_for_some
from unit.tiny_models import arithmetic_task, problems, tiny_folder

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def no_proxy_and_a_key(monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEACHER_KEY", KEY)


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
        ({"base_url": "http://localhost:port/v1"}, "give an address such as"),
        ({"base_url": "http://[local/v1"}, "give an address such as"),
        ({"base_url": "http://localhost:8000 /v1"}, "give an address such as"),
        ({"base_url": "ftp://me:secret@host/v1?secret"}, "base_url 'host/v1': give an address such as"),
        ({"base_url": "http://localhost:8000/v1/chat/completions/"}, "give it without /chat/completions"),
        ({"base_url": "https://me:secret@host/v1"}, "the address of host contains a name, a password or a query"),
        ({"base_url": "https://host/v1?api_key=secret"}, "the address of host contains"),
        ({"model": ""}, "teacher.model: give the name of the model on the server"),
        ({"key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set; it must hold the key for api.openai.com"),
        ({"temperature": -1}, "--temperature '-1'"),
        ({"template_file": "nowhere.yaml"}, "nowhere.yaml: no such template"),
        ({"kind": "replay"}, "no such file; name the folder of recorded responses"),
        ({"kind": "local"}, "needs --local-folder and --local-file"),
        ({"max_cost": 5}, "max_cost has no effect without prices; set input_price and output_price"),
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
        ((400, '{"error": {"message": "no such model"}}'), r"the server rejects the request \(400: .*no such model"),
        (
            (404, '{"error": {"message": "no such page"}}'),
            r"not found \(404\); check teacher.base_url and teacher.model",
        ),
        ((403, '{"error": {"message": "no"}}'), r"the key was rejected \(403\)"),
        ((429, '{"error": {"message": "pay", "code": "insufficient_quota"}}'), "the quota of this key is used up"),
    ],
)
def test_what_cannot_get_better_stops_at_once(tmp_path, refusal: tuple[int, str], message: str) -> None:
    with ChatServer(refuses=lambda body: refusal) as server:
        with pytest.raises(UserError, match=message):
            ask_teacher.main(world(tmp_path, 5, base_url=server.url))
        assert len(server.log) == 1


def test_a_server_that_refuses_everything_stops_whatever_others_answered_before(tmp_path) -> None:
    with ChatServer() as server:
        ask_teacher.main(world(tmp_path, 3, base_url=server.url))
    with ChatServer(refuses=lambda body: (400, '{"error": {"message": "no such model"}}')) as server:
        with pytest.raises(UserError, match="the server rejects the request"):
            ask_teacher.main(world(tmp_path, 5, base_url=server.url, model="another"))
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
        with pytest.raises(UserError, match=rf"{FILE}:1: not a recorded response; remove the line"):
            ask_teacher.main(world(tmp_path, 2))
    file.write_text('{"key": "cut')
    with open_recording(tmp_path / "recording") as recording:
        assert len(recording) == 0
    assert file.read_text() == ""
    (tmp_path / "plain").write_text("")
    with pytest.raises(UserError, match="plain: cannot be used"):
        ask_teacher.main(world(tmp_path, 2, recording=tmp_path / "plain"))


def test_a_folder_that_knows_no_locks_is_used_and_said(tmp_path, monkeypatch, capsys) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("retrace.machine.locks.fcntl.flock", no_locks)
    with ChatServer() as server:
        ask_teacher.main(world(tmp_path, 2, base_url=server.url))
    assert len(recorded(tmp_path)) == 2
    assert "cannot be locked (No locks available); ask this teacher from one job at a time" in capsys.readouterr().err


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
    with pytest.raises(UserError, match=r"has no answer of 'another' at .* to any of the 20 requests"):
        ask_teacher.main(world(tmp_path, 20, base_url=server.url, kind="replay", model="another"))


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


def test_the_oracle_writes_the_solution_nearest_to_the_mistake(tmp_path) -> None:
    task = arithmetic_task()
    example = problems(1)[0].model_copy(
        update={"steps": ["<<30+5=35>>", "<<35-14=21>>", "<<21*2=42>>"], "final_answer": "42"}
    )
    oracle = Oracle(task, [example], "nearest")

    def said(mistake: str | None) -> str:
        [response] = oracle.answer([Request(example.id, (), mistake=mistake)])
        assert response is not None
        return response.text

    reference, other = task.solution_text(example), "<<30-14=16>> | <<16+5=21>> | <<21*2=42>> | #### 42"
    assert said("<<30-14=16>> | <<16-5=11>> | <<11*2=22>> | #### 22") == other
    assert said("<<30-5=25>> | <<25-14=11>> | <<11*2=22>> | #### 22") == reference
    assert said("") == reference
    assert said(None) in (reference, other)
    assert Oracle(task, [example]).answer([Request(example.id, (), mistake=other)])[0].text == reference


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        (["<<1+2=3>>"], 1),
        (["<<3-1=2>>", "<<2-1=1>>"], 1),  # the same numbers in another order
        (["<<3+1=4>>", "<<4-2=2>>"], 2),
        (["<<1+3=4>>", "<<4-2=2>>"], 1),  # not below nothing
        (["<<1+3=4>>", "<<5-2=3>>"], 1),  # the second step does not go on with the first
        (["<<9*2=18>>", "<<18-1=17>>", "<<17+2=19>>"], 1),
        (["Tom has <<3+1=4>>4 pens", "<<4-2=2>>"], 1),
        ([], 1),
    ],
)
def test_orders_of_a_solution(steps: list[str], count: int) -> None:
    found = reordered(steps)
    assert found[0] == steps
    assert len(found) == count


def test_of_equal_ends_the_teacher_who_sees_no_mistake_writes_either(tmp_path) -> None:
    """`nearest` and no mistake: not always the reference, which is what the control is about."""
    ask_teacher.main(world(tmp_path, 40, kind="oracle", solutions="nearest", show_mistakes=False))
    task, rows = arithmetic_task(), rows_of(tmp_path)
    assert all(row.accepted and row.mistake is None for row in rows)
    same = sum(row.text == task.solution_text(example) for row, example in zip(rows, problems(40), strict=True))
    assert 0 < same < 40


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
    assert (report["questions_missing"], report["questions_left_out"]) == (2, 1)
    # What is written in the authors' format can be read again.
    written = json.loads((tmp_path / "released/arithmetic.train.round1.json").read_text())
    assert list(written) == [examples[0].question, examples[1].question]
    mistakes = json.loads((tmp_path / "released/arithmetic.student.train.round0.neg4.json").read_text())
    assert mistakes[examples[3].question] == ["<<1+1=2>> | #### 2"]
    ask_teacher.main(world(tmp_path, 4, released=tmp_path / "released/arithmetic.train.round1.json"))
    assert [row.example_id for row in rows_of(tmp_path) if row.accepted] == names[:2]


def test_released_rationales_of_questions_that_the_student_knew_are_learned_too(tmp_path) -> None:
    examples = problems(4)
    document = {example.question: [f"<<1+1=2>>\nAnswer: {example.final_answer}"] for example in examples}
    (tmp_path / "released.json").write_text(json.dumps(document))
    words = world(tmp_path, 4, released=tmp_path / "released.json")
    marks = (tmp_path / "marks.jsonl").read_text().splitlines()
    (tmp_path / "marks.jsonl").write_text(marks[2] + "\n")
    ask_teacher.main(words)
    assert [row.example_id for row in rows_of(tmp_path)] == [examples[place].id for place in (2, 0, 1, 3)]
    assert report_of(tmp_path)["questions_not_asked_for"] == 3
    (tmp_path / "like.jsonl").write_text((tmp_path / "rationales.jsonl").read_text().splitlines()[0] + "\n")
    ask_teacher.main([*words, "--questions", "random", "--random-like", str(tmp_path / "like.jsonl")])
    assert len(rows_of(tmp_path)) == 1  # the control has as many questions as the method, and no more
    ask_teacher.main([*words, "--dry-run"])
    assert report_of(tmp_path)["requests"] == 0


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
        ("with_mistake: '{question}'\n", "with_mistake: must contain {mistake}"),
        (
            "with_mistake: '{question} {mistake} {solution}'\n",
            "with_mistake: {solution} is unknown; it may contain {mistake}",
        ),
        ("system: 'You are {name}'\n", "system: {name} is unknown; it may contain no placeholders"),
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
