"""Long multiplication: lines, graders, the generator and its splits."""

import json
from pathlib import Path

import numpy as np
import pytest

import prepare_data
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl
from retrace.schemas import Example
from retrace.tasks import long_multiplication
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task
from retrace.tasks.multiplication_pairs import SHARES, generate, permuted

CONFIG = Path(__file__).parents[3] / "config"
OFFICIAL = "raw.githubusercontent.com/da03/implicit_chain_of_thought/51027999b2780c53adc9cb92bd36a96dab84560c/data"


def test_a_line_by_hand() -> None:
    # 47 * 23: 47*3 = 141; 47*2*10 = 940; 1081. Least significant digit first.
    assert long_multiplication.line_of(47, 23, 2) == "7 4 * 3 2||1 4 1 + 0 4 9 0 #### 1 8 0 1"
    # Of three steps the middle one gives the sum so far: 12*3 + 12*20 = 276 (the factors have three digits).
    line = long_multiplication.line_of(112, 123, 3)
    assert line == "2 1 1 * 3 2 1||6 3 3 0 + 0 4 2 2 0 ( 6 7 5 2 0 ) + 0 0 2 1 1 0 #### 6 7 7 3 1 0"


def test_solution_text_and_steps_agree_with_the_line() -> None:
    task = load_task("mult_3x3", CONFIG)
    example = long_multiplication.example_of(112, 123, 3, "x", "train", "here")
    line = long_multiplication.line_of(112, 123, 3)
    assert f"{example.question}||{task.solution_text(example)}" == line
    assert task.reasoning_text(example) == line.split("||")[1].split(" ####")[0]
    assert task.split_steps(task.solution_text(example)) == example.steps
    assert task.join_steps(example.steps[:2]) == " + ".join(example.steps[:2]) + " +"


@pytest.mark.parametrize(
    ("text", "official", "strict"),
    [
        ("7 4 1 #### 1 8 0 1", True, True),
        ("#### 1 8 0 1", True, True),
        ("#### 1 8 0 1 ", True, True),
        ("####  1 8 0 1", True, False),
        ("#### 1 8 0 1 2", False, False),
        ("#### 1 8 0", False, False),
        ("1 8 0 1", False, False),
        ("#### 9 #### 1 8 0 1", False, False),
        ("", False, False),
    ],
)
def test_graders(text: str, official: bool, strict: bool) -> None:
    task = load_task("mult_2x2", CONFIG)
    assert task.grade(text, "1 4 1\n#### 1 8 0 1") == official
    assert task.grade_strict(text, "1 4 1\n#### 1 8 0 1") == strict


def test_a_gold_answer_without_marker_is_an_error() -> None:
    with pytest.raises(UserError, match="has no '#### digits'"):
        load_task("mult_2x2", CONFIG).grade("#### 1", "1 8 0 1")


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 8100])
@pytest.mark.parametrize("key", [0, 3])
def test_a_permutation_is_one(size: int, key: int) -> None:
    with np.errstate(over="ignore"):
        out = permuted(np.arange(size, dtype=np.uint64), size, key)
    assert sorted(out.tolist()) == list(range(size))
    if size == 8100:
        assert (out != np.arange(size)).mean() > 0.99


def test_splits_share_no_pair_whatever_their_seeds() -> None:
    drawn = {
        split: {row.question for row in generate(split, 450, seed, 2)}
        for split, seed in zip(SHARES, (0, 7, 7), strict=True)
    }
    assert [len(questions) for questions in drawn.values()] == [450] * 3
    assert not drawn["train"] & drawn["dev"]
    assert not drawn["train"] & drawn["test"]
    assert not drawn["dev"] & drawn["test"]
    other = {row.question for row in generate("train", 450, 8, 2)}
    assert other != drawn["train"]


def test_factors_have_no_leading_zero_and_cover_the_range() -> None:
    firsts = [row.question.split()[1] for row in generate("train", 3000, 0, 2)]
    assert set(firsts) == set("123456789")


def test_rows_are_made_one_at_a_time() -> None:
    rows = generate("train", 808_000, 1, 9)
    assert [len(next(rows).question) for _ in range(3)] == [37] * 3


