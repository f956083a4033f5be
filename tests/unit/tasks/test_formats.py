"""Raw rows into examples: the papers' real files (with --mirror), users' own files, and every malformed row."""

import json
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks.formats import demonstrations, read_split, shared_questions
from retrace.tasks.load import load_task
from suites import first_daily

CONFIG = Path(__file__).parents[3] / "config"
ROWS = [
    {"question": f"What is {n}+1?", "answer": f"{n}+1 = <<{n}+1={n + 1}>>{n + 1}.\n#### {n + 1}"} for n in range(20)
]

TASK = """
name: mine
title: Mine
family: word_problems
format: question_answer
splits:
  train:
    file: {folder}/rows.jsonl
    part: [0, 0.8]
  dev:
    part_of: train
    part: [0.8, 1]
  test:
    file: {folder}/test.jsonl
"""


def lines(*rows: object) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def own_task(folder: Path, rows: str = lines(*ROWS), changes: tuple[str, str] = ("", "")):
    (folder / "rows.jsonl").write_text(rows, encoding="utf-8")
    (folder / "test.jsonl").write_text(lines({"question": "Last?", "answer": "#### 1,234"}), encoding="utf-8")
    path = folder / "mine.yaml"
    path.write_text(TASK.format(folder=folder).replace(*changes), encoding="utf-8")
    return load_task(path)


def test_a_users_own_rows(tmp_path):
    task = own_task(tmp_path)
    train, dev, test = (read_split(task, split) for split in ("train", "dev", "test"))
    assert (len(train), len(dev), len(test)) == (16, 4, 1)
    assert not {e.question for e in train} & {e.question for e in dev}
    assert {e.id for e in train} | {e.id for e in dev} == {f"train-{n:05d}" for n in range(1, 21)}
    assert [e.id for e in train] == sorted(e.id for e in train)
    assert train == read_split(task, "train")
    first = next(e for e in train + dev if e.id == "train-00001")
    assert first.steps == ["0+1 = <<0+1=1>>1"]
    assert first.answer == "0+1 = <<0+1=1>>1.\n#### 1"
    assert test[0].final_answer == "1234"
    assert test[0].answer == "#### 1234"
    assert test[0].steps == []


def test_another_seed_holds_other_rows_out(tmp_path):
    held = {e.id for e in read_split(own_task(tmp_path), "dev")}
    other = {
        e.id for e in read_split(own_task(tmp_path, changes=("part: [0, 0.8]", "part: [0, 0.8]\n    seed: 1")), "dev")
    }
    assert len(held) == len(other) == 4
    assert held != other


def test_other_field_names_own_ids_and_a_limit(tmp_path):
    rows = lines(*({"q": f"Q{n}?", "a": f"#### {n}", "id": n} for n in range(9)))
    fields = ("format: question_answer", "format: question_answer\nfields: {question: q, answer: a}")
    task = own_task(tmp_path, rows, fields)
    assert read_split(task, "train", limit=2)[0].id.isdigit()
    assert len(read_split(task, "train", limit=2)) == 2


def test_a_solution_on_one_line_is_cut_into_sentences(tmp_path):
    row = {"question": "Q?", "answer": "First 1+1 = <<1+1=2>>2. Then 2+2 = <<2+2=4>>4. #### 4 "}
    task = own_task(tmp_path, lines(row), ("part: [0, 0.8]", "count: 1"))
    assert read_split(task, "train")[0].steps == ["First 1+1 = <<1+1=2>>2", "Then 2+2 = <<2+2=4>>4"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "rows.jsonl:2: not JSON"),
        ("", "rows.jsonl:2: empty line"),
        ("[1]", "rows.jsonl:2: a row is a JSON object"),
        ({"question": "Q?"}, "rows.jsonl:2: field 'answer' is missing"),
        ({"question": " ", "answer": "#### 1"}, "rows.jsonl:2: field 'question'"),
        ({"question": "Q?", "answer": True}, "rows.jsonl:2: field 'answer' is 'True'"),
        ({"question": "Q?", "answer": "it is 5"}, "rows.jsonl:2: the answer has no final value"),
        ({"question": "Q?", "answer": "#### five"}, "rows.jsonl:2: the answer has no final value"),
        (ROWS[0], "ask the same question"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, row, message):
    task = own_task(tmp_path, lines(ROWS[0], row, ROWS[1]), ("part: [0, 0.8]", "seed: 0"))
    with pytest.raises(UserError) as caught:
        read_split(task, "train")
    assert message in str(caught.value)


def test_twin_ids_empty_files_missing_files_and_unknown_splits(tmp_path):
    twins = lines(ROWS[0] | {"id": "a"}, ROWS[1] | {"id": "a"})
    with pytest.raises(UserError, match="id 'a' is used twice"):
        read_split(own_task(tmp_path, twins, ("part: [0, 0.8]", "seed: 0")), "train")
    with pytest.raises(UserError, match="holds no rows"):
        read_split(own_task(tmp_path, ""), "train")
    task = own_task(tmp_path)
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(UserError, match="no such file"):
        read_split(task, "train")
    with pytest.raises(UserError, match="no split 'tset'; this task has train, dev, test"):
        read_split(task, "tset")


