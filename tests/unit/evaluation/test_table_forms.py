"""Cells of a table filled from files, judged together, and written in five forms."""

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from retrace.errors import UserError
from retrace.evaluation.paper_tables import Cell, Ours
from retrace.evaluation.table_cells import (
    Heading,
    Judged,
    Measured,
    Panel,
    PanelRow,
    Plan,
    TableCell,
    TableDocument,
    files_of,
    in_percent,
    read_cell,
)
from retrace.evaluation.table_forms import hours, latex, number, short, to_csv, to_html, to_latex, to_markdown
from unit.evaluation.test_result import score
from unit.evaluation_data import write_task

CLOSE = [0.335, 0.34, 0.345]
GRACE = Ours(task="gsm8k", model="flan_t5_large", method="grace")


def said(value: float | str | None, **more: object) -> Cell:
    return Cell(0, 0, more, GRACE, value, None, ())


def empty(value: float | str | None = None, **more: object) -> TableCell:
    return TableCell(status="reported only", reported=value, **more)  # type: ignore[arg-type]


def judged(numbers: list[float], accuracies: list[float], margin: float = 6, **measured: object) -> list[TableCell]:
    cells = [empty(value) for value in numbers]
    together = Judged(margin)
    for cell in cells:
        found = {
            "value": sum(accuracies) / len(accuracies),
            "per_seed": accuracies,
            "seeds": len(accuracies),
            "comparable": True,
        }
        together.fill(cell, said(cell.reported), Measured.model_validate(found | measured))
    together.finish()
    return cells


# ---------------------------------------------------------------- files


def test_the_files_of_a_cell() -> None:
    assert files_of(GRACE) == ["results/gsm8k/flan_t5_large/grace_acc.json"]
    moved = Ours(task="svamp", model="flan_t5_base", trained_on="gsm8k", method="dpo_st")
    assert files_of(moved) == ["results/svamp/flan_t5_base/transfer/gsm8k/dpo_st_acc.json"]
    gain = Ours(task="gsm8k", models=["a", "b"], method="latro", over="base")
    assert files_of(gain) == [f"results/gsm8k/{m}/{n}_acc.json" for m in "ab" for n in ("latro", "base")]
    assert files_of(Ours(task="gsm8k", model="m", method="icot", file="icot_speed.json", at=["ways"])) == [
        "results/gsm8k/m/icot_speed.json"
    ]
    assert files_of(Ours(task="gsm8k", method="grace")) == files_of(Ours(model="m", method="grace")) == []
    assert files_of(Ours(task="gsm8k", model="m", file="x.json")) == [], "without a place there is no number to read"


def test_a_result_fills_its_cell_with_its_own_reasons(tmp_path: Path) -> None:
    score(tmp_path, write_task(tmp_path, [[True] * 3 + [False] * 7, [True] * 4 + [False] * 6, [False] * 10]))
    found = read_cell(GRACE, ["out.json"], tmp_path)
    assert found.per_seed == [0.3, 0.4, 0.0]
    assert (found.n, found.seeds, found.model, found.preset) == (10, 3, "tiny_t5", "tiny")
    assert not found.comparable
    assert "this is tiny_t5" in found.because


def test_votes_of_a_result_need_the_right_number_of_samples(tmp_path: Path) -> None:
    value = score(tmp_path, write_task(tmp_path, [[True] * 3 + [False] * 7]))
    (tmp_path / "out.json").write_text(json.dumps(value | {"maj_at_k": [{"k": 4, "value": 0.25}]}))
    votes = Ours(task="gsm8k", model="m", method="latro_maj", take="maj_at_k", k="4")
    assert read_cell(votes, ["out.json"], tmp_path).value == 0.25
    with pytest.raises(UserError, match="no maj_at_k for k = 8"):
        read_cell(votes.model_copy(update={"k": 8}), ["out.json"], tmp_path)