def test_excluded_questions_are_not_drawn() -> None:
    first = [row.question for row in generate("train", 20, 3, 4)]
    again = [row.question for row in generate("train", 20, 3, 4, exclude=frozenset(first[:5]))]
    assert again[:15] == first[5:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", 7000, 0, 2), "there are 6581 pairs of 2 digits for split train, 7000 were asked for"),
        (("corpus", 5, 0, 2), "split 'corpus' is unknown; it makes test, dev, train"),
    ],
)
def test_what_cannot_be_generated(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(generate(*arguments))


def test_a_setting_that_the_generator_does_not_have() -> None:
    with pytest.raises(UserError, match="unknown settings boxes"):
        list(generate("train", 1, 0, 2, boxes=1))


# ---------------------------------------------------------------- files


def task_file(folder: Path, **changes: str) -> Path:
    values = {"digits": "digits: 2", "train": f"{{file: {folder}/train.txt}}"} | changes
    path = folder / "mine.yaml"
    path.write_text(
        "name: mine\ntitle: M\nfamily: multiplication\nformat: lines\ndelimiter: '+'\ncalculator: false\n"
        f"{values['digits']}\nsplits:\n  train: {values['train']}\n"
    )
    return path


GOOD = long_multiplication.line_of(47, 23, 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            GOOD.replace("||", " "),
            r"train.txt:2: a line needs '\|\|' once, between question and solution, this has it 0",
        ),
        (GOOD.replace(" *", "|| *"), r"train.txt:2: a line needs '\|\|' once, .* this has it 2"),
        (GOOD.replace("####", ""), "train.txt:2: the solution needs '####' once, before the answer, this has it 0"),
        (GOOD + " #### 1", "train.txt:2: the solution needs '####' once, .* this has it 2"),
        ("||" + GOOD.split("||")[1], r"train.txt:2: no question before '\|\|'"),
        (GOOD.replace("3 2", "3 2 1"), "train.txt:2: the factor '3 2 1' has 3 digits, this task's have 2"),
        (GOOD.replace("3 2", "3"), "train.txt:2: the factor '3' has 1 digits, this task's have 2"),
        (GOOD.replace("7 4 *", "74 *"), "train.txt:2: the question must be two numbers, digit by digit"),
        (GOOD.replace("1 8 0 1", "1 8 0"), "train.txt:2: the product after '####' must have 4 digits"),
        (GOOD.replace("1 8 0 1", "1801"), "train.txt:2: the product after '####' must have 4 digits"),
        (GOOD.replace("1 8 0 1", "1 8 0 2"), "train.txt:2: the product is '1 8 0 2', it should be '1 8 0 1'"),
        ("", r"train.txt:2: a line needs '\|\|'"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "train.txt").write_text(f"{long_multiplication.line_of(99, 10, 2)}\n{line}\n")
    with pytest.raises(UserError, match=message):
        read_split(load_task(task_file(tmp_path)), "train")


def test_faulty_lines_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.txt").write_text(f"{GOOD}\nnothing\n{long_multiplication.line_of(99, 10, 2)}\n")
    path = task_file(tmp_path, train=f"{{file: {tmp_path}/train.txt, skip_faulty: true}}")
    rows = read_split(load_task(path), "train")
    assert [row.id for row in rows] == ["train-00001", "train-00003"]  # the lines of the user's file
    assert "1 faulty lines were left out (first: 2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("digits", "message"), [("", "digits: a task of family multiplication"), ("digits: 10", "less than or equal to 9")]
)
def test_digits_must_be_said(tmp_path: Path, digits: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_task(task_file(tmp_path, digits=digits))


def test_a_bulky_file_leaves_out_what_the_other_splits_ask(tmp_path: Path, capsys, monkeypatch) -> None:
    lines = [long_multiplication.line_of(a, 23, 2) for a in range(40, 60)]
    (tmp_path / "big.txt").write_text("\n".join([*lines, lines[0]]) + "\n")
    (tmp_path / "test.txt").write_text("\n".join(lines[5:8]) + "\n")
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ntitle: M\nfamily: multiplication\nformat: lines\ndelimiter: '+'\ncalculator: false\ndigits: 2\n"
        f"splits:\n  icot_train: {{file: {tmp_path}/big.txt, bulky: true, repeats: true}}\n"
        f"  test: {{file: {tmp_path}/test.txt}}\nsplit_sets: [icot]\n"
    )
    prepare_data.main(["--task-file", str(path), "--split", "icot_train", "--output", str(tmp_path / "out.jsonl")])
    rows = read_jsonl(tmp_path / "out.jsonl", Example)
    assert len(rows) == 21 - 3
    assert "3 rows of icot_train ask questions of other splits and were left out" in capsys.readouterr().err
    # The test split neither reads the bulky file nor minds it.
    (tmp_path / "big.txt").unlink()
    prepare_data.main(["--task-file", str(path), "--split", "test", "--output", str(tmp_path / "test.jsonl")])
    assert len(read_jsonl(tmp_path / "test.jsonl", Example)) == 3