def test_a_file_in_another_encoding_is_named(tmp_path):
    task = own_task(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(b'{"question": "caf\xe9"}\n')
    with pytest.raises(UserError, match="not UTF-8"):
        read_split(task, "train")


def test_marks_of_editors_and_separators_inside_texts_are_no_fault(tmp_path):
    task = own_task(tmp_path, changes=("part: [0, 0.8]", "count: 2"))
    row = json.dumps({"question": "a\u2028b\x85?", "answer": "#### 1"}, ensure_ascii=False)
    (tmp_path / "rows.jsonl").write_bytes(f"\ufeff{row}\r\n".encode() + b'{"question": "c", "answer": "#### 2"}')
    assert [(e.question, e.final_answer) for e in read_split(task, "train")] == [
        ("a\u2028b\x85?", "1"),
        ("c", "2"),
    ]


@pytest.mark.parametrize(
    ("before", "where"), [("", "rows.jsonl:1"), ('{"question": "c", "answer": "#### 2"}\n', "rows.jsonl:2")]
)
def test_deep_nesting_is_no_row(tmp_path, before, where):
    task = own_task(tmp_path)
    (tmp_path / "rows.jsonl").write_text(before + "[" * 100_000 + "\n")
    with pytest.raises(UserError, match=rf"{where}: not JSON \(nested too deeply\)"):
        read_split(task, "train")


def test_an_unknown_generator_lists_the_known_ones(tmp_path):
    task = own_task(tmp_path, changes=("part_of: train\n    part: [0.8, 1]", "generator: poems\n    count: 3"))
    with pytest.raises(UserError, match="'poems'; valid: arithmetic, coin_flip, multiplication, object_tracking"):
        read_split(task, "dev")


def test_generated_questions_avoid_the_test_set(tmp_path):
    def coins(test_rows: list[dict]):
        (tmp_path / "test.json").write_text(json.dumps({"examples": test_rows}), encoding="utf-8")
        path = tmp_path / "coins.yaml"
        path.write_text(
            "name: coins\ntitle: C\nfamily: symbolic\nstep_kind: coin_flip\nformat: coin_flip\nsplits:\n"
            "  train: {generator: coin_flip, count: 50}\n"
            f"  test: {{file: {tmp_path}/test.json}}\n",
            encoding="utf-8",
        )
        return read_split(load_task(path), "train")

    before = coins([{"question": "Is it?", "answer": "yes"}])
    taken = [{"question": e.question, "answer": e.final_answer} for e in before[:20]]
    after = coins(taken)
    assert len(after) == 50
    assert not {e.question for e in after} & {row["question"] for row in taken}


@pytest.mark.parametrize(
    "document", ["[]", "{", '{"examples": [1]}', '{"examples": [{"input": "a", "target_scores": {"b": 0}}]}']
)
def test_malformed_documents(tmp_path, document):
    (tmp_path / "test.json").write_text(document, encoding="utf-8")
    path = tmp_path / "objects.yaml"
    path.write_text(
        "name: objects\ntitle: O\nfamily: symbolic\nstep_kind: object_tracking\nformat: object_tracking\n"
        f"splits:\n  test: {{file: {tmp_path}/test.json}}\n",
        encoding="utf-8",
    )
    with pytest.raises(UserError, match=r"test\.json"):
        read_split(load_task(path), "test")


# ---------------------------------------------------------------- the papers' real data

SIZES = {
    "gsm8k": (6457, 1000, 1319),
    "svamp": (432, 181, 299),
    "multiarith": (289, 115, 174),
    "mathqa": (3655, 505, 391),
    "coin_flip": (2000, 200, 500),
    "tso": (2000, 200, 750),
}


@pytest.mark.parametrize("name", first_daily(sorted(SIZES, key=SIZES.get)))
def test_real_data(mirror, name):
    """Sizes, disjoint splits, and every reference solution right by its own task's graders."""
    task = load_task(name, CONFIG)
    splits = [read_split(task, split, mirror) for split in ("train", "dev", "test")]
    assert tuple(len(examples) for examples in splits) == SIZES[name]
    questions = [{e.question for e in examples} for examples in splits]
    assert len(set.union(*questions)) == sum(SIZES[name])
    for examples in splits:
        assert shared_questions(task, examples[0].split, examples, mirror) == {}
        for example in examples:
            text = task.solution_text(example)
            if task.config.family != "programs" or example.steps:
                assert task.grade(text, example.answer), (example, text)
                assert task.grade_strict(text, example.answer), (example, text)
            assert task.split_steps(text) == example.steps
    assert all(example.steps for example in splits[0] + splits[1])


@pytest.mark.slow
def test_the_splits_of_dpo_st(mirror):
    """Its own training and development questions and the test set of all; sizes as in the paper's Table 1."""
    task = load_task("gsm8k", CONFIG)
    sizes = {"dpo_st_train": 6705, "dpo_st_dev": 768, "test": 1319}
    for split, size in sizes.items():
        examples = read_split(task, split, mirror)
        assert len(examples) == size
        assert shared_questions(task, split, examples, mirror) == {}
    # The same questions are divided in another way, so that one system's split must not be mixed with another's.
    theirs = {e.question for e in read_split(task, "dpo_st_train", mirror)}
    assert theirs & {e.question for e in read_split(task, "dev", mirror)}


@pytest.mark.parametrize(("name", "size", "twins"), [("multiarith", 600, 20), ("svamp", 1000, 0)])
def test_whole_test_sets_for_transfer(mirror, name, size, twins):
    task = load_task(name, CONFIG)
    examples = read_split(task, "transfer_test", mirror)
    assert len(examples) == size
    assert len({example.question for example in examples}) == size - twins
    assert shared_questions(task, "transfer_test", examples, mirror) == {}
    questions = {example.question for example in examples}
    assert sum(e.question in questions for e in read_split(task, "test", mirror)) >= 100
    assert all(task.grade(f"#### {example.final_answer}", example.answer) for example in examples)


@pytest.mark.parametrize(
    ("name", "count"), [("gsm8k", 16), ("svamp", 32), ("multiarith", 32), ("mathqa", 32), ("tso", 8)]
)
def test_real_demonstrations(mirror, name, count):
    task = load_task(name, CONFIG)
    assert len(demonstrations(task, count, mirror)) == count
    assert task.prompt("Why?", demonstrations(task, 2, mirror)).count("Q: ") == 3


NUMBERS = """
name: mine
title: Mine
family: word_problems
format: question_number
fields: {question: input, answer: target}
splits:
  test: {file: rows.json}
"""


def numbers(folder: Path, rows: str, more: str = "") -> list[Example]:
    (folder / "rows.json").write_text(rows, encoding="utf-8")
    path = folder / "mine.yaml"
    path.write_text(NUMBERS.replace("rows.json}", f"{folder}/rows.json{more}}}"), encoding="utf-8")
    return read_split(load_task(path), "test")


def test_bare_numbers_as_answers(tmp_path):
    lines = '{"input": "A?", "target": 9}\n{"input": "B?", "target": 0.25}\n'
    assert [e.answer for e in numbers(tmp_path, lines)] == ["#### 9", "#### 0.25"]
    listed = '[{"body": "Tom has 3", "ask": " How many?", "n": [3.0]}]'
    example = numbers(tmp_path, listed, ", fields: {question: [body, ask], answer: n}, rows: 1")[0]
    assert (example.question, example.answer, example.steps) == ("Tom has 3. How many?", "#### 3", [])


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ('{"input": "A?", "target": "9"}\n', "", "rows.json:1: field 'target' is '9'; it must be one number"),
        ('{"input": "A?", "target": true}\n', "", "must be one number"),
        ('{"input": "A?", "target": NaN}\n', "", "must be one number"),
        ('[{"input": "A?", "target": [1, 2]}]', "", r"rows.json: \[1\]: field 'target' is '\[1, 2\]'"),
        ('[{"input": "A?", "target": 1}, 3]', "", r"\[2\]: a row is a JSON object"),
        ("[1", "", "rows.json:1: not JSON"),
        ('{"input": "A?", "target": 1}\n', ", rows: 2", "holds 1 rows, 2 are expected"),
        ('{"input": "A?", "target": 1}\n{"input": "A?", "target": 1}\n', "", "ask the same question"),
    ],
)
def test_bad_number_rows(tmp_path, rows, more, message):
    with pytest.raises(UserError, match=message):
        numbers(tmp_path, rows, more)


