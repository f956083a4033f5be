"""The program that draws graphs, on a real workflow."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import draw_dag
from retrace.errors import UserError

SNAKEFILE = """
print("a line that is no graph")
rule c:
    input: "b.txt", expand("a/{task}_{shard}.txt", task=["one", "two"], shard=range(config.get("count", 3)))
    output: "out/c.txt"
    shell: "cat {input} > {output}"
rule b:
    input: "a/one_1.txt"
    output: "b.txt"
    shell: "cp {input} {output}"
rule a:
    output: "a/{task,[a-z]{1,5}}_{shard,\\\\d+}.txt"
    shell: "echo {wildcards.task} > {output}"
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def texts(file: Path) -> list[str | None]:
    return [element.text for element in ElementTree.parse(file).getroot().iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("targets", "kind", "name"),
    [
        (["results/gsm8k/grace_acc.json"], "dag", "results/dag/results_gsm8k_grace_acc.svg"),
        (["results/gsm8k/grace_acc.json"], "rulegraph", "results/dag/results_gsm8k_grace_acc_rulegraph.svg"),
        (["a.csv", "b/c.csv"], "dag", "results/dag/a.csv_and_b_c.csv.svg"),
        ([], "dag", "results/dag/all.svg"),
    ],
)
def test_name_of_the_output(targets: list[str], kind: str, name: str) -> None:
    assert draw_dag.default_output(targets, kind) == name


def test_equal_jobs_share_a_box_and_nothing_is_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_dag.main(["out/c.txt", "--layout", "graphlay"])
    file = folder / "results/dag/out_c.txt.svg"
    note = "A box holds the jobs that differ only in shard (0-2)."
    assert texts(file) == ["out/c.txt", "a ×3", "one", "a ×3", "two", "b", "c", note]
    assert not (folder / "out").exists()
    printed = capsys.readouterr().out
    assert re.search(r"out_c\.txt\.svg: 4 boxes, 4 arrows, \d+ x \d+ points, text of 10\.0 points", printed)


def test_every_job_its_own_box(folder: Path) -> None:
    draw_dag.main(["out/c.txt", "--all-jobs", "--layout", "graphlay", "--output", "d.svg", "--config", "count=5"])
    assert texts(folder / "d.svg").count("a") == 10


def test_one_box_a_rule_with_files_or_without(folder: Path) -> None:
    words = ["--layout", "graphlay", "--output", "r.svg", "--", "--config", "count=4"]
    draw_dag.main(["out/c.txt", "--kind", "rulegraph", *words])
    assert texts(folder / "r.svg")[1:4] == ["a ×8", "b", "c"]
    draw_dag.main(["out/c.txt", "--kind", "filegraph", "--layout", "graphlay", "--output", "f.svg"])
    assert sorted(texts(folder / "f.svg")) == sorted(
        ["out/c.txt", "a", "a/{task}_{shard}.txt", "b", "b.txt", "c", "out/c.txt"]
    )


def test_jobs_that_are_done_are_dashed(folder: Path) -> None:
    (folder / "a").mkdir()
    for shard in range(3):
        (folder / f"a/two_{shard}.txt").write_text("two\n")
    (folder / "a/one_0.txt").write_text("one\n")
    draw_dag.main(["out/c.txt", "--layout", "graphlay", "--output", "d.svg"])
    page = ElementTree.parse(folder / "d.svg").getroot()
    dashed = {
        box.find(f"{SVG}title").text.split("\n")[0]: "stroke-dasharray" in box.find(f"{SVG}rect").attrib  # type: ignore[union-attr]
        for box in page.iter(f"{SVG}g")
        if box.attrib.get("role") == "img"
    }
    assert dashed == {"a ×3 (2 to run)": False, "a ×3 (done)": True, "b (to run)": False, "c (to run)": False}
    assert "Dashed boxes are done." in texts(folder / "d.svg")
    assert "2 to run" in texts(folder / "d.svg")


def test_what_cannot_be_drawn_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("dag", "filegraph"):
        with pytest.raises(UserError, match=r"cannot plan none\.txt.*none\.txt"):
            draw_dag.main(["none.txt", "--kind", kind])
    with pytest.raises(SystemExit):
        draw_dag.main(["out/c.txt", "--kind", "rulegraph", "--all-jobs"])
    assert "--all-jobs shows jobs, --kind rulegraph shows rules" in capsys.readouterr().err
