"""Rejection-sampling fine-tuning: which sampled solutions are trained on."""

import json
from pathlib import Path

import pytest

import select_solutions
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.schemas import PseudoLabel, Trajectory
from retrace.systems.rft.options import RftSelection
from retrace.systems.rft.selection import equations_of, holds, select
from unit.tiny_models import problems

CONFIG = Path(__file__).parents[4] / "config"


@pytest.mark.parametrize(
    ("text", "equations"),
    [
        ("He has <<3+4=7>> 7, then <<7 * 2=14>>. #### 14", ["3+4=7", "7*2=14"]),
        ("3 + 4 = 7 eggs. 7 * 2 = 14. #### 14", ["3+4=7", "7*2=14"]),
        ("1,200 / 2 = 600.", ["1200/2=600"]),
        ("no sum at all", []),
    ],
)
def test_equations_of_a_solution(text: str, equations: list[str]) -> None:
    assert equations_of(text) == equations


@pytest.mark.parametrize(
    ("equation", "right"),
    [("3+4=7", True), ("1/3=0.333", True), ("3+4=8", False), ("3+4", False), ("2/0=1", False), ("x+1=2", False)],
)
def test_an_equation_holds(equation: str, right: bool) -> None:
    assert holds(equation) is right


def test_one_solution_for_each_list_of_equations() -> None:
    right = ["first <<1+1=2>>", "first <<2+0=2>>", "another text that is far away <<1+1=2>>", "wrong <<1+1=3>>"]
    found = select(right, RftSelection())
    assert found.texts == ["another text that is far away <<1+1=2>>", "first <<2+0=2>>"], (
        "the farthest one takes its place"
    )
    assert (found.wrong, found.repeated) == (1, 1)


def test_what_counts_as_repeated_is_an_option() -> None:
    right = ["a <<1+1=2>>", "b <<1+1=2>>", "a <<1+1=2>>", "c <<1+1=3>>"]
    assert select(right, RftSelection(distinct="texts")).texts == ["a <<1+1=2>>", "b <<1+1=2>>"]
    assert select(right, RftSelection(distinct="none")).texts == ["a <<1+1=2>>", "b <<1+1=2>>", "a <<1+1=2>>"]
    assert "c <<1+1=3>>" in select(right, RftSelection(wrong_equations="keep")).texts


def trajectory(example_id: str, text: str, correct: bool) -> Trajectory:
    return Trajectory(
        example_id=example_id,
        text=text,
        steps=[text],
        final_answer=None,
        correct=correct,
        tokens=3,
        logprob=-1.0,
        sampling_seed=0,
    )


def selected(folder: Path, rows: list[Trajectory]) -> list[PseudoLabel]:
    write_jsonl(folder / "data.jsonl", problems(2))
    write_jsonl(folder / "drawn.jsonl", rows)
    words = ["--task-file", str(CONFIG / "tasks" / "arithmetic.yaml"), "--data", str(folder / "data.jsonl")]
    words += ["--trajectories", str(folder / "drawn.jsonl")]
    select_solutions.main([*words, "--output", str(folder / "out.jsonl"), "--report", str(folder / "report.json")])
    return read_jsonl(folder / "out.jsonl", PseudoLabel)


def test_the_program_keeps_references_and_counts(tmp_path: Path) -> None:
    first, second = (example.id for example in problems(2))
    drawn = [
        trajectory(first, "<<1+1=2>> | #### 2", True),
        trajectory(first, "<<1+1=2>> | #### 2", True),
        trajectory(first, "<<1+1=3>> | #### 2", True),
        trajectory(second, "<<5+5=9>> | #### 9", False),
    ]
    rows = selected(tmp_path, drawn)
    assert [(row.example_id, row.origin) for row in rows] == [(first, "gold"), (first, "sampled"), (second, "gold")]
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "samples": 4,
        "right": 3,
        "questions": 2,
        "questions_with_a_right_sample": 1,
        "rejected_for_an_equation": 1,
        "rejected_as_repeated": 1,
        "references": 2,
        "selected": 1,
    }


def test_samples_of_other_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"drawn.jsonl: question 'elsewhere' is not in .*data.jsonl"):
        selected(tmp_path, [trajectory("elsewhere", "#### 1", True)])