def test_repeated_questions_of_a_published_file_are_kept_where_it_says_so(tmp_path):
    rows = '{"input": "A?", "target": 1}\n{"input": "A?", "target": 1}\n'
    assert len(numbers(tmp_path, rows, ", repeats: true")) == 2


def test_questions_keep_their_white_space_but_are_told_without_it(tmp_path) -> None:
    from retrace.models.discriminator import context_text
    from retrace.tasks.answer_task import in_chat

    rows = [{"question": f" Ann has  {n} pens.\nHow many? ", "answer": f"#### {n}"} for n in range(4)]
    task = own_task(tmp_path, lines(*rows))
    first = read_split(task, "train")[0]
    assert first.question == rows[0]["question"]
    assert task.prompt(first.question) == "Ann has 0 pens. How many?"  # GRACE puts them so, ...
    assert context_text(first.question, "") == "Q: Ann has 0 pens. How many? A:"
    assert in_chat(task).messages(first.question)[-1]["content"] == first.question  # ... LaTRO as they are
    twin = {"question": "Ann has 2 pens. How many?", "answer": "#### 2"}
    again = own_task(tmp_path, lines(*rows, twin), changes=("part: [0, 0.8]", "count: 9"))
    with pytest.raises(UserError, match="ask the same question"):
        read_split(again, "train")
