"""Families of tasks: found by their files, complete, and told apart by nobody else."""

import ast
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.tasks import families
from retrace.tasks.base import Task
from retrace.tasks.families import family_named, family_names, generators, row_format, row_format_names
from retrace.tasks.family import Family
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task, task_names

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "scripts"
OWN = """
name: mine
title: Mine
family: {family}
format: question_answer
{more}
splits: {{test: {{file: mine.jsonl}}}}
"""
FAMILY = '''
"""Answers are shouted."""

from retrace.tasks.family import Family, Generator
from retrace.tasks.row_formats import stated


def row(where, row):
    return row["asked"], "", row["said"]


class Shouted(Family):
    name = "shouted"
    final_kind = "word"
    formats = (stated("asked_said", row),)
    generators = (Generator("echoes", lambda wanted: iter(())),)

    def extract(self, text):
        return text.rpartition("#### ")[2].upper() or None

    def grade(self, text, gold):
        return self.extract(text) == self.extract(gold)

    def grade_strict(self, text, gold):
        return self.grade(text, gold) and text.isupper()

    def step_correct(self, step, reference_step, prefix):
        return step.upper() == reference_step.upper()
'''


def own_task(folder: Path, family: str, more: str = "") -> Task:
    path = folder / "mine.yaml"
    path.write_text(OWN.format(family=family, more=more), encoding="utf-8")
    return load_task(path)


@pytest.mark.parametrize("name", family_names())
def test_a_family_says_all_that_is_asked_of_it(name: str) -> None:
    family = family_named(name)
    assert issubclass(family, Family)
    assert family.__doc__
    asked = ("extract", "grade", "grade_strict", "step_correct")
    told = {method for method in asked if getattr(family, method) is not getattr(Family, method)}
    # What is judged by the final answer alone is judged by retrace.tasks.answer_task.
    assert told == (set() if family.final_only else set(asked))
    assert family.judges_steps is not family.final_only


def test_every_task_file_names_a_known_family_format_and_generator() -> None:
    for name in task_names(ROOT / "config"):
        config = load_task(name, ROOT / "config").config
        assert config.family in family_names()
        assert config.format in row_format_names()
        assert {source.generator for source in config.splits.values() if source.generator} <= set(generators())


def test_formats_without_worked_solutions() -> None:
    assert [name for name in row_format_names() if not row_format(name).solutions] == [
        "arc",
        "commonsense_qa",
        "queries_responses",
        "question_number",
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("family: word_problems", "family: word_problem", "family: did you mean 'word_problems'? valid: exact_match, "),
        (
            "format: question_answer",
            "format: question_answers",
            "format: did you mean 'question_answer'? valid: aqua, arc, ",
        ),
        ("format: question_answer", "format: lines\ndigits: 3", "digits: is for tasks of family multiplication"),
        (
            "format: question_answer",
            "format: lines\nstep_kind: coin_flip",
            "step_kind: is for tasks of family symbolic",
        ),
        ("title: M", "chat: {grader: latro_numbers}\ntitle: M", "chat.grader: did you mean 'latro_number'?"),
        (
            "title: M",
            "chat: {grader: latro_option}\ntitle: M",
            "chat.grader: latro_option reads multiple_choice answers",
        ),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(tmp_path: Path, key: str, value: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    text = OWN.format(family="word_problems", more="")
    assert key in text
    path.write_text(text.replace(key, value), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_task(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("family", "line", "final"),
    [
        ("exact_match", "blue whale", "blue whale"),
        ("exact_match", "$1,200", "1200"),
        ("multiple_choice", "(B) wet palms", "(B) wet palms"),
        ("numeric", "5 apples", "5"),
        ("word_problems", "5 apples", "5"),
        ("yes_no", "Yes, it does", "Yes"),
    ],
)
def test_the_final_answer_of_a_row_is_the_familys_to_read(tmp_path: Path, family: str, line: str, final: str) -> None:
    (tmp_path / "mine.jsonl").write_text(f'{{"question": "Q?", "answer": "so\\n#### {line}"}}\n')
    (example,) = read_split(own_task(tmp_path, family), "test")
    assert (example.final_answer, example.answer) == (final, f"so\n#### {final}")


@pytest.fixture
def one_more_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "shouted.py").write_text(FAMILY)
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path / "families")])
    known = (families.family_names, families.family_named, families._row_formats)
    for function in known:
        function.cache_clear()
    yield
    for function in known:
        function.cache_clear()


def test_a_new_family_is_one_file(tmp_path: Path, one_more_family) -> None:
    (tmp_path / "mine.jsonl").write_text('{"asked": "Who?", "said": "Me"}\n')
    path = tmp_path / "mine.yaml"
    path.write_text(OWN.format(family="shouted", more="").replace("question_answer", "asked_said"))
    task = load_task(path)
    (example,) = read_split(task, "test")
    assert (example.question, example.final_answer, example.steps) == ("Who?", "Me", [])
    assert task.grade("#### me", example.answer)
    assert not task.grade_strict("#### me", example.answer)
    assert task.step_correct("a", "A")
    assert "echoes" in generators()


def test_a_file_without_its_family_is_named(tmp_path: Path, one_more_family) -> None:
    (tmp_path / "families" / "silent.py").write_text('"""Nothing."""\n')
    families.family_names.cache_clear()
    with pytest.raises(UserError, match=r"silent\.py: holds no class with name = 'silent'"):
        own_task(tmp_path, "silent")


def test_nobody_else_tells_families_apart() -> None:
    """No comparison of a `family` with the name of one, anywhere: what differs is asked of the family."""
    named = []
    for path in SCRIPTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and any(
                isinstance(part, ast.Constant) and part.value in family_names() for part in ast.walk(node)
            ):
                attributes = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
                named += [f"{path.name}:{node.lineno}"] if "family" in attributes else []
    assert named == []
