"""The papers' tables as data: what a cell is comes from all, row, column and exceptions; faults are named."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from retrace.errors import UserError
from retrace.evaluation.paper_tables import PaperTable, cells_of, load_table, load_tables, table_named
from retrace.evaluation.reported import load_paper, load_papers
from unit.evaluation_data import CONFIG

PAPERS = CONFIG / "papers"
TABLES = load_tables(PAPERS)
SMALL = {
    "paper": "grace",
    "title": "Table 9",
    "caption": "Accuracy.",
    "all": {"source": "p7", "source_kind": "primary", "model": "M", "dataset": "GSM8K", "ours": {"task": "gsm8k"}},
    "columns": [{"head": "N=1", "let": {"n": 1}}, {"head": "N=5", "let": {"n": 5}}],
    "rows": [
        {"method": "vote of {n}", "ours": {"model": "tiny_t5", "method": "vote_n{n}"}, "values": [10.0, None]},
        {"method": "greedy", "values": ["> 5", 7]},
    ],
    "exceptions": [{"source": "p8", "cells": [[1, 1]]}],
    "notes": [{"text": "odd", "cells": [[0, 0]]}, {"text": "all of it"}],
}


def write(folder: Path, **changes: object) -> Path:
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "grace.yaml").write_text((PAPERS / "grace.yaml").read_text())
    path = folder / "tables" / "grace_table9.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**SMALL, **changes}.items() if value is not None}))
    return path


def test_a_cell_is_what_is_said_of_its_row_and_column(tmp_path: Path) -> None:
    first, second, third, fourth = cells_of(load_table(write(tmp_path)))
    assert (first.said["method"], first.ours.method, first.value) == ("vote of 1", "vote_n1", 10.0)
    assert (second.said["method"], second.ours.method, second.value) == ("vote of 5", "vote_n5", None)
    assert (third.value, fourth.value) == ("> 5", 7)
    assert (third.said["source"], fourth.said["source"]) == ("p7", "p8")
    assert (first.notes, third.notes) == ([0], [])


def test_numbers_of_a_table_are_rows_of_its_paper(tmp_path: Path) -> None:
    write(tmp_path)
    rows = load_paper(tmp_path / "grace.yaml").rows
    assert [(row.table, row.method, row.value, row.note) for row in rows] == [
        ("Table 9", "vote of 1", 10.0, "odd; all of it"),
        ("Table 9", "greedy", "> 5", "all of it"),
        ("Table 9", "greedy", 7, "all of it"),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [{"method": "x", "values": [1.0]}]}, r"rows\.0\.values: 1 for 2 columns"),
        (
            {"notes": [{"text": "x", "cells": [[2, 0]]}]},
            r"notes: there is no cell \[2, 0\]; rows and columns count from 0",
        ),
        ({"exceptions": [{"runs": 5, "cells": [[0, 7]]}]}, r"exceptions: there is no cell \[0, 7\]"),
        ({"columns": []}, "columns"),
        ({"titel": "x"}, "unknown key 'titel'; did you mean 'title'"),
        ({"rows": [{"method": "x", "ours": {"methode": "y"}}]}, "unknown key 'rows.0.ours.methode'"),
        ({"caption": None}, "caption"),
        ({"rows": [{"method": "x", "runs": 0}]}, r"rows\.0\.runs"),
    ],
)
def test_a_faulty_table_is_refused_with_its_place(tmp_path: Path, changes: dict, message: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as fault:
        load_table(path)
    assert str(path) in str(fault.value)


def test_a_number_without_a_known_source_or_data_set_is_refused(tmp_path: Path) -> None:
    write(tmp_path, exceptions=[{"source": "p99", "cells": [[1, 1]]}])
    with pytest.raises(UserError, match=r"grace_table9\.yaml: rows\.1, column 1: source 'p99' is not among"):
        load_paper(tmp_path / "grace.yaml")
    write(tmp_path, all={"source": "p7", "source_kind": "primary", "model": "M"})
    with pytest.raises(UserError, match=r"grace_table9\.yaml: rows\.0, column 0: dataset"):
        load_paper(tmp_path / "grace.yaml")


def test_an_unknown_table_is_told_the_nearest_one() -> None:
    with pytest.raises(UserError, match="there is no table grace_tabel1; did you mean 'grace_table1'"):
        table_named("grace_tabel1", PAPERS)


# ---------------------------------------------------------------- the shipped ones


def test_every_number_that_was_read_is_there() -> None:
    """As many as the papers print, by table; a number that is lost or doubled shows here."""
    counts = {paper.paper: Counter(row.table for row in paper.rows) for paper in load_papers(PAPERS)}
    assert counts["grace"] == {
        "Table 1": 30,
        "Table 2": 10,
        "Figure 4 left": 10,
        "Figure 4 mid, right": 18,
        "Figure 5": 4,
        "Figure 6": 3,
        "Figure 7": 6,
        "footnote 4": 2,
    }
    assert counts["dpo_st"] == {
        "Table 2": 24,
        "Table 3": 10,
        "Table 4": 20,
        "Figure 1": 18,
        "Figure 4": 8,
        "Figure 5": 16,
        "Figure 6": 6,
        "Figure 7": 8,
    }
    assert counts["icot"] == {"Table 1": 28, "inference log": 12, "issue 9": 1, "GPT-4 rerun": 24}
    assert counts["latro"] == {"Table 2": 36, "sec. 5.2 text": 8, "Figure 3a (text)": 1, "Figure 3b (text)": 1}
    assert counts["learn_to_reason"] == {}


def test_every_table_has_a_paper_and_every_paper_a_table() -> None:
    papers = {paper.paper for paper in load_papers(PAPERS)}
    assert {table.paper for table in TABLES.values()} == papers
    assert all(name.startswith(f"{table.paper}_") for name, table in TABLES.items())


def test_the_runs_behind_graces_numbers_are_told() -> None:
    rows = [row for row in load_paper(PAPERS / "grace.yaml").rows if row.table == "Table 1"]
    assert {(row.model, row.runs) for row in rows} == {("FLAN-T5-Large (fine-tuned)", 5), ("LLaMA-7B (6-shot CoT)", 3)}


def test_no_text_of_a_cell_keeps_a_brace() -> None:
    for table in TABLES.values():
        assert isinstance(table, PaperTable)
        for cell in cells_of(table):
            assert "{" not in str(cell.said).replace("{'", ""), cell.said
            assert all("{" not in str(value) for value in (cell.ours.method, cell.ours.over, cell.ours.k))
