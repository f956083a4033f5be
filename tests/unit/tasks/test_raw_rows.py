"""Columns of the user's rows by the fields that a format reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task

TASK = """
name: mine
title: Mine
family: {family}
format: {format}
calculator: false
fields: {fields}
splits:
  test: {{file: rows.{ending}{source}}}
"""


def read(
    folder: Path,
    fields: str,
    *rows: dict[str, Any] | str,
    form: str = "question_answer",
    family: str = "word_problems",
    ending: str = "jsonl",
    source: str = "",
) -> list[Example]:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (folder / f"rows.{ending}").write_text(text, encoding="utf-8")
    (folder / "mine.yaml").write_text(
        TASK.format(family=family, format=form, fields=fields, ending=ending, source=source), encoding="utf-8"
    )
    return read_split(load_task(folder / "mine.yaml"), "test")


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ("{question: q, answer: a}", {"q": "Why?", "a": "#### 4"}),
        ("{question: data.q, answer: data.a}", {"data": {"q": "Why?", "a": "#### 4"}}),
        ("{question: data.q, answer: data.a}", {"data.q": "Why?", "data": {"a": "#### 4", "q": "Not this"}}),
        ("{question: a.b.c, answer: a.b}", {"a.b": "#### 4", "a": {"b.c": "Why?"}}),
        ("{question: talk.0.content, answer: talk.1.content}", {"talk": [{"content": "Why?"}, {"content": "#### 4"}]}),
        ("{question: question, answer: answers.text.0}", {"question": "Why?", "answers": {"text": ["#### 4"]}}),
        ("{question: answer, answer: question}", {"answer": "Why?", "question": "#### 4"}),
    ],
)
def test_columns_of_any_name(tmp_path: Path, fields: str, row: dict[str, Any]) -> None:
    (found,) = read(tmp_path, fields, row)
    assert (found.question, found.answer) == ("Why?", "#### 4")


def test_a_question_of_several_columns(tmp_path: Path) -> None:
    (found,) = read(
        tmp_path, "{question: [given.text, q]}", {"given": {"text": "He has 2"}, "q": "Why?", "answer": "#### 4"}
    )
    assert found.question == "He has 2. Why?"


@pytest.mark.parametrize(
    ("fields", "row", "message"),
    [
        (
            "{question: q}",
            {"question": "Why?", "answer": "#### 4"},
            "rows.jsonl:1: no column 'q', set as fields.question",
        ),
        (
            "{question: d.q}",
            {"d": {"p": 1}, "answer": "#### 4"},
            "no column 'd.q'.*the row has d, answer.; correct `fields`",
        ),
        ("{question: d.3}", {"d": ["Why?"], "answer": "#### 4"}, "no column 'd.3'"),
        ("{question: d.-1}", {"d": ["Why?"], "answer": "#### 4"}, "no column 'd.-1'"),
        ("{question: [a, b]}", {"a": "Why?", "answer": "#### 4"}, "no column 'b', set as fields.question"),
        ("{question: [a, b]}", {"a": "Why?", "b": " ", "answer": "#### 4"}, "field 'b' is ' '; it must be a text"),
        ("{question: q}", {"q": None, "answer": "#### 4"}, r"field 'q' is empty; .*\(the row has q, answer\)"),
        ("{question: q}", '{"q": NaN, "answer": "#### 4"}', "field 'q' is empty"),
        (
            "{question: q}",
            {"q": ["a", "b"], "answer": "#### 4"},
            "field 'q' is a list of 2; select one item .* 'q.0'",
        ),
        ("{question: q}", {"q": {"a": 1}, "answer": "#### 4"}, "field 'q' is \"{'a': 1}\""),
        ("{answer: a}", {"question": "Why?", "a": True}, "field 'a' is 'True'"),
        ("{answer: a}", '{"question": "Why?", "a": [' + "[" * 900 + "]" * 900 + "]}", "field 'a' is a list of 1"),
    ],
)
def test_missing_and_empty_columns(tmp_path: Path, fields: str, row: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, fields, row)


@pytest.mark.parametrize(
    ("fields", "form", "message"),
    [
        (
            "{qestion: q}",
            "question_answer",
            r"mine.yaml: fields: .* has no field 'qestion'; did you mean 'question'",
        ),
        ("{choices: q}", "question_answer", "has no field 'choices'; .*valid: answer, id, question, steps"),
        ("{steps: q}", "question_number", "format question_number has no field 'steps'"),
        ("{question: q}", "lines", "format lines has no field 'question'; remove `fields`"),
        ("{answer: [a, b]}", "question_answer", "fields.answer: must be one column; only `question` may have several"),
        ("{question: []}", "question_answer", "fields.question"),
        ("{question: ''}", "question_answer", "fields.question"),
        ("{question: 3}", "question_answer", "fields.question"),
    ],
)
def test_fields_that_a_format_does_not_have(tmp_path: Path, fields: str, form: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, fields, {"q": "Why?"}, form=form)


@pytest.mark.parametrize("key", ["question_field: q", "answer_field: q", "question_fields: [q]"])
def test_former_keys_say_what_to_write_now(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=r"mine\.yaml: \w+ was replaced; write fields: {(question|answer): "):
        read(tmp_path, f"{{}}\n{key}", {"question": "Why?", "answer": "4"})
    with pytest.raises(
        UserError, match=r"mine\.yaml: splits\.test: \w+ was replaced; write fields: {(question|answer): "
    ):
        read(tmp_path, "{}", {"question": "Why?", "answer": "4"}, source=f", {key}")


def test_fields_of_a_source_add_to_those_of_the_task(tmp_path: Path) -> None:
    row = {"q": "Why?", "a": 4, "other": "What?"}
    (found,) = read(
        tmp_path, "{question: q, answer: a}", row, form="question_number", source=", fields: {question: other}"
    )
    assert (found.question, found.final_answer) == ("What?", "4")
    source = ", format: question_number, fields: {question: other, answer: a}"  # its own format: its own fields alone
    (found,) = read(tmp_path, "{steps: q}", row, source=source)
    assert (found.question, found.final_answer) == ("What?", "4")


# ---------------------------------------------------------------- steps

STEPS = "{steps: steps}"


@pytest.mark.parametrize("steps", [["1+1 = 2.", "2+2 = 4. Then on."], "1+1 = 2.\n\n2+2 = 4. Then on.\n"])
@pytest.mark.parametrize("answer", ["4", 4, 4.0])
def test_steps_of_a_column_are_those_of_a_solution_with_lines(tmp_path: Path, steps: Any, answer: Any) -> None:
    (found,) = read(tmp_path, STEPS, {"question": "Why?", "steps": steps, "answer": answer})
    (written,) = read(tmp_path, "{}", {"question": "Why?", "answer": "1+1 = 2.\n2+2 = 4. Then on.\n#### 4"})
    assert found == written
    assert found.steps == ["1+1 = 2", "2+2 = 4. Then on"]


def test_a_single_step_stays_one_and_there_may_be_none(tmp_path: Path) -> None:
    first, second, third = read(
        tmp_path,
        STEPS,
        {"question": "A?", "steps": ["One.  Then\ntwo."], "answer": "2"},
        {"question": "B?", "steps": [], "answer": "3"},
        {"question": "C?", "steps": "", "answer": "3"},
    )
    assert (first.steps, second.steps, third.steps) == (["One. Then two"], [], [])
    assert (first.answer, second.answer) == ("One. Then two.\n#### 2", "#### 3")


def test_steps_of_a_table(tmp_path: Path) -> None:
    text = 'question,steps,answer\nWhy?,"a\nb",4'
    (found,) = read(tmp_path, STEPS, text, ending="csv")
    assert (found.steps, found.final_answer) == (["a", "b"], "4")


@pytest.mark.parametrize(
    ("steps", "answer", "message"),
    [
        (None, "4", r"field 'steps' is empty \(write \[\] or '' for none\)"),
        (5, "4", "field 'steps' is '5'; it must be a list of texts"),
        (["a", 3], "4", "field 'steps': item 1 is '3'; it must be a text"),
        (["a", " "], "4", "field 'steps': item 1 is ' '"),
        (["a | b"], "4", r"a step contains '\|', the delimiter of steps; set `delimiter`"),
        (["a #### 5"], "4", "field 'steps' contains '####'"),
        (["a"], "so\n#### 4", "field 'answer' contains '####'; with `fields.steps` it must be the final answer alone"),
        (["a"], None, "field 'answer' is empty"),
    ],
)
def test_faulty_steps(tmp_path: Path, steps: Any, answer: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, STEPS, {"question": "Why?", "steps": steps, "answer": answer})
    assert "rows.jsonl:1" in str(caught.value)


# ---------------------------------------------------------------- ids


def test_ids_of_a_column_and_of_the_users_rows(tmp_path: Path) -> None:
    rows = [{"question": f"Q{n}?", "answer": f"#### {n}", "key": f"k{n}", "n": n} for n in range(3)]
    assert [row.id for row in read(tmp_path, "{}", *rows)] == ["test-00001", "test-00002", "test-00003"]
    assert [row.id for row in read(tmp_path, "{id: key}", *rows)] == ["k0", "k1", "k2"]
    assert [row.id for row in read(tmp_path, "{id: n}", *rows)] == ["0", "1", "2"]
    rows[1]["question"] = "Q0?"
    kept = read(tmp_path, "{}\nrepeats_left_out: 1", *rows)
    assert [row.id for row in kept] == ["test-00001", "test-00003"]  # the same, whatever is left out


@pytest.mark.parametrize(
    ("fields", "row", "message"),
    [
        (
            "{}",
            {"id": ""},
            "rows.jsonl:1: field 'id' is empty; fill it in, or set another column as `fields.id`",
        ),
        ("{}", {"id": " \n"}, "field 'id' is empty"),
        ("{id: key}", {"key": ""}, "field 'key' is empty"),
        ("{id: key}", {"key": None}, "field 'key' is empty"),
        ("{id: key}", {}, "no column 'key', set as fields.id"),
        ("{id: key}", {"key": True}, "field 'key' is 'True'"),
        ("{id: key}", {"key": "\ud800"}, "rows.jsonl:1: contains an unpaired surrogate"),
    ],
)
def test_faulty_ids(tmp_path: Path, fields: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, fields, {"question": "Why?", "answer": "#### 4"} | row)


def test_a_column_of_ids_that_says_nothing_leaves_the_rows_number(tmp_path: Path) -> None:
    (found,) = read(tmp_path, "{}", {"question": "Why?", "answer": "#### 4", "id": None})
    assert found.id == "test-00001"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "Why \ud800?"}, r"rows.jsonl:1: contains an unpaired surrogate \('\\ud800', in 'Why \\ud800\?'"),
        ({"answer": "so \udfff\n#### 4"}, "contains an unpaired surrogate"),
        ({"question": "Wh\0y?"}, r"rows.jsonl:1: contains a NUL character \(in 'Wh\\x00y\?'\)"),
    ],
)
def test_texts_that_cannot_be_stored(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, "{}", {"question": "Why?", "answer": "#### 4"} | row)


def test_a_pair_of_surrogates_is_one_character(tmp_path: Path) -> None:
    (found,) = read(tmp_path, "{}", '{"question": "Why \\ud83d\\ude00?", "answer": "#### 4", "unread": "\\ud800"}')
    assert found.question == "Why 😀?"


# ---------------------------------------------------------------- choices


@pytest.mark.parametrize(
    ("choices", "answer", "right"),
    [
        (["dry palms", "wet palms", "oil"], "B", "wet palms"),
        (["dry palms", "wet palms", "oil"], "wet  palms", "wet palms"),
        ([{"label": "1", "text": "dry"}, {"label": "2", "text": "wet"}], "2", "wet"),
        ([{"label": "1", "text": "dry"}, {"label": "2", "text": "wet"}], 2, "wet"),
        ({"text": ["dry", "wet"], "label": ["x", "y"]}, "x", "dry"),
        (["B", "A"], "A", "B"),  # a label before a text
        ([3, 4.5], "B", "4.5"),
    ],
)
def test_questions_with_choices_in_columns_of_any_name(tmp_path: Path, choices: Any, answer: Any, right: str) -> None:
    fields = "{question: ask, choices: options, answer: key}"
    row = {"ask": "Which?", "options": choices, "key": answer}
    (found,) = read(tmp_path, fields, row, form="arc", family="multiple_choice")
    assert found.final_answer == right
    assert found.question.startswith("Which?\nOptions: [")


@pytest.mark.parametrize(
    ("choices", "answer", "message"),
    [
        (["a", "b"], 1, "key '1' is none of the labels A, B"),  # counted from 0 or from 1? ambiguous
        (["a", "b"], "C", "key 'C' is none of the labels A, B"),
        (["a", "a"], "a", "key 'a' is none of the labels A, B"),
        (["a"], "A", "options must hold equally many"),
        (["a", ""], "A", "options.text: an option is 'empty'"),
        (["a", None], "A", "options.text: an option is 'empty'"),
        (list("abcdefghijk"), "A", "options must hold equally many"),
        ("a, b", "A", "options must hold equally many"),
        (["a", "b"], None, "field 'key' is empty"),
    ],
)
def test_faulty_choices(tmp_path: Path, choices: Any, answer: Any, message: str) -> None:
    fields = "{question: ask, choices: options, answer: key}"
    row = {"ask": "Which?", "options": choices, "key": answer}
    with pytest.raises(UserError, match=message):
        read(tmp_path, fields, row, form="arc", family="multiple_choice")


def test_latros_columns_by_other_names(tmp_path: Path) -> None:
    fields = "{question: prompt, response: completion, answer: gold}"
    row = {"prompt": "Why?", "completion": "The answer is 4.", "gold": 4}
    (found,) = read(tmp_path, fields, row, form="queries_responses", family="numeric")
    assert (found.question, found.answer, found.final_answer) == ("Why?", "The answer is 4.\n#### 4", "4")
