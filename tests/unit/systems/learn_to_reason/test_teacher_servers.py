"""A served teacher whose server does not know every option, and models that think before they answer."""

import json

import pytest

from retrace.errors import UserError
from retrace.systems.learn_to_reason.teachers.base import without_system
from unit.chat_server import ChatServer, rightly
from unit.teacher_world import ask, completion, error, recorded, report_of, rows_of


@pytest.fixture(autouse=True)
def no_proxy_and_a_key(monkeypatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEACHER_KEY", "none")


# ---------------------------------------------------------------- options that a server does not know


NO_TEMPERATURE = [
    error(
        "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.",
        param="temperature",
        code="unsupported_value",
    ),
    error("Unsupported parameter: 'temperature' is not supported with this model.", param="temperature"),
    error("`temperature` is deprecated for this model.", type="invalid_request_error"),
    json.dumps({"detail": [{"loc": ["body", "temperature"], "msg": "Extra inputs are not permitted"}]}),
    "temperature: unknown field",
]


@pytest.mark.parametrize("said", NO_TEMPERATURE)
def test_a_server_without_temperature_is_asked_without(tmp_path, capsys, said: str) -> None:
    with ChatServer(refuses=lambda body: (400, said) if "temperature" in body else None) as server:
        ask(tmp_path, server, attempts=1)
        assert len(server.log) == 4, "refused once, and remembered"
        ask(tmp_path, server, attempts=1)
        assert len(server.log) == 4, "what was answered is found again under the options that were given"
    assert all(row.accepted for row in rows_of(tmp_path))
    assert capsys.readouterr().err.count("does not accept the temperature") == 1
    assert all("temperature" not in row["request"] for row in recorded(tmp_path))


def test_what_was_left_out_is_reported_and_replayed(tmp_path) -> None:
    with ChatServer(refuses=lambda body: (422, NO_TEMPERATURE[0]) if "temperature" in body else None) as server:
        ask(tmp_path, server)
        assert report_of(tmp_path)["requests"]["without_temperature"] == 1
        first = rows_of(tmp_path)
        ask(tmp_path, server, kind="replay")
    assert rows_of(tmp_path) == first


@pytest.mark.parametrize("given", ["max_tokens", "max_completion_tokens"])
def test_the_limit_has_the_name_that_the_server_wants(tmp_path, capsys, given: str) -> None:
    other = "max_tokens" if given == "max_completion_tokens" else "max_completion_tokens"
    said = error(
        f"Unsupported parameter: '{given}' is not supported with this model. Use '{other}' instead. Others: temperature.",
        param=given,
        code="unsupported_parameter",
    )
    with ChatServer(refuses=lambda body: (400, said) if given in body else None) as server:
        ask(tmp_path, server, length_option=given)
        assert len(server.log) == 4
    assert all(row["request"][other] == 512 and "temperature" in row["request"] for row in recorded(tmp_path))
    assert f"set teacher.length_option: {other}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "said",
    [
        "System role not supported",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Developer instruction is not enabled for models/small",
    ],
)
def test_a_server_without_a_system_role_has_its_text_in_the_question(tmp_path, said: str) -> None:
    def refuse(body: dict) -> tuple[int, str] | None:
        return (400, error(said)) if body["messages"][0]["role"] == "system" else None

    with ChatServer(refuses=refuse) as server:
        ask(tmp_path, server)
    for row in recorded(tmp_path):
        assert [one["role"] for one in row["request"]["messages"]] == ["user"]
        assert row["request"]["messages"][0]["content"].startswith("You teach a student")


def test_a_server_that_takes_neither_name_stops_at_once(tmp_path) -> None:
    def refuse(body: dict) -> tuple[int, str]:
        name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        return 400, error(f"Unsupported parameter: '{name}'", param=name)

    with ChatServer(refuses=refuse) as server:
        with pytest.raises(UserError, match=r"the server rejects the request \(400: .*max_completion_tokens"):
            ask(tmp_path, server)
        assert len(server.log) == 2


def test_a_temperature_out_of_range_is_the_users_to_mend(tmp_path) -> None:
    said = error("temperature: 1.5 is not allowed, it must be between 0 and 1", param="temperature")
    with ChatServer(refuses=lambda body: (400, said)) as server:
        with pytest.raises(UserError, match=r"rejects the request \(400: .*between 0 and 1"):
            ask(tmp_path, server, temperature=1.5)
        assert len(server.log) == 1


