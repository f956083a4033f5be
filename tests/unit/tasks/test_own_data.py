"""A task of one's own on a known format: one YAML beside a file of questions and answers, and no code."""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import decode
import prepare_data
import score_method
from retrace.errors import UserError
from retrace.evaluation.result import Result, load_document
from retrace.machine.storage import read_jsonl
from retrace.schemas import Example
from retrace.tasks.data_files import READABLE
from retrace.tasks.formats import read_split, streamed
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
        ("question,answer\n\nB?,#### 1\n", "question_answer", "mine.csv:2: empty line; remove it"),
        ("question,question\nA?,B?\n", "question_answer", "mine.csv:1: the first line must name the fields"),
        ("question,\nA?,B?\n", "question_answer", "mine.csv:2: 'B\\?' stands in a column without a name"),
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


def test_numbers_of_json_are_final_answers_and_other_values_are_named(tmp_path: Path) -> None:
    rows = '{"question": "A?", "answer": 4}\n{"question": "B?", "answer": 0.1}\n{"question": "C?", "answer": "4"}\n'
    found = read_split(own_task(tmp_path, rows, file="mine.jsonl"), "test")
    assert [row.final_answer for row in found] == ["4", "0.1", "4"]
    for value, fault in (("true", "is 'True'"), ("null", "is empty"), ("NaN", "is empty"), ("[4]", "is a list of 1")):
        row = f'{{"question": "A?", "answer": {value}}}\n'
        with pytest.raises(UserError, match=rf"mine.jsonl:1: field 'answer' {fault}"):
            read_split(own_task(tmp_path, row, file="mine.jsonl"), "test")


# ---------------------------------------------------------------- where the files lie


def test_a_link_to_nothing_a_pipe_and_a_folder_without_data_are_named(tmp_path: Path) -> None:
    task = own_task(tmp_path, "")
    (tmp_path / "mine.csv").unlink()
    (tmp_path / "mine.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(UserError, match=r"mine\.csv: a link to .*gone\.csv, which does not exist; correct the link"):
        read_split(task, "test")
    (tmp_path / "mine.csv").unlink()
    os.mkfifo(tmp_path / "mine.csv")
    with pytest.raises(UserError, match=r"mine\.csv: not a regular file"):
        read_split(task, "test")
    (tmp_path / "mine.csv").unlink()
    (tmp_path / "mine.csv").mkdir()
    with pytest.raises(UserError, match=r"mine\.csv: contains no data files"):
        read_split(task, "test")


def test_a_split_of_a_document_and_of_a_file_that_has_none(tmp_path: Path) -> None:
    rows = {"train": [{"question": "A?", "answer": "#### 1"}], "final": [{"question": "B?", "answer": "#### 2"}]}
    task = own_task(tmp_path, json.dumps(rows), file="mine.json, hub_split: final")
    (tmp_path / "mine.json").write_text(json.dumps(rows, indent=1))
    assert [row.question for row in read_split(task, "test")] == ["B?"]
    for file in ("mine.json, subset: final", "mine.csv, hub_split: final"):
        task = own_task(tmp_path, "", file=file)
        (tmp_path / file.partition(",")[0]).write_text("question,answer\nA?,#### 1\n")
        with pytest.raises(
            UserError, match=r"own\.yaml: splits\.test\.(subset|hub_split): only for a folder, .* remove it"
        ):
            read_split(task, "test")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{'x' * 300}.csv", "cannot be read: the name is too long"),
        ("~/mine.csv", "no such file; write the whole path, because ~ is not expanded"),
        ("'https://a.org/mine.csv'", "not a path; write a URL as `url`, with the `sha256` of its file"),
        (
            "gone/mine.csv",
            r"no such file \(splits.test of .*own.yaml; relative to the working folder, or to that YAML's\)",
        ),
    ],
)
def test_names_of_no_file(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "own.yaml").write_text(OWN.format(format="question_answer", more="", file=name))
    with pytest.raises(UserError, match=rf"\.csv: {message}"):
        read_split(load_task(tmp_path / "own.yaml"), "test")


