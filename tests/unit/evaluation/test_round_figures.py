"""Accuracy over the rounds, as data and as a figure."""

import json
from pathlib import Path

import pytest

import plot_rounds
from retrace.errors import UserError
from unit.evaluation.test_result import score
from unit.evaluation_data import CONFIG, write_task


def result(folder: Path, method: str, right: int, **changes) -> Path:
    """A Result of a method that answers so many of ten questions."""
    folder = folder / method
    paths = write_task(folder, [[place < right for place in range(10)]])
    number = method.rpartition("_")[2]
    checkpoint = "base" if number == "round0" else method
    score(folder, paths, method=method, checkpoint=checkpoint, **changes)
    return folder / "out.json"


def plotted(folder: Path, results: list[Path]) -> dict:
    words = ["--results", *map(str, results), "--json", str(folder / "f.json"), "--svg", str(folder / "f.svg")]
    words += ["--papers", str(CONFIG / "papers")]
    plot_rounds.main(words)
    return json.loads((folder / "f.json").read_text())


def test_curves_start_where_the_student_did(tmp_path) -> None:
    names = {"learn_to_reason_round2": 7, "learn_to_reason_round0": 4, "learn_to_reason_round1": 5}
    names |= {"learn_to_reason_random_round1": 6}
    results = [result(tmp_path, name, right) for name, right in names.items()]
    figure = plotted(tmp_path, results)
    assert figure["start"]["accuracy"]["value"] == 0.4
    assert [[point["accuracy"]["value"] for point in curve["points"]] for curve in figure["curves"]] == [
        [0.5, 0.7],
        [0.6],
    ]
    assert figure["curves"][1]["title"].endswith("as many random training questions as were missed")
    assert all(
        point["accuracy"]["low"] < point["accuracy"]["value"] < point["accuracy"]["high"]
        for curve in figure["curves"]
        for point in curve["points"]
    )
    before = (tmp_path / "f.svg").read_bytes()
    assert before.lstrip().startswith((b"<?xml", b"<svg"))
    plotted(tmp_path, results)
    assert (tmp_path / "f.svg").read_bytes() == before


def test_results_that_do_not_belong_together_are_refused(tmp_path) -> None:
    one = result(tmp_path, "learn_to_reason_round1", 5)
    with pytest.raises(UserError, match=r"round2/out.json: .*preset smoke.*; give results of one run"):
        plotted(tmp_path, [one, result(tmp_path, "learn_to_reason_round2", 5, preset="smoke")])
    with pytest.raises(UserError, match="method 'greedy' is not a round of a loop"):
        plotted(tmp_path, [one, result(tmp_path, "greedy", 5)])