def test_the_gain_of_several_models_is_a_mean_of_paired_seeds(tmp_path: Path) -> None:
    for name, right in (("a", 5), ("b", 3), ("c", 7), ("d", 7)):
        (tmp_path / name).mkdir()
        score(
            tmp_path / name,
            write_task(tmp_path / name, [[True] * right + [False] * (10 - right), [True] + [False] * 9]),
        )
    gain = Ours(task="gsm8k", models=["x", "y"], method="latro", over="base")
    found = read_cell(gain, [f"{name}/out.json" for name in "abcd"], tmp_path)
    assert found.value == pytest.approx(((0.3 - 0.2) + (0.4 - 0.4)) / 2)
    assert found.per_seed == pytest.approx([0.1, 0.0])
    assert not found.comparable


def test_a_number_is_found_by_keys_places_and_values(tmp_path: Path) -> None:
    points = [{"beta": 0.2, "accuracy": 0.3, "low": 0.2, "high": 0.4, "per_seed": [0.29, 0.31], "n": 50}]
    (tmp_path / "s.json").write_text(json.dumps({"preset": "paper", "seeds": [0, 1], "points": points, "x": {"10": 2}}))

    def at(*steps: object) -> Measured:
        return read_cell(Ours(task="t", model="m", file="s.json", at=list(steps)), ["s.json"], tmp_path)  # type: ignore[arg-type]

    found = at("points", {"beta": "0.20"})
    assert (found.value, found.low, found.per_seed, found.n, found.comparable) == (0.3, 0.2, [0.29, 0.31], 50, True)
    assert at("points", 0, "accuracy").value == 0.3
    assert at("x", "10").value == at("x", 10).value == 2
    for wrong in (("points", {"beta": "0.4"}), ("none",), ("points", 3), ("preset",), ("seeds",)):
        with pytest.raises(UserError, match=r"s\.json: there is no number at"):
            at(*wrong)


# ---------------------------------------------------------------- verdicts


def test_a_table_is_judged_as_a_whole() -> None:
    alone = judged([37.3], CLOSE)[0]
    assert (alone.verdict, alone.p_holm) == ("not reproduced", alone.p_value)
    many = judged([37.3, *[34.0] * 9], CLOSE)
    assert many[0].p_holm == pytest.approx(10 * many[0].p_value)
    assert many[0].verdict == "cannot tell"
    assert {cell.verdict for cell in many[1:]} == {"reproduced"}
    assert judged([60.0, *[34.0] * 9], CLOSE)[0].verdict == "not reproduced"


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ({"comparable": False, "because": "not comparable: other data"}, "other data"),
        ({"per_seed": []}, "no number for each seed"),
        ({"per_seed": [0.34], "seeds": 5}, r"1 independent run (of 5 seeds; the others gave the same predictions)"),
    ],
)
def test_what_cannot_be_told_says_why(measured: dict, why: str) -> None:
    cell = judged([34.0], CLOSE, **measured)[0]
    assert cell.verdict == "cannot tell"
    assert why in str(cell.because)
    assert cell.p_holm is None


def test_what_has_no_number_of_the_paper_has_no_verdict() -> None:
    assert judged([None], CLOSE)[0].verdict is None  # type: ignore[list-item]
    assert judged(["> 90 %"], CLOSE)[0].verdict is None  # type: ignore[list-item]


def test_percent_and_other_units() -> None:
    assert all(map(in_percent, ("accuracy", "Pass@10 % (T=0.7)", "accuracy points")))
    assert not any(map(in_percent, ("speed relative to No CoT", "examples a second, batch size 1")))
    cell = empty(0.14)
    Judged(6).fill(cell, said(0.14, metric="speed relative to No CoT"), Measured(value=0.16))
    assert cell.value == 0.16


# ---------------------------------------------------------------- forms