def test_a_folder_is_read_by_the_name_of_the_split_that_the_rows_come_from(tmp_path: Path) -> None:
    (tmp_path / "rows/small").mkdir(parents=True)
    for split in ("train", "validation"):
        lines = [json.dumps({"question": f"{split} {n}?", "answer": f"#### {n}"}) + "\n" for n in range(4)]
        (tmp_path / f"rows/small/{split}.jsonl").write_text("".join(lines))
    (tmp_path / "own.yaml").write_text(
        "name: own\ntitle: Own\nfamily: word_problems\nformat: question_answer\nsplits:\n"
        "  train: {file: rows, subset: small, part: [0.5, 1.0]}\n  dev: {part_of: train, part: [0.0, 0.5]}\n"
        "  test: {file: rows, hub_split: validation, bulky: true}\n"
    )
    task = load_task(tmp_path / "own.yaml")
    found = {split: read_split(task, split) for split in ("train", "dev", "test")}
    assert sorted(row.id for split in ("train", "dev") for row in found[split]) == [
        f"train-0000{n}" for n in (1, 2, 3, 4)
    ]
    assert {row.question for split in ("train", "dev") for row in found[split]} == {f"train {n}?" for n in range(4)}
    assert [row.id for row in found["test"]] == ["test-00001", "test-00002", "test-00003", "test-00004"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "{file: a.csv, hub_split: 'train[:10%]'}",
            r"hub_split: 'train\[:10%\]' is not a split name; instead of a slice use `part`",
        ),
        ("{file: a.csv, hub_split: train+test}", r"hub_split: 'train\+test' is not a split name"),
        (
            "{generator: arithmetic, count: 3, subset: main}",
            "subset: only for `hub` and for a folder as `file`; remove 'main'",
        ),
        ("{generator: arithmetic, count: 3, fields: {question: q}}", "fields: a generator has no columns; remove it"),
        ("{url: 'https://a.b/c', sha256: x, hub_split: train}", "hub_split: only for `hub` and for a folder"),
    ],
)
def test_sources_that_ask_for_what_is_not_there(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "own.yaml").write_text(
        f"name: own\ntitle: Own\nfamily: word_problems\nformat: question_answer\nsplits:\n  test: {source}\n"
    )
    with pytest.raises(UserError, match=rf"own\.yaml: splits\.test: {message}"):
        load_task(tmp_path / "own.yaml")


@pytest.mark.parametrize("rows", ["", '{"question": "Q?", "answer": "#### 1", "id": "a"}\n' * 2])
def test_a_bulky_file_without_rows_or_with_an_id_twice_is_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / "rows.jsonl").write_text(rows)
    (tmp_path / "own.yaml").write_text(
        "name: own\ntitle: Own\nfamily: word_problems\nformat: question_answer\n"
        "splits:\n  test: {file: rows.jsonl, bulky: true, repeats: true}\n"
    )
    words = ["--task-file", str(tmp_path / "own.yaml"), "--split", "test", "--output", str(tmp_path / "out.jsonl")]
    with pytest.raises(UserError, match=r"rows\.jsonl.*(holds no rows|id 'a' is used twice)"):
        prepare_data.main(words)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv"])
