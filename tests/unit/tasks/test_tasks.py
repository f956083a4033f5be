"""Loading tasks, their text forms, and every YAML under config/tasks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks.base import canonical
from retrace.tasks.formats import demonstrations
from retrace.tasks.load import load_task, task_names

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config"
NAMES = task_names(CONFIG)

MINIMAL = """
name: mine
title: Mine
family: word_problems
format: question_answer
splits:
  test:
    file: mine.jsonl
"""


def example(**changes: object) -> Example:
    values = {
        "id": "1",
        "question": "What  is 3+4?",
        "answer": "3+4 = <<3+4=7>>7\n#### 7",
        "steps": ["3+4 = <<3+4=7>>7"],
        "final_answer": "7",
        "split": "train",
        "source": "here",
    }
    return Example(**(values | changes))


def write(folder: Path, text: str = MINIMAL, name: str = "mine") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_tasks_of_the_papers_exist():
    assert {"commonsense_qa", "strategy_qa", "multiarith_kojima", "svamp_kojima"} <= set(NAMES)
    papers = {"gsm8k", "svamp", "multiarith", "asdiv", "mathqa", "coin_flip", "tso", "arithmetic", "arc_challenge"}
    assert papers <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_task_file_is_complete_and_its_sources_are_pinned(name):
    config = load_task(name, CONFIG).config
    assert config.title
    assert len(config.about) > 50
    assert {"train", "dev", "test"} <= set(config.splits) or name == "asdiv"
    sources = [*config.splits.values(), *([config.demonstrations] if config.demonstrations else [])]
    for source in sources:
        if source.url:
            assert re.match(r"https://[\w.]+/(media/)?[\w-]+/[\w.-]+/[0-9a-f]{40}/", source.url)
            assert re.fullmatch(r"[0-9a-f]{64}", source.sha256 or "") or source.rows
        elif source.hub:
            assert re.fullmatch(r"[0-9a-f]{40}", source.revision or "")
        elif source.generator:
            assert source.count
        else:
            assert source.part_of in config.splits or (CONFIG / "tasks" / source.file).is_file()


def test_loading_is_light():
    code = (
        "import sys; from retrace.tasks.load import load_task; load_task('gsm8k'); "
        "print([name for name in ('torch', 'transformers', 'datasets', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": "scripts"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r"unknown task 'gsm9k'; known tasks: .*gsm8k.*tso"):
        load_task("gsm9k", CONFIG)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml"):
        load_task(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: Mine", "title: Mine\ntilte: x", "tilte"),
        ("family: word_problems", "family: poems", "family"),
        ("family: word_problems", "family: symbolic", "step_kind"),
        ("name: mine", "name: other", "its name is 'other'"),
        ("title: Mine", "prompt: hello\ntitle: Mine", "must hold {question}"),
        ("file: mine.jsonl", "count: 3", "one of url, file, hub, generator"),
        ("file: mine.jsonl", "file: a\n    generator: arithmetic", "one of url, file, hub, generator"),
        ("file: mine.jsonl", "url: https://x.org/a", "sha256"),
        ("file: mine.jsonl", "generator: arithmetic", "count"),
        ("file: mine.jsonl", "hub: owner/name", "the commit that it is read at"),
        ("title: Mine", "chat: {prompt: hello}\ntitle: Mine", "chat.prompt: must hold {question}"),
        ("title: Mine", "chat: {answer: Forty-two}\ntitle: Mine", "chat.answer: must hold {answer}"),
        ("file: mine.jsonl", "part_of: train", "no split"),
        ("file: mine.jsonl", "file: a\n    part: [0.5, 0.2]", "two shares"),
        ("name: mine", "name: [", "not YAML"),
    ],
)
def test_a_faulty_task_file_names_itself_and_the_fault(tmp_path, old, new, message):
    assert old in MINIMAL
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_task(write(tmp_path, MINIMAL.replace(old, new)))
    assert "mine.yaml" in str(caught.value)


def test_a_list_is_no_task(tmp_path):
    with pytest.raises(UserError, match="holds a list"):
        load_task(write(tmp_path, yaml.safe_dump(["a"])))


def test_prompt_and_solution_text():
    task = load_task("gsm8k", CONFIG)
    assert task.prompt("What\n is  this?") == "Q: What is this?"
    assert task.prompt("What?", family="decoder_only") == "Q: What? A:"
    assert task.solution_text(example()) == "3+4 = <<3+4=7>>7 | #### 7"
    assert task.prompt("What?", [example()]) == "Q: What is 3+4? A: 3+4 = <<3+4=7>>7 | #### 7\n\nQ: What? A:"


def test_braces_of_a_question_stay():
    assert load_task("gsm8k", CONFIG).prompt("a {b} {question}?") == "Q: a {b} {question}?"


@pytest.mark.parametrize("name", NAMES)
def test_split_and_join_are_inverse(name):
    task = load_task(name, CONFIG)
    parts = ["a = 1", "b = 2"]
    assert task.split_steps(task.join_steps(parts, "3")) == parts
    assert task.split_steps(task.join_steps(parts)) == parts


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("5", "5.0"),
        ("5", "5."),
        ("1,000", "1000"),
        ("-0", "0"),
        ("$7.50", "7.5"),
        ("Yes", "yes."),
        ("0.30000000000000004", "0.3"),
    ],
)
def test_equal_answers_share_a_canonical_form(first, second):
    assert canonical(first) == canonical(second)


@pytest.mark.parametrize(("first", "second"), [("5", "-5"), ("5", "50"), ("yes", "no"), ("1.5", "15"), ("", "0")])
def test_different_answers_do_not(first, second):
    assert canonical(first) != canonical(second)


def test_each_family_judges_by_its_own_rules():
    words, programs, coins = (load_task(name, CONFIG) for name in ("gsm8k", "mathqa", "coin_flip"))
    assert words.grade("#### 5", "#### 5.0")
    assert words.extract("x") is None
    assert words.step_correct("= 5", "is 5")
    assert programs.grade("answer = 2 + 3", "#### 5") is True
    assert programs.extract("answer = 2 + 3 ; #### 9") == "5.0"
    assert programs.step_correct("a = 2", "b = 1 + 1", ["n0 = 1"])
    assert coins.grade("#### yes", "#### yes")
    assert not coins.grade_strict("#### yes and no", "#### yes")
    assert coins.step_correct("now tails", "so it is tails up")


def test_no_demonstrations_need_no_file():
    assert demonstrations(load_task("gsm8k", CONFIG), 0) == []


def test_demonstrations_of_a_generator_are_worked(tmp_path):
    text = (
        MINIMAL.replace("word_problems", "symbolic\nstep_kind: coin_flip").replace(
            "file: mine.jsonl", "generator: coin_flip\n    count: 3"
        )
        + "demonstrations:\n  generator: coin_flip\n  count: 4\n"
    )
    task = load_task(write(tmp_path, text))
    assert [len(shown.steps) for shown in demonstrations(task, 2)] == [4, 4]
    with pytest.raises(UserError, match="4 demonstrations exist, 5"):
        demonstrations(task, 5)
