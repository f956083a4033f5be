"""The study of verdicts (tests/benchmarks/verdict_study.py): its judging, and that each of its runs can be planned."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from retrace.evaluation.predictions import write_predictions
from retrace.tasks.load import load_task
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets
from unit.evaluation_data import CONFIG, examples, prediction

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import verdict_study as study

GENERATOR = np.random.default_rng(3)


def numbers(count: int, shift: float = 0.0) -> list[float]:
    return list(GENERATOR.normal(0.5 + shift, 0.01, count))


def planted(shift: float) -> dict[str, list[float]]:
    return {one.name: numbers(1 if one.shared else 5, shift) for one in study.DEFECTS}


def test_twenty_of_each_kind() -> None:
    assert (
        len(study.DEFECTS) == len({one.name for one in study.DEFECTS}) == len(study.REFERENCE) == len(study.CLEAN) == 20
    )
    assert not set(study.REFERENCE) & set(study.CLEAN)


def test_a_study_passes_where_reruns_agree_and_defects_differ() -> None:
    clean = {str(seed): [one] for seed, one in zip(study.CLEAN, numbers(20), strict=True)}
    found = study.outcome(numbers(20), clean, planted(-0.06))
    assert (found["passed"], found["caught"]) == (True, 20)
    assert found["false_alarms"] <= 1
    assert found["planted"]["seeds_shared"]["because"] == "seeds gave the same predictions"
    assert not study.outcome(numbers(20), clean, planted(0.0))["passed"], "defects that do nothing are not caught"
    off = {name: [0.3] for name in clean}
    assert study.outcome(numbers(20), off, planted(-0.06))["false_alarms"] == 20


def test_an_outcome_can_be_judged_again(tmp_path: Path) -> None:
    clean = {str(seed): [one] for seed, one in zip(study.CLEAN, numbers(20), strict=True)}
    found = study.outcome(numbers(20), clean, planted(-0.06))
    (tmp_path / "o.json").write_text(json.dumps(found))
    assert study.judge_again(tmp_path / "o.json") == found
    with pytest.raises(SystemExit) as ended:
        study.main(["--judge", str(tmp_path / "o.json"), "--output", str(tmp_path / "p.json")])
    assert ended.value.code == 0


@pytest.mark.parametrize("defect", study.DEFECTS, ids=lambda one: one.name)
def test_each_defect_can_be_planned(defect: study.Defect, tmp_path: Path) -> None:
    for name, text in defect.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    values = study.merged(study.CUT, {"seeds": list(study.PLANTED)}, defect.set)
    settings = Settings(values, CONFIG, tmp_path)
    assert settings.faults() == []
    Targets(settings).check(f"results/{defect.task}/{defect.model}/{defect.method}_acc.json")
    clean = Settings(study.merged(study.CUT, {"seeds": list(study.PLANTED)}), CONFIG)
    options = settings.resolved() != clean.resolved()
    assert options or defect.files or defect.method != study.METHOD or defect.grade or defect.shared, "it does nothing"


def test_defects_of_grading_and_sharing_work_on_predictions(tmp_path: Path) -> None:
    task = load_task(CONFIG / "tasks/arithmetic.yaml")
    rows = examples(12)
    folder = tmp_path / "clean/results" / study.TASK
    from retrace.machine.storage import write_jsonl

    write_jsonl(tmp_path / "clean/results/data" / study.TASK / "test.jsonl", rows)
    answers = [prediction(row, index % 3 == 0) for index, row in enumerate(rows)]
    for seed in study.PLANTED:
        write_predictions(folder / study.MODEL / f"seed{seed}/base/{study.METHOD}/test.jsonl", answers)
    by_name = {one.name: one for one in study.DEFECTS}

    def runs(name: str) -> list[float]:
        return study.runs_with(by_name[name], tmp_path / name, tmp_path / "clean", 1)

    assert runs("neighbours_reference") == [0.0] * 5
    assert runs("lenient_grader") == [4 / 12] * 5
    assert runs("seeds_shared") == [4 / 12], "five seeds with the same predictions are one run"
    assert study.neighbours_gold(task, answers) == 0.0
