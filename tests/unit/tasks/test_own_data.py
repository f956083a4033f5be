"""A task of one's own on a known format: one YAML beside a file of questions and answers, and no code."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import decode
import prepare_data
import score_method
from retrace.errors import UserError
from retrace.evaluation.result import Result, load_document
from retrace.machine.storage import read_jsonl
from retrace.schemas import Example
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task
from unit import tiny_generators

OWN = """
name: own
title: My questions
family: word_problems
format: {format}
{more}
splits:
  test: {{file: {file}}}
"""


def write_rows(path: Path, rows: list[Mapping[str, str]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def own_task(folder: Path, text: str, form: str = "question_answer", more: str = "", file: str = "mine.csv"):
    (folder / file).write_text(text, encoding="utf-8")
    (folder / "own.yaml").write_text(OWN.format(format=form, more=more, file=file))
    return load_task(folder / "own.yaml")


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl"])
def test_one_yaml_beside_a_file_is_a_task_that_is_scored(tmp_path: Path, name: str) -> None:
    tiny_generators.write_project(tmp_path, "encoder_decoder")  # a model that answers these questions
    write_rows(tmp_path / name, [{"question": q, "answer": a} for q, a in tiny_generators.QUESTIONS.items()])
    (tmp_path / "own.yaml").write_text(OWN.format(format="question_answer", more="calculator: false", file=name))
    task, model = ["--task-file", str(tmp_path / "own.yaml")], ["--model-file", str(tmp_path / "tiny.yaml")]
    data, answers, scored = (tmp_path / file for file in ("test.jsonl", "greedy.jsonl", "greedy_acc.json"))
    prepare_data.main([*task, "--split", "test", "--output", str(data)])
    assert [row.final_answer for row in read_jsonl(data, Example)] == ["9", "3", "5", "5"]
    options = ["--model", str(tmp_path / "model"), "--data", str(data), "--seed", "3", "--max-new-tokens", "40"]
    decode.main(["greedy", *task, *model, *options, "--output", str(answers)])
    (tmp_path / "papers").mkdir()
    about = ["--method", "greedy", "--checkpoint", "sft", "--decoder", "greedy", "--preset", "tiny", "--seeds", "3"]
    files = ["--data", str(data), "--predictions", str(answers), "--papers", str(tmp_path / "papers")]
    score_method.main([*task, *model, *about, *files, "--output", str(scored)])
    result = load_document(scored, Result)
    assert (result.task, result.n, result.accuracy.value) == ("own", 4, 1.0)
    assert f"own data ({name})" in result.made_from


def test_texts_of_a_csv_file_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    text = 'question,answer,id\n"Tom, ""the pen"", has 3?","3+4 = 7\n#### 7",a\nWhy?,#### 8,7\n'
    first, second = read_split(own_task(tmp_path, "\ufeff" + text), "test")
    assert (first.question, first.steps, first.final_answer) == ('Tom, "the pen", has 3?', ["3+4 = 7"], "7")
    assert (first.id, second.id) == ("a", "7")


def test_bare_numbers_of_a_csv_file(tmp_path: Path) -> None:
    fields = "fields: {question: asked, answer: sum}"
    task = own_task(tmp_path, 'asked,sum\nA?,"1,200"\nB?,2.5\nC?,-3.0\n', "question_number", fields)
    assert [row.final_answer for row in read_split(task, "test")] == ["1200", "2.5", "-3"]


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("question,answer\nA?,#### 1\nB?\n", "question_answer", "mine.csv:3: 1 fields, the first line names 2"),
        (
            "question,answer\nA, b?,#### 1\n",
            "question_answer",
            "mine.csv:2: 3 fields, .* put texts with commas in quotes",
        ),
        ("question,answer\n\nB?,#### 1\n", "question_answer", "mine.csv:2: 0 fields"),
        ("question,question\nA?,B?\n", "question_answer", "mine.csv:1: the first line must name the fields"),
        ("question,\nA?,B?\n", "question_answer", "mine.csv:1: the first line must name the fields"),
        ('question,answer\n"A?"b,#### 1\n', "question_answer", "mine.csv:2: not CSV"),
        ("asked,answer\nA?,#### 1\n", "question_answer", "mine.csv:2: field 'question' is missing"),
        (
            "question,answer\nA?,many\n",
            "question_number",
            "mine.csv:2: field 'answer' is 'many'; it must be one number",
        ),
        ("question,answer\nA?,nan\n", "question_number", "mine.csv:2: field 'answer' is 'nan'; it must be one number"),
        ("question,answer\n", "question_answer", "holds no rows"),
        ("", "question_answer", "holds no rows"),
    ],
)
def test_a_faulty_csv_file_is_named_with_its_line(tmp_path: Path, text: str, form: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_split(own_task(tmp_path, text, form), "test")
