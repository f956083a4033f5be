"""What stands in a paper's table under a configuration: the grids, and the files that their cells are read from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from retrace.errors import UserError
from retrace.evaluation.paper_tables import (
    Cell,
    Ours,
    PaperTable,
    cells_of,
    heading,
    load_table,
    load_tables,
    table_named,
    table_names,
)
from retrace.evaluation.table_cells import Heading, files_of
from retrace.workflow.settings import Settings

FORMS = (".csv", ".md", ".tex", ".html", ".json")


@dataclass(frozen=True)
class Grid:
    """A table or, for a small model, the part of it that is made. cells: of each row; files: of each cell.

    papers: whether it is the paper's own grid, with its numbers.
    """

    title: str
    columns: Sequence[Heading]
    rows: Sequence[Heading]
    cells: Sequence[Sequence[Cell]]
    papers: bool

    def files(self) -> list[str]:
        """All files that the cells are read from, each once."""
        return list(dict.fromkeys(file for row in self.cells for cell in row for file in files_of(cell.ours)))


def folder_of(settings: Settings) -> Path:
    """The shipped folder of papers."""
    return settings.folder / "papers"


def names(settings: Settings) -> list[str]:
    """Names of all tables."""
    return table_names(folder_of(settings))


@lru_cache(maxsize=64)
def _table(path: Path) -> PaperTable:
    return load_table(path)


def table_of(name: str, settings: Settings) -> PaperTable:
    """A table by name. Raises UserError with the valid names."""
    if name not in names(settings):
        return table_named(name, folder_of(settings))  # raises
    return _table(folder_of(settings) / "tables" / f"{name}.yaml")


def grids(name: str, settings: Settings) -> list[Grid]:
    """The grids of a table: in a preset whose model is a small one, that model's comes before the paper's."""
    table = table_of(name, settings)
    small = _small_grid(table, settings)
    return [*([small] if small else []), _papers_grid(table)]


def is_small(table: PaperTable, settings: Settings) -> str | None:
    """The small model that a preset puts in place of the paper's; None where the paper's own are run."""
    models = settings.values.headline_models
    model = models.get(table.paper) or models["default"]
    return model if settings.model(model).scratch is not None else None


def _papers_grid(table: PaperTable) -> Grid:
    cells: list[list[Cell]] = [[] for _ in table.rows]
    for cell in cells_of(table):
        cells[cell.row].append(cell)
    return Grid(
        title="As the paper lays it out",
        columns=[Heading(text=heading(one, "column"), group=one.group) for one in table.columns],
        rows=[Heading(text=heading(one, "row"), group=one.group) for one in table.rows],
        cells=cells,
        papers=True,
    )


def _headline(task: str, method: str, settings: Settings) -> Ours:
    """A method's headline result on a task."""
    return Ours(task=task, model=settings.headline_model(task, method), method=method)


def _small_grid(table: PaperTable, settings: Settings) -> Grid | None:
    model = is_small(table, settings)
    if model is None or table.small is None:
        return None
    tasks = settings.option(settings.values, table.small.option) if table.small.option else table.small.tasks
    methods = table.small.methods or list(
        dict.fromkeys(cell.ours.method for cell in cells_of(table) if cell.ours.method and not cell.ours.file)
    )
    cells = [
        [
            Cell(
                row,
                column,
                {},
                Ours(task=task, model=settings.headline_model(task, method), method=method),
                None,
                None,
                (),
            )
            for column, task in enumerate(tasks)
        ]
        for row, method in enumerate(methods)
    ]
    titles = dict.fromkeys(settings.model(cell.ours.model).title for row in cells for cell in row if cell.ours.model)
    return Grid(
        title=f"With {' and '.join(titles)}, of preset {settings.preset_name}",
        columns=[Heading(text=settings.task(task).title) for task in tasks],
        rows=[Heading(text=settings.method(method).title or method) for method in methods],
        cells=cells,
        papers=False,
    )


def made_here(name: str, settings: Settings) -> Grid | None:
    """The grid whose cells the preset can make: the small model's where there is one, else the paper's."""
    table = table_of(name, settings)
    if is_small(table, settings) is None:
        return _papers_grid(table)
    return _small_grid(table, settings)


def results_of_table(name: str, settings: Settings, check: Callable[[str], None]) -> list[str]:
    """Files that a table's cells are read from, of those that the preset can make.

    check: raises UserError for a file that cannot be made. Raises UserError where that is so for all of them.
    """
    grid = made_here(name, settings)
    files = grid.files() if grid else []
    if not files:
        why = (
            f"needs the paper's models: preset {settings.preset_name} has none" if grid is None else "is reported only"
        )
        raise UserError(f"table {name} {why}; nothing of it can be made")
    return makeable(files, check)


def makeable(files: Sequence[str], check: Callable[[str], None]) -> list[str]:
    """Those of the files that can be made. Raises the first UserError where none can."""
    found, fault = [], None
    for file in files:
        try:
            check(file)
        except UserError as error:
            fault = fault or error
        else:
            found.append(file)
    if fault and not found:
        raise fault
    return found


def names_in_tables(method: str, settings: Settings) -> list[str]:
    """What the papers' tables call a method of this project: the names of the numbers that stand beside its results."""
    return list(_names_by_method(folder_of(settings)).get(method, ()))


@lru_cache(maxsize=8)
def _names_by_method(papers: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for table in load_tables(papers).values():
        for cell in cells_of(table):
            if cell.ours.method and not cell.ours.file and not cell.ours.over and "method" in cell.said:
                found.setdefault(cell.ours.method, {})[cell.said["method"]] = None
    return {method: tuple(names) for method, names in found.items()}