# ---------------------------------------------------------------- the authors' files


@pytest.fixture
def mirror(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--mirror")
    if not folder:
        pytest.skip("needs --mirror FOLDER (or RETRACE_MIRROR)")
    return Path(folder)


@pytest.mark.parametrize("digits", [4, 5])
def test_all_official_lines_are_reproduced(mirror: Path, digits: int) -> None:
    for name in ("valid", "test_bigbench"):
        lines = (mirror / OFFICIAL / f"{digits}_by_{digits}_mult" / f"{name}.txt").read_text().splitlines()
        assert len(lines) == 1000
        for line in lines:
            a, b = (long_multiplication.value_of(factor) for factor in line.split("||")[0].split(" * "))
            assert long_multiplication.line_of(a, b, digits) == line


def test_generated_training_lines_avoid_the_official_files(mirror: Path, tmp_path: Path) -> None:
    words = ["--task-file", str(CONFIG / "tasks/mult_4x4.yaml"), "--mirror", str(mirror)]
    for split, limit in (("train", 3000), ("test", -1), ("dev", -1)):
        output = tmp_path / f"{split}.jsonl"
        prepare_data.main([*words, "--split", split, "--limit", str(limit), "--output", str(output)])
    rows = {split: read_jsonl(tmp_path / f"{split}.jsonl", Example) for split in ("train", "test", "dev")}
    assert {split: len(found) for split, found in rows.items()} == {"train": 3000, "test": 1000, "dev": 1000}
    held_out = {row.question for row in rows["test"] + rows["dev"]}
    assert not held_out & {row.question for row in rows["train"]}


def test_equations_of_gsm8k_are_the_official_ones(mirror: Path) -> None:
    """Our equation-only steps, taken from GSM8K's annotations, equal the authors' files wherever both exist."""
    task = load_task("gsm8k", CONFIG)
    official = (mirror / OFFICIAL / "gsm8k" / "test.txt").read_text(encoding="utf-8").splitlines()
    annotated = read_split(task, "test", str(mirror))
    assert len(official) == len(annotated) == 1319
    from retrace.tasks.formats import _solutions

    equations = _solutions(task, ("test",), str(mirror))
    for line, row in zip(official, annotated, strict=True):
        question, solution = line.split("||")
        assert question == row.question  # white space and all
        *steps, mark, answer = solution.split()
        assert equations[" ".join(question.split())].split() == [*steps, mark, answer.replace(",", "")]
    plain = read_split(task, "icot_unaugmented_train", str(mirror))
    assert len(plain) == 6973
    assert plain[0].steps == ["<<32/2=16>>", "<<16+12=28>>", "<<32-28=4>>"]
    dev = read_split(task, "icot_dev", str(mirror))
    written = (mirror / OFFICIAL / "gsm8k" / "valid.txt").read_text(encoding="utf-8").splitlines()
    assert len(dev) == 500
    for line, row in zip(written, dev, strict=True):
        question, steps, answer = line.replace("||", " ####").split(" ####")
        assert row.question == question
        assert task.reasoning_text(row) == steps
        assert task.written_answer(row) == f"####{answer}".replace(",", "")
    assert not {row.question for row in dev} & {row.question for row in plain}
    assert json.loads(dev[0].model_dump_json())["steps"] == ["<<4-2=2>>", "<<2/.5=4>>", "<<12/4=3>>", "<<100*3=300>>"]
