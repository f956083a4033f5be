"""Tables under a configuration: which grid, which files, and a document that makes nothing."""

import json
from pathlib import Path

import pytest

import make_table
from retrace.errors import UserError
from retrace.evaluation.table_cells import TableDocument
from retrace.planning.jobs import Job
from retrace.planning.missing import Effort, efforts
from retrace.workflow.paper_tables import grids, made_here, names, names_in_tables
from retrace.workflow.settings import Settings
from retrace.workflow.table_document import table_document
from retrace.workflow.targets import Targets
from unit.evaluation.test_result import score
from unit.evaluation_data import CONFIG, write_task

PAPER, TINY = (Settings({"preset": preset}, CONFIG) for preset in ("paper", "tiny"))
GREEDY = "results/gsm8k/flan_t5_large/greedy_acc.json"


def cells(document: TableDocument) -> list:
    return [cell for panel in document.panels for row in panel.rows for cell in row.cells]


def put(folder: Path, name: str, **changes) -> None:
    score(folder, write_task(folder, [[True] * 3 + [False] * 7]), **changes)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "out.json").rename(folder / name)


@pytest.mark.parametrize("settings", [PAPER, TINY], ids=["paper", "tiny"])
@pytest.mark.parametrize("name", names(PAPER))
def test_every_table_is_a_document_with_nothing_made(name: str, settings: Settings, tmp_path: Path) -> None:
    found = table_document(name, settings, tmp_path)
    assert not any(cell.status == "measured" for cell in cells(found))
    assert all(cell.because for cell in cells(found) if cell.status == "cannot be made")
    assert all(cell.targets for cell in cells(found) if cell.status == "missing")
    assert list(tmp_path.iterdir()) == []


def test_a_small_preset_has_its_own_grid_before_the_papers() -> None:
    small, papers = grids("icot_table1", TINY)
    assert small.title.endswith("tiny GPT-2, trained from scratch, of preset tiny")
    assert small.title.count(" and ") == 1, "running_sum has a model of its own"
    assert small.files()[:2] == [
        "results/running_sum/sum_gpt2/no_cot_acc.json",
        "results/mult_2x2/tiny_gpt2/no_cot_acc.json",
    ]
    assert (small.papers, papers.papers) == (False, True)
    assert made_here("icot_table1", TINY).files() == small.files()
    assert [grid.papers for grid in grids("icot_table1", PAPER)] == [True]
    assert made_here("dpo_st_table4", TINY) is None


def test_what_a_preset_cannot_make_is_said(tmp_path: Path) -> None:
    document = table_document("grace_table1", TINY, tmp_path)
    own, papers = document.panels
    assert {cell.status for row in own.rows for cell in row.cells} == {"missing"}
    cell = papers.rows[0].cells[0]
    assert (cell.status, cell.reported) == ("cannot be made", 26.9)
    assert cell.because == f"by preset tiny; preset paper makes {GREEDY}"
    with pytest.raises(UserError, match="table dpo_st_table4 needs the paper's models: preset tiny has none"):
        Targets(TINY).results_of_table("dpo_st_table4")
    with pytest.raises(UserError, match="is reported only"):
        Targets(PAPER).results_of_table("icot_gpt4_rerun")


def test_a_result_that_is_there_stands_in_its_cell(tmp_path: Path) -> None:
    put(tmp_path, GREEDY)
    found = cells(table_document("grace_table1", PAPER, tmp_path))
    assert [cell.status for cell in found].count("measured") == 1
    assert (found[0].value, found[0].reported, found[0].n, found[0].verdict) == (30.0, 26.9, 10, "cannot tell")
    # In a small preset, too, since it is there.
    assert "measured" in {cell.status for cell in cells(table_document("grace_table1", TINY, tmp_path))}


def test_a_gain_waits_for_all_its_results(tmp_path: Path) -> None:
    for model in ("phi35_mini", "mistral_7b"):
        for method in ("latro", "base"):
            put(tmp_path, f"results/gsm8k/{model}/{method}_acc.json")
    assert cells(table_document("latro_section52", PAPER, tmp_path))[0].status == "missing"
    for method in ("latro", "base"):
        put(tmp_path, f"results/gsm8k/llama31_8b/{method}_acc.json")
    assert cells(table_document("latro_section52", PAPER, tmp_path))[0].value == 0.0


def test_missing_cells_say_what_they_take(tmp_path: Path) -> None:
    asked = []

    def said(files):
        asked.extend(files)
        return {file: Effort(7, 1.5, 2.0) for file in files}, Effort(20, 9.0, 30.0)

    put(tmp_path, GREEDY)
    document = table_document("grace_table1", PAPER, tmp_path, said)
    assert GREEDY not in asked
    assert len(asked) == 29
    assert cells(document)[1].plan.model_dump() == {"jobs": 7, "gpu_hours": 1.5, "cpu_hours": 2.0}
    assert document.missing.jobs == 20


def test_jobs_behind_a_file_are_counted_once_for_all_and_for_each() -> None:
    def job(name: str, *inputs: str, **more) -> Job:
        return Job(rule=name, wildcards={}, options={}, input=inputs, output=(name,), benchmark=f"{name}.tsv", **more)

    jobs = [job("data"), job("model", "data", gpus=1), job("a", "model"), job("b", "model"), job("c", "data")]

    each, together = efforts(jobs, ["a", "b", "there"], lambda one: (float(one.gpus), 1.0))
    assert each == {"a": Effort(3, 1.0, 3.0), "b": Effort(3, 1.0, 3.0), "there": Effort(0, 0, 0)}
    assert together == Effort(4, 1.0, 4.0)


def test_what_the_tables_call_a_method() -> None:
    assert "Greedy decoding" in names_in_tables("greedy", PAPER)
    assert "DPO-ST, iteration 2" in names_in_tables("dpo_st_round2", PAPER)
    assert names_in_tables("beam", PAPER) == []


def test_the_program_writes_every_form(tmp_path: Path, capsys) -> None:
    put(tmp_path, GREEDY)
    files = {form: tmp_path / f"t.{form}" for form in make_table.FORMS}
    words = [word for form, path in files.items() for word in (f"--{form}", str(path))]
    make_table.main(["--name", "grace_table1", "--folder", str(tmp_path), *words])
    assert "1 cells measured, 29 missing" in capsys.readouterr().out
    document = TableDocument.model_validate(json.loads(files["json"].read_text()))
    assert (document.name, document.preset, document.margin) == ("grace_table1", "paper", 6)
    for form in ("csv", "md", "tex", "html"):
        assert "26.9" in files[form].read_text()
    with pytest.raises(UserError, match="nothing to write: give --json"):
        make_table.main(["--name", "grace_table1"])
    with pytest.raises(UserError, match="there is no table grace_tbl"):
        make_table.main(["--name", "grace_tbl", "--md", str(tmp_path / "x.md")])
