"""Drawings of the papers' tables: each on one page of A4 in text that can be read, and with all that is behind it."""

import shutil
from collections import Counter

import pytest

from retrace.planning.drawing import PAGE, SMALLEST, first_that_fits, layout_named
from retrace.planning.graph import LINES_OF_FILES, edges_of, graph_of_files, graph_of_jobs, merge_levels
from retrace.planning.jobs import Job
from suites import first_daily
from workflow.costs_behind import plan_of

LAYOUTS = ["graphlay", *(["dot"] if shutil.which("dot") else [])]
TABLES = ("dpo_st_table2", "grace_table1", "icot_table1", "latro_table2", "learn_to_reason_table1")
FILES = {table: f"results/tables/{table}.html" for table in TABLES}


@pytest.fixture(scope="module", params=first_daily(["smoke", "paper"]))
def planned(request, workflow_class, tmp_path_factory) -> list[Job]:
    """All jobs behind all tables, planned once."""
    workflow = workflow_class(tmp_path_factory.mktemp("drawings")).configured(f"preset: {request.param}\n")
    return plan_of(workflow, FILES.values(), "--config", "tables=run")


def behind(target: str, jobs: list[Job]) -> list[Job]:
    """The jobs that the target needs."""
    needs: dict[int, list[int]] = {}
    for source, user in edges_of(jobs):
        needs.setdefault(user, []).append(source)
    waiting = [number for number, job in enumerate(jobs) if target in job.output]
    found: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += needs.get(number, [])
    return [jobs[number] for number in sorted(found)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("table", FILES)
def test_a_table_is_drawn_on_one_page(planned: list[Job], table: str, layout: str) -> None:
    jobs = behind(FILES[table], planned)
    levels = merge_levels(jobs)
    for graphs in (levels, levels[-1:]):
        drawn = first_that_fits((graph_of_jobs(jobs, jobs, merged) for merged in graphs), table, layout_named(layout))
        assert drawn.size[0] <= PAGE[0] + 0.1
        assert drawn.size[1] <= PAGE[1] + 0.1
        assert drawn.font >= SMALLEST
        assert 8 <= len(drawn.graph.boxes) <= 45
        of_rule: Counter[str] = Counter()
        for box in drawn.graph.boxes:
            of_rule[box.rule] += box.jobs
        assert of_rule == Counter(job.rule for job in jobs)
        rules = {(jobs[source].rule, jobs[target].rule) for source, target in edges_of(jobs)}
        shown = {(drawn.graph.boxes[a].rule, drawn.graph.boxes[b].rule) for a, b in drawn.graph.edges}
        assert {edge for edge in rules if edge[0] != edge[1]} == {edge for edge in shown if edge[0] != edge[1]}


@pytest.mark.parametrize("table", first_daily(FILES))
def test_the_files_of_a_table_are_drawn_on_one_page(workflow, table: str) -> None:
    text = workflow.run("--filegraph", FILES[table], "--config", "tables=run").stdout
    for layout in LAYOUTS:
        graphs = (graph_of_files(text, longest) for longest in LINES_OF_FILES)
        drawn = first_that_fits(graphs, table, layout_named(layout))
        assert drawn.fits
        lines = [line for box in drawn.graph.boxes for line in box.lines]
        assert any("{task}" in line for line in [*lines, *drawn.graph.notes])
        assert not any("[a-z" in line or "(?:" in line or "0x" in line for line in lines)