def test_a_bulky_file_is_read_row_by_row(tmp_path: Path, name: str) -> None:
    """Its first rows are there before the others are read, of which one is faulty."""
    sound = [{"question": f"Q{n}?", "answer": f"#### {n}"} for n in range(3000)]
    write_rows(tmp_path / name.removesuffix(".gz"), sound)
    data = (tmp_path / name.removesuffix(".gz")).read_bytes() + b"faulty\n"
    (tmp_path / name).write_bytes(gzip.compress(data, 1) if name.endswith(".gz") else data)
    (tmp_path / "own.yaml").write_text(OWN.format(format="question_answer", more="", file=f"{name}, bulky: true"))
    rows = streamed(load_task(tmp_path / "own.yaml"), "test")
    assert rows is not None
    assert [next(rows).final_answer for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(UserError, match=r"rows\.\w+(\.gz)?:300[12]: "):
        list(rows)


# ---------------------------------------------------------------- the page

PAGE = (Path(__file__).parents[3] / "docs" / "own_data.md").read_text(encoding="utf-8")
EXPECTED = {  # of the file in each YAML of the page: (id, question, steps, final answer) of its rows
    "my_data/test.jsonl": [
        ("test-00001", "2+2?", [], "4"),
        ("test-00002", "Tom has 3 pens and buys 4. How many has he?", ["He has 3+4 = <<3+4=7>>7 pens"], "7"),
    ],
    "my_data/exam.csv": [
        ("a1", "Ann has 1,000 pens, and gives 1 away. How many are left?", [], "999"),
        ("a2", 'What is "half" of 5?', [], "2.5"),
    ],
    "my_data/nested.json": [
        ("test-00001", "Ann has 3 pens. How many pens has she?", [], "3"),
        ("test-00002", "Bob has 4 pens. How many pens has he?", [], "4"),
    ],
    "my_data/steps.jsonl": [
        ("test-00001", "Tom has 3 pens, buys 4 and loses 2. How many has he?", ["3+4 = 7", "7-2 = 5"], "5"),
        ("test-00002", "What is 2*6?", ["2*6 = 12"], "12"),
    ],
    "my_data/sums.tsv.gz": [
        ("test-00001", "What is 600+600?", [], "1200"),
        ("test-00002", "What is 1/4?", [], "0.25"),
    ],
    "my_data/quiz.jsonl": [
        ("test-00001", "Which is the largest?\nOptions: ['ant', 'blue whale', 'cow']", [], "blue whale"),
        ("test-00002", "Which has wings?\nOptions: ['ant', 'wasp']", [], "wasp"),
    ],
    "my_data/lines.txt": [
        ("test-00001", "Tom has 3 pens and buys 4.", ["<<3+4=7>>"], "7"),
        ("test-00002", "What is 2*6+1?", ["<<2*6=12>>", "<<12+1=13>>"], "13"),
    ],
    "my_data/parts": [("test-00001", "2+2?", [], "4"), ("test-00002", "2+3?", [], "5")],
    "my_data/saved": [("test-00001", "2+2?", [], "4"), ("test-00002", "2+3?", [], "5")],
    "owner/name": [("test-00001", "2+2?", [], "4")],
}


def test_every_example_of_the_page_is_read_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in re.findall(r"`(my_data/\S+)`[^`\n]*:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    for program in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=120)
    mirror = Path("mirror/huggingface.co/datasets/owner/name/main/validation.csv")
    mirror.parent.mkdir(parents=True)
    mirror.write_text("problem,final\n2+2?,4\n")
    shown = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    first = shown[0]
    found = {}
    for changes in shown:
        if changes.get("name", first["name"]) != first["name"]:
            continue  # LaTRO's columns, in tests of their own
        source = changes["splits"]["test"]
        Path("my_task.yaml").write_text(yaml.safe_dump({**first, **changes, "splits": {"test": source}}))
        words = ["--task-file", "my_task.yaml", "--split", "test", "--mirror", "mirror", "--output", "out.jsonl"]
        prepare_data.main(words)
        rows = read_jsonl("out.jsonl", Example)
        found[source.get("file") or source["hub"]] = [
            (row.id, row.question, row.steps, row.final_answer) for row in rows
        ]
    assert found == EXPECTED


def test_every_kind_of_file_of_the_page_is_known(tmp_path: Path) -> None:
    table = PAGE.partition("| `file` or `hub` | rows |\n|---|---|\n")[2].partition("\n\n")[0]
    kinds = [kind for line in table.splitlines() for kind in re.findall(r"NAME(\.\w+)", line.split("|")[1])]
    assert sorted(kinds) == [".csv", ".json", ".jsonl", ".parquet", ".tsv", ".txt"]
    assert all(f"NAME{kind}".endswith(READABLE) for kind in kinds)


# ---------------------------------------------------------------- rows of several splits


def followed(folder: Path, splits: str):
    """A task with three files, whose splits stand in a YAML's own words."""
    for name, first in (("own", 1), ("more", 11), ("asked", 21)):
        write_rows(folder / f"{name}.jsonl", [{"question": f"{n}?", "answer": str(n)} for n in (first, first + 1)])
    head = "name: own\ntitle: Own\nfamily: word_problems\nformat: question_answer\nsplits:\n"
    (folder / "own.yaml").write_text(head + splits)
    return load_task(folder / "own.yaml")


def test_a_split_is_followed_by_the_rows_of_others(tmp_path: Path) -> None:
    splits = (
        "  train: {file: own.jsonl, followed_by: [more]}\n  more: {file: more.jsonl}\n  test: {file: asked.jsonl}\n"
    )
    task = followed(tmp_path, splits)
    rows = read_split(task, "train")
    assert [(row.id, row.question, row.split) for row in rows] == [
        ("train-00001", "1?", "train"),
        ("train-00002", "2?", "train"),
        ("more-00001", "11?", "train"),
        ("more-00002", "12?", "train"),
    ]
    assert [row.split for row in read_split(task, "more")] == ["more", "more"]
    for split in ("train", "more"):  # that they share rows is meant
        words = ["--task-file", str(tmp_path / "own.yaml"), "--split", split, "--output", str(tmp_path / "out.jsonl")]
        prepare_data.main(words)
    (tmp_path / "asked.jsonl").write_text((tmp_path / "more.jsonl").read_text())
    with pytest.raises(UserError, match="questions of train also occur in other splits"):
        prepare_data.main([*words[:3], "train", *words[4:]])


def test_the_same_question_in_both_is_named(tmp_path: Path) -> None:
    splits = "  train: {file: own.jsonl, followed_by: [more]}\n  more: {file: own.jsonl}\n"
    with pytest.raises(UserError, match=r"train-00001 and more-00001 ask the same question \('1\?'\)"):
        read_split(followed(tmp_path, splits), "train")


@pytest.mark.parametrize(
    ("train", "more", "message"),
    [
        ("followed_by: [mroe]", "", "followed_by: 'mroe' is no other split of this task with rows of its own"),
        ("followed_by: [train]", "", "followed_by: 'train' is no other split"),
        ("followed_by: [more]", ", followed_by: [train]", "followed_by: 'more' is no other split"),
        ("followed_by: [more]", ", bulky: true", "followed_by: 'more' is no other split"),
        ("followed_by: [more], bulky: true", "", "followed_by: not for generated rows and not for bulky files"),
    ],
)
def test_what_cannot_follow_is_refused(tmp_path: Path, train: str, more: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        followed(tmp_path, f"  train: {{file: own.jsonl, {train}}}\n  more: {{file: more.jsonl{more}}}\n")