@pytest.fixture
def table() -> TableDocument:
    cells = [
        [
            TableCell(
                status="measured",
                reported=34.3,
                source="p7",
                value=34.0,
                low=32.5,
                high=35.6,
                n=1319,
                seeds=3,
                verdict="reproduced",
                because="inside",
                notes=[1],
                targets=["results/a_acc.json"],
            ),
            TableCell(
                status="missing",
                reported=66.2,
                targets=["results/b_acc.json"],
                plan=Plan(jobs=12, gpu_hours=3.5, cpu_hours=9),
            ),
        ],
        [
            TableCell(status="reported only", reported="> 90 %"),
            TableCell(status="cannot be made", reported=None, because="<b>no</b> & never", targets=["results/c.json"]),
        ],
    ]
    rows = [
        PanelRow(head=Heading(text=head, group="Group_1"), cells=row)
        for head, row in zip(("A|B", "C"), cells, strict=True)
    ]
    return TableDocument(
        name="t",
        paper="grace",
        title="Table 1",
        caption="Accuracy, 100 %.",
        paper_title="A paper",
        citation="Somebody 2023",
        preset="paper",
        margin=6,
        panels=[
            Panel(title="As printed", columns=[Heading(text="X", group="M"), Heading(text="Y", group="M")], rows=rows)
        ],
        notes=["a note"],
        sources={"p7": "primary: page 7"},
        missing=Plan(jobs=12, gpu_hours=3.5, cpu_hours=9),
    )


def test_csv_has_one_line_a_cell(table: TableDocument) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [(row["row"], row["column"]) for row in rows] == [("A|B", "X"), ("A|B", "Y"), ("C", "X"), ("C", "Y")]
    assert (rows[0]["value"], rows[0]["low"], rows[0]["verdict"], rows[0]["notes"]) == (
        "34.0",
        "32.5",
        "reproduced",
        "a note",
    )
    assert (rows[1]["status"], rows[1]["targets"], rows[1]["jobs"], rows[1]["gpu_hours"]) == (
        "missing",
        "results/b_acc.json",
        "12",
        "3.5",
    )


def test_markdown_is_a_grid_with_what_is_missing_below(table: TableDocument) -> None:
    text = to_markdown(table)
    grid = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in grid} == {4}
    assert grid[2] == "| Group_1: A\\|B | 34.0 [32.5 to 35.6] (34.3) ✓ <sup>1</sup> | (66.2) |"
    assert "- `results/b_acc.json`: 12 jobs, about 3.5 GPU hours" in text
    assert "`snakemake results/tables/t.html --config tables=run` makes it" in text
    assert text.count("primary: page 7") == 1


def test_latex_escapes_its_commands(table: TableDocument) -> None:
    text = to_latex(table)
    assert r"\multicolumn{2}{c}{M}" in text
    assert r"\textit{Group\_1}" in text
    assert r"34.0 [32.5 to 35.6] (34.3) $\checkmark$$^{1}$ & (66.2) \\" in text
    assert r"(\textgreater{} 90 \%)" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert latex("a\\b{c}_~^<") == r"a\textbackslash{}b\{c\}\_\textasciitilde{}\textasciicircum{}\textless{}"


def test_html_is_well_formed_self_contained_and_says_each_column_on_a_phone(table: TableDocument) -> None:
    text = to_html(table)
    page = ElementTree.fromstring(re.sub(r"<!doctype html>|<meta [^>]*>", "", text))
    assert page.attrib["lang"] == "en"
    assert page.find(".//caption") is not None
    cells = [cell for cell in page.iter("td") if cell.get("role") == "cell"]
    assert [cell.attrib["data-column"] for cell in cells] == ["M: X", "M: Y"] * 2
    assert {cell.attrib.get("scope") for cell in page.iter("th")} == {"col", "colgroup", "row", "rowgroup"}
    assert "@media (max-width: 700px)" in text
    assert not re.search(r"(src|href)=|@import|<script", text)
    assert "&lt;b&gt;no&lt;/b&gt; &amp; never" in text
    assert "not made yet: 12 jobs, about 3.5 GPU hours" in text
    assert text.count("primary: page 7") == 1


def test_numbers_are_printed_as_papers_do() -> None:
    assert [number(value) for value in (34.26, 0.0, 0.174, 1319.0, 4.5e19, None, "> 90 %")] == [
        *("34.3", "0.0", "0.17", "1319", "4.5e+19", "", "> 90 %"),
    ]
    assert short(empty(None, verdict=None)) == "–"
    assert hours(1, 0, 0.02) == "1 job, about 0.02 processor hours"
    assert hours(2, 0, 0.001) == "2 jobs, less than 0.01 processor hours"
    assert hours(1200, 61.4, 900) == "1,200 jobs, about 61 GPU hours"
