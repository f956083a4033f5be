"""The table of families on the page about own data: every row is read, and both answers are judged as it says."""

import json
import re
from pathlib import Path

import pytest
import yaml

from retrace.tasks.families import family_named, family_names
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task

PAGE = (Path(__file__).parents[3] / "docs" / "own_data.md").read_text(encoding="utf-8")
HEAD = "| family | further keys | row | right | wrong | judged steps |\n|---|---|---|---|---|---|\n"
TABLE = PAGE.partition(HEAD)[2].partition("\n\n")[0]
ROWS = {cells[1].strip(" `"): cells[2:7] for cells in (re.split(r"(?<!\\)\|", line) for line in TABLE.splitlines())}


def test_every_family_has_an_example() -> None:
    assert sorted(ROWS) == sorted(family_names())


@pytest.mark.parametrize("family", ROWS)
def test_an_example_is_read_and_judged_as_the_page_says(family: str, tmp_path: Path) -> None:
    keys, row, right, wrong, judged = (cell.strip().replace(r"\|", "|") for cell in ROWS[family])
    values = {"name": "mine", "title": "Mine", "family": family, "format": "question_answer"}
    for key in re.findall(r"`([^`]+)`", keys):
        values |= yaml.safe_load(key)
    values["splits"] = {"test": {"file": "rows.jsonl"}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(json.loads(row.strip("`"))) + "\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    task = load_task(tmp_path / "mine.yaml")
    example = read_split(task, "test")[0]
    assert task.grade(right.strip("`"), example.answer)
    assert not task.grade(wrong.strip("`"), example.answer)
    assert task.grade_strict(task.solution_text(example), example.answer)
    assert {"yes": True, "no": False}[judged] == family_named(family).judges_steps
    if judged == "yes":
        assert all(task.step_correct(step, step, example.steps[:at]) for at, step in enumerate(example.steps))
