"""Every format of rows, with a value of a wrong kind in every place: it is read, or an error names the row."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retrace.errors import UserError
from retrace.tasks.families import row_format_names
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task

CHOICES = [{"label": label, "text": text} for label, text in zip("ABC", ("bank", "shop", "mall"), strict=True)]
# Of each format a family, more of a task's YAML, and a sound row.
OPTIONS = [f"{letter}){number}" for letter, number in zip("ABCDE", range(3, 8), strict=True)]
GOOD: dict[str, tuple[str, str, dict[str, Any]]] = {
    "aqua": ("lettered_choice", "", {"question": "2+2?", "options": OPTIONS, "rationale": "2+2 = 4", "correct": "B"}),
    "arc": ("multiple_choice", "", {"question": "Q?", "choices": {"text": ["a", "b"], "label": [*"AB"]}, "answerKey": "A"}),
    "coin_flip": ("symbolic", "step_kind: coin_flip", {"question": "Q?", "answer": "yes"}),
    "commonsense_qa": ("lettered_choice", "", {"id": "q", "answerKey": "B", "question": {"stem": "Q?", "choices": CHOICES}}),
    "math": ("math", "", {"problem": "$x+x$?", "solution": r"It is $\boxed{2x}$.", "answer": "2x", "unique_id": "a"}),
    "multiarith": ("word_problems", "", {"lEquations": ["X=(3.0+4.0)"], "lSolutions": [7.0], "sQuestion": "Q?"}),
    "object_tracking": ("symbolic", "step_kind: object_tracking", {"input": "Q?", "target_scores": {"red": 1, "blue": 0}}),
    "one_unknown": ("word_problems", "", {"lEquations": ["X=3+4"], "lSolutions": [7.0], "sQuestion": "Q?", "iIndex": 1}),
    "queries_responses": ("numeric", "", {"queries": "Q?", "responses": "The answer is 4.", "groundtruth": 4}),
    "question_answer": ("word_problems", "fields: {steps: steps}", {"question": "Q?", "steps": ["1+1 = 2"], "answer": "2"}),
    "question_number": ("word_problems", "", {"id": "a", "question": "Q?", "answer": 3.5}),
    "strategy_qa": ("yes_no", "", {"input": "Q?", "target_scores": {"Yes": 1, "No": 0}, "target": "Yes. It is."}),
    "svamp": ("word_problems", "", {"ID": "c", "Body": "B.", "Question": "Q?", "Equation": "( 7.0 - 2.5 )", "Answer": 4.5}),
}  # fmt: skip
ODD = [
    None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**350, 10**450, 1e308, "", " ", "#### ", "####", "x" * 300,
    "\ud800", "\0", [], [None], [[]], {}, {"a": 1}, {"": 1}, {"text": None, "label": None}, "1/0", "9**9", "(" * 3000,
    "2024-01-05", "X=", {"Yes": [1]}, "½", "1e400",
]  # fmt: skip
TASK = "name: mine\ntitle: Mine\nfamily: {family}\nformat: {form}\n{more}\nsplits: {{test: {{file: rows.json}}}}\n"


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to every value inside a row, the row itself left out."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield (*before, key)
        yield from places(part, (*before, key))


def changed(row: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    found = copy.deepcopy(row)
    holder: Any = found
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return found


@pytest.mark.parametrize("form", GOOD)
def test_a_value_of_a_wrong_kind_is_read_or_named(tmp_path: Path, form: str) -> None:
    assert form in row_format_names()
    family, more, row = GOOD[form]
    (tmp_path / "mine.yaml").write_text(TASK.format(family=family, form=form, more=more))
    task = load_task(tmp_path / "mine.yaml")
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    assert len(read_split(task, "test")) == 1
    tries = [(place, value) for place in places(row) for value in ODD]
    refused = 0
    for place, value in random.Random(form).sample(tries, min(len(tries), 100)):
        (tmp_path / "rows.json").write_text(json.dumps([changed(row, place, value)]))
        try:
            read_split(task, "test")
        except UserError as error:
            assert "rows.json" in str(error) or "mine.yaml" in str(error)  # noqa: PT017 (both ways are right)
            refused += 1
    assert refused > 30
