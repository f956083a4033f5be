"""The printed summary and the sweep's figure."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import plot_sweep
import show_results
from retrace.errors import UserError
from retrace.evaluation.report import aligned
from unit.evaluation.test_paired import arguments as comparison_arguments
from unit.evaluation.test_result import score
from unit.evaluation_data import CONFIG, write_task


@pytest.fixture
def result(tmp_path: Path) -> Path:
    score(tmp_path, write_task(tmp_path, [[True] * 3 + [False] * 7]))
    return tmp_path / "out.json"


def test_columns_are_aligned() -> None:
    lines = aligned(["name", "n"], [["a", "10"], ["long one", "7"]], right=[1])
    assert lines == ["name       n", "--------  --", "a         10", "long one   7"]


def test_summary_says_model_preset_paper_and_files(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import compare_methods

    root = result.parent
    a = write_task(root, [[True] * 6 + [False] * 4], "grace")
    b = write_task(root, [[True] + [False] * 9], "greedy")
    compare_methods.main(comparison_arguments(a, b, root / "compare.json"))
    (root / "figure.svg").write_text("<svg/>")
    capsys.readouterr()
    files = [str(result), str(root / "compare.json"), str(root / "figure.svg")]
    show_results.main([*files, "--output", str(root / "shown.txt")])
    assert capsys.readouterr().out == ""
    show_results.main(files)
    text = capsys.readouterr().out
    assert "gsm8k, model tiny_t5, preset tiny" in text
    assert re.search(r"greedy +30\.0 +10\.8 to 60\.3", text)
    assert "26.9 (cannot tell, of FLAN-T5-Large (fine-tuned))" in text
    assert "greedy: cannot tell; not comparable: this is tiny_t5" in text
    assert re.search(r"grace - greedy +\+50\.0", text)
    assert "not a paper's" in text
    assert f"{root}/  (3)" in text
    assert (root / "shown.txt").read_text() == text


# ---------------------------------------------------------------- sweep


def sweep(path: Path, accuracies: dict[float, float], n: int = 200) -> Path:
    points = [{"beta": beta, "temperature": 0.7, "accuracy": value, "n": n} for beta, value in accuracies.items()]
    path.write_text(json.dumps({"points": points, "chosen": {"beta": 0.5}, "baseline": {"greedy": 0.3}}))
    return path


def plot(tmp_path: Path, sweeps: list[Path], task: str = "gsm8k", name: str = "s") -> tuple[dict, str]:
    plot_sweep.main(
        [
            *["--task-file", str(CONFIG / f"tasks/{task}.yaml"), "--model-file", str(CONFIG / "models/tiny_t5.yaml")],
            *["--papers", str(CONFIG / "papers"), "--sweeps", *map(str, sweeps)],
            *["--seeds", *map(str, range(len(sweeps)))],
            *["--json", str(tmp_path / f"{name}.json"), "--svg", str(tmp_path / f"{name}.svg")],
        ]
    )
    return json.loads((tmp_path / f"{name}.json").read_text()), (tmp_path / f"{name}.svg").read_text()


def test_sweep_is_averaged_and_stands_beside_figure_4(tmp_path: Path) -> None:
    files = [sweep(tmp_path / "0.json", {0.8: 0.5, 0.0: 0.3}), sweep(tmp_path / "1.json", {0.0: 0.4, 0.8: 0.6})]
    curve, svg = plot(tmp_path, files)
    assert [point["beta"] for point in curve["points"]] == [0.0, 0.8]
    assert curve["points"][0]["accuracy"] == pytest.approx(0.35)
    assert curve["points"][0]["per_seed"] == [0.3, 0.4]
    # As many questions as one seed has, whatever the number of seeds.
    assert (curve["points"][0]["low"], curve["points"][0]["high"]) == pytest.approx((0.2873, 0.4184), abs=2e-4)
    assert [point["percent"] for point in curve["reported"]] == [29.8, 31.2, 34.1, 36.8, 38.5, 37.6]
    assert {point["source_kind"] for point in curve["reported"]} == {"figure-digitised"}
    assert "FLAN-T5-Large, reported (dev, figure-digitised)" in svg
    assert "tiny_t5, reproduced, temperature 0.7" in svg
    ElementTree.fromstring(svg)


def test_the_same_sweep_gives_the_same_bytes_and_no_curve_where_the_paper_has_none(tmp_path: Path) -> None:
    file = sweep(tmp_path / "0.json", {0.0: 0.3, 1.0: 0.5})
    curve, first = plot(tmp_path, [file], "arithmetic", "a")
    _, second = plot(tmp_path, [file], "arithmetic", "b")
    assert curve["reported"] == []
    assert "reported" not in first
    assert first == second


def test_sweeps_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    first = sweep(tmp_path / "0.json", {0.0: 0.3, 1.0: 0.5})
    with pytest.raises(UserError, match=r"1\.json: its points or questions differ"):
        plot(tmp_path, [first, sweep(tmp_path / "1.json", {0.0: 0.3})])
    with pytest.raises(UserError, match=r"1\.json: its points or questions differ"):
        plot(tmp_path, [first, sweep(tmp_path / "1.json", {0.0: 0.3, 1.0: 0.5}, n=100)])
    (tmp_path / "1.json").write_text('{"points": []}')
    with pytest.raises(UserError, match=r"1\.json: points"):
        plot(tmp_path, [tmp_path / "1.json"])
    (tmp_path / "1.json").write_text('{"points": [{"beta": 0.1, "accuracy": NaN, "n": 5}]}')
    with pytest.raises(UserError, match=r"points\.0\.accuracy"):
        plot(tmp_path, [tmp_path / "1.json"])