def test_an_empty_system_text_is_left_out(tmp_path) -> None:
    (tmp_path / "short.yaml").write_text(
        "system: ''\ndemonstration: '{question}'\nsolution: '{solution}'\n"
        "with_mistake: '{question} {mistake} Right final answer: 1'\nwithout_mistake: '{question}'\n"
    )
    with ChatServer() as server:
        ask(tmp_path, server, template_file=tmp_path / "short.yaml")
        assert all(one["messages"][0]["role"] == "user" for one in server.bodies.values())


def test_the_system_text_of_a_folded_conversation_comes_first() -> None:
    talk = [{"role": role, "content": role[0]} for role in ("system", "user", "assistant", "user")]
    assert [one["content"] for one in without_system(talk)] == ["s\n\nu", "a", "u"]
    assert [one["content"] for one in talk] == ["s", "u", "a", "u"], "the conversation itself stays"
    assert without_system(talk[1:]) == talk[1:]


# ---------------------------------------------------------------- models that think


@pytest.mark.parametrize("form", ["reasoning_content", "reasoning", "block", "parts"])
def test_thinking_is_no_part_of_the_rationale(tmp_path, form: str) -> None:
    def say(body: dict) -> tuple[int, str]:
        message = {
            "block": {"content": f"<think>Answer: 9999</think>\n{rightly(body)}"},
            "parts": {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Answer: 9999"}]},
                    {"type": "text", "text": rightly(body)},
                ]
            },
        }.get(form, {form: "Answer: 9999"})
        return 200, json.dumps(completion(body, message=message))

    with ChatServer(refuses=say) as server:
        ask(tmp_path, server)
    assert all(row.accepted and "9999" not in row.text for row in rows_of(tmp_path))
    assert all("9999" in json.dumps(row["response"]) for row in recorded(tmp_path)), "recorded as it came"


def thinks_long(needed: int):
    """Thinks for `needed` tokens before it answers."""

    def say(body: dict) -> tuple[int, str]:
        if body["max_tokens"] < needed:
            message = {"content": None, "reasoning_content": "so"} if needed % 2 else {"content": "<think>so"}
            return 200, json.dumps(completion(body, message=message, finish="length"))
        return 200, json.dumps(completion(body))

    return say


@pytest.mark.parametrize(
    ("needed", "requests", "verdict"),
    [(64, 1, "accepted"), (101, 2, "accepted"), (900, 3, "accepted"), (5000, 3, "empty")],
)
def test_an_answer_that_thinking_left_no_room_for_is_asked_for_again(tmp_path, needed, requests, verdict) -> None:
    with ChatServer(refuses=thinks_long(needed)) as server:
        ask(tmp_path, server, max_tokens=64)
        assert len(server.log) == 3 * requests
        ask(tmp_path, server, max_tokens=64)
        assert len(server.log) == 3 * requests, "every response is recorded, also those without an answer"
        assert len(recorded(tmp_path)) == 3 * requests
        first = rows_of(tmp_path)
        ask(tmp_path, server, max_tokens=64, kind="replay")
    assert rows_of(tmp_path) == first
    assert {row.verdict for row in first} == {verdict}


def test_a_server_that_gives_no_more_room_costs_one_question_its_answer(tmp_path) -> None:
    def say(body: dict) -> tuple[int, str]:
        if body["max_tokens"] > 64:
            return 400, error("max_tokens is too large: this model supports at most 64")
        return thinks_long(900)(body)

    with ChatServer(refuses=say) as server:
        ask(tmp_path, server, max_tokens=64)
        ask(tmp_path, server, max_tokens=64)
    assert {row.verdict for row in rows_of(tmp_path)} == {"empty"}
    assert len(recorded(tmp_path)) == 3


def test_more_room_counts_against_the_limits(tmp_path) -> None:
    full = pytest.raises(UserError, match=r"teacher\.max_total_tokens 1000 is reached")
    with ChatServer(refuses=thinks_long(900)) as server, full:
        ask(tmp_path, server, max_tokens=64, max_total_tokens=1000)
    assert len(recorded(tmp_path)) == 2, "the third request could have taken 1024 tokens"
