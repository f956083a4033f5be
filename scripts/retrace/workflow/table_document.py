"""A paper's table as a document: what is there is filled in, and of the rest it says what makes it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.evaluation.paper_tables import Cell, PaperTable
from retrace.evaluation.reported import PaperFile, load_paper
from retrace.evaluation.table_cells import (
    Judged,
    Panel,
    PanelRow,
    Plan,
    TableCell,
    TableDocument,
    files_of,
    read_cell,
)
from retrace.workflow.paper_tables import Grid, folder_of, grids, is_small, table_of
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets

# Jobs and hours of files, each alone and all together.
Efforts = Callable[[Sequence[str]], tuple[Mapping[str, Any], Any]]


def table_document(name: str, settings: Settings, folder: Path, efforts: Efforts | None = None) -> TableDocument:
    """The table of this name.

    folder: where results/ lies. efforts: says what missing files take; None: nobody is asked. Raises UserError for a file
    of a result that holds something else.
    """
    table = table_of(name, settings)
    paper = load_paper(folder_of(settings) / f"{table.paper}.yaml", {name: table})
    judged = Judged(paper.margin)
    small = is_small(table, settings)
    panels = [_panel(grid, table, settings, folder, judged, small) for grid in grids(name, settings)]
    judged.finish()
    together = _add_plans(panels, efforts) if efforts else None
    return TableDocument(
        name=name,
        paper=table.paper,
        title=table.title,
        caption=table.caption,
        paper_title=paper.title,
        citation=paper.citation,
        preset=settings.preset_name,
        margin=paper.margin,
        panels=panels,
        notes=[note.text for note in table.notes],
        sources=_sources(table, panels, paper),
        missing=together,
    )


def _panel(grid: Grid, table: PaperTable, settings: Settings, folder: Path, judged: Judged, small: str | None) -> Panel:
    targets = Targets(settings)
    out_of_reach = grid.papers and small is not None
    whole = [at for at, note in enumerate(table.notes) if not note.cells] if grid.papers else []

    def filled(said: Cell) -> TableCell:
        files = files_of(said.ours)
        notes = [at + 1 for at in (*said.notes, *(whole if said.value is not None else ()))]
        source = said.said.get("source") if said.value is not None else None
        cell = TableCell(status="reported only", reported=said.value, source=source, notes=sorted(notes), targets=files)
        if not files:
            return cell
        if all((folder / file).is_file() for file in files):
            judged.fill(cell, said, read_cell(said.ours, files, folder))
            return cell
        cell.status, cell.because = "missing", None
        if out_of_reach:
            cell.status = "cannot be made"
            cell.because = f"by preset {settings.preset_name}; preset paper makes {' '.join(files)}"
            return cell
        try:
            for file in files:
                targets.check(file)
        except UserError as error:
            cell.status, cell.because = "cannot be made", str(error)
        return cell

    rows = [
        PanelRow(head=head, cells=[filled(said) for said in cells])
        for head, cells in zip(grid.rows, grid.cells, strict=True)
    ]
    return Panel(title=grid.title, columns=list(grid.columns), rows=rows)


def _add_plans(panels: Sequence[Panel], efforts: Efforts) -> Plan | None:
    """Put jobs and hours into missing cells; those of all together are returned."""
    missing = [cell for panel in panels for row in panel.rows for cell in row.cells if cell.status == "missing"]
    files = list(dict.fromkeys(file for cell in missing for file in cell.targets))
    if not files:
        return None
    each, together = efforts(files)
    for cell in missing:
        parts = [each[file] for file in cell.targets]
        cell.plan = Plan(
            jobs=sum(part.jobs for part in parts),
            gpu_hours=round(sum(part.gpu_hours for part in parts), 4),
            cpu_hours=round(sum(part.cpu_hours for part in parts), 4),
        )
    return Plan(jobs=together.jobs, gpu_hours=round(together.gpu_hours, 4), cpu_hours=round(together.cpu_hours, 4))


def _sources(table: PaperTable, panels: Sequence[Panel], paper: PaperFile) -> dict[str, str]:
    """The sources of the numbers that are shown, with their kinds, in the order of the paper's file."""
    used = {cell.source for panel in panels for row in panel.rows for cell in row.cells if cell.source}
    kinds: dict[str, dict[str, None]] = {}
    for row in paper.rows:
        kinds.setdefault(row.source, {})[row.source_kind] = None
    return {key: f"{', '.join(kinds.get(key, {}))}: {text}" for key, text in paper.sources.items() if key in used}
