"""The papers' tables and figures as they lay them out: config/papers/tables/NAME.yaml.

A table is a grid. What a cell is comes from what is said of all cells, of its row and of its column, the later winning; so
each fact stands once. `ours` says in the same way which result of this project stands beside the number.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from retrace.errors import UserError
from retrace.sections import Count, Name, Section
from retrace.yaml_files import closest, read_yaml, validated

ACCURACY = "accuracy"
SourceKind = Literal[
    "primary", "official-log", "official-rerun", "repository", "secondary", "figure-digitised", "figure-estimate"
]


class Ours(Section):
    """Which result of this project stands beside a number. {x} in a text stands for what `let` says."""

    task: str | None = None
    model: str | None = None
    models: list[str] | None = Field(default=None, description="a mean over several models")
    trained_on: str | None = Field(default=None, description="the task of the training, if another one")
    method: str | None = None
    over: str | None = Field(default=None, description="the number is the gain over this method, in points")
    take: Literal["accuracy", "maj_at_k", "pass_at_k"] | None = Field(
        default=None, description="which number of the result; default: accuracy"
    )
    k: int | str | None = Field(default=None, description="samples, for maj_at_k and pass_at_k")
    file: str | None = Field(default=None, description="another JSON file of the task and model, in place of a result")
    at: list[str | int | dict[str, str | float]] | None = Field(
        default=None, description="where the number stands in it: keys, places, or an entry of a list by its values"
    )


class Part(Section):
    """What is said of cells: of all, of a row, of a column or of single ones."""

    head: str | None = Field(default=None, description="text of the heading; default: the method or data set")
    group: str | None = Field(default=None, description="heading above the headings")
    model: str | None = Field(default=None, description="as the paper names it")
    dataset: str | None = None
    trained_on: str | None = Field(default=None, description="the data set of the training, if it is another one")
    split: str | None = Field(default=None, description="default: test")
    method: str | None = None
    metric: str | None = Field(default=None, description="default: final-answer accuracy in percent")
    source: str | None = Field(default=None, description="key of the paper's `sources`")
    source_kind: SourceKind | None = None
    runs: Count | None = Field(default=None, description="how many runs a number is the mean of; default: 1")
    unit: float | None = Field(default=None, gt=0, description="one unit of the last printed digit; default: 0.1")
    let: dict[str, str | int | float] = Field(
        default={}, description="what {x} stands for in the texts of the row and the column, as `{x: 5}`"
    )
    ours: Ours = Ours()


class TableRow(Part):
    """A row with its numbers, one a column; none: nothing was reported, or read."""

    values: list[float | str | None] | None = Field(default=None, description="text where the paper gives a bound only")
    spreads: list[float | None] | None = Field(default=None, description="standard deviations that the paper reports")


class SingleCells(Part):
    """Single cells that differ from their row and column. cells: [row, column], counted from 0."""

    cells: list[tuple[int, int]]


class TableNote(Section):
    """A note below the table."""

    text: str
    cells: list[tuple[int, int]] = Field(default=[], description="[row, column], counted from 0; none: the whole table")


class Small(Section):
    """What stands in the table where the preset's model is a small one."""

    tasks: list[str] = Field(default=[], description="tasks of the small model")
    option: str | None = Field(default=None, description="option of the configuration with these tasks")
    methods: list[str] = Field(default=[], description="default: those of the table's cells")


class PaperTable(Section):
    """config/papers/tables/NAME.yaml."""

    paper: Name
    title: str = Field(description="as the paper numbers it")
    caption: str
    all: Part = Part()
    columns: list[Part] = Field(min_length=1)
    rows: list[TableRow] = Field(min_length=1)
    exceptions: list[SingleCells] = Field(default=[])
    notes: list[TableNote] = Field(default=[])
    small: Small | None = Field(default=None, description="default: the table is of the paper's models alone")

    @model_validator(mode="after")
    def _is_a_grid(self) -> "PaperTable":
        for number, row in enumerate(self.rows):
            for name, numbers in (("values", row.values), ("spreads", row.spreads)):
                if numbers is not None and len(numbers) != len(self.columns):
                    raise ValueError(f"rows.{number}.{name}: {len(numbers)} for {len(self.columns)} columns")
        named = [("exceptions", one.cells) for one in self.exceptions] + [("notes", one.cells) for one in self.notes]
        for name, cells in named:
            for row_of, column in cells:
                if not (0 <= row_of < len(self.rows) and 0 <= column < len(self.columns)):
                    raise ValueError(f"{name}: there is no cell [{row_of}, {column}]; rows and columns count from 0")
        return self


class Cell(NamedTuple):
    """One cell. said: the fields of Part and Ours that are said of it. notes: places in the table's `notes`."""

    row: int
    column: int
    said: Mapping[str, Any]
    ours: Ours
    value: float | str | None
    spread: float | None
    notes: Sequence[int]


def _filled(value: Any, given: Mapping[str, Any]) -> Any:
    """A value with {x} in its texts replaced."""
    if isinstance(value, str):
        for name, text in given.items():
            value = value.replace(f"{{{name}}}", str(text))
        return value
    if isinstance(value, list):
        return [_filled(one, given) for one in value]
    if isinstance(value, dict):
        return {key: _filled(one, given) for key, one in value.items()}
    return value


def cells_of(table: PaperTable) -> Iterator[Cell]:
    """All cells, row by row."""
    for number, row in enumerate(table.rows):
        for place, column in enumerate(table.columns):
            own = [one for one in table.exceptions if (number, place) in one.cells]
            parts: list[Part] = [table.all, row, column, *own]
            said: dict[str, Any] = {}
            ours: dict[str, Any] = {}
            given: dict[str, Any] = {}
            for part in parts:
                plain = part.model_dump(exclude_none=True, exclude={"ours", "let", "values", "spreads", "cells"})
                said |= {name: value for name, value in plain.items() if name not in ("head", "group")}
                ours |= part.ours.model_dump(exclude_none=True)
                given |= part.let
            yield Cell(
                number,
                place,
                _filled(said, given),
                Ours.model_validate(_filled(ours, given)),
                row.values[place] if row.values else None,
                row.spreads[place] if row.spreads else None,
                [at for at, note in enumerate(table.notes) if (number, place) in note.cells],
            )


def heading(part: Part, other: str) -> str:
    """The text of a row's or column's heading."""
    first, second = (part.method, part.dataset) if other == "row" else (part.dataset, part.method)
    return part.head or first or second or part.metric or part.model or ""


def load_table(path: str | Path) -> PaperTable:
    """Read one table. Raises UserError naming file, entry and fault."""
    return validated(PaperTable, read_yaml(path), str(path))


def load_tables(papers: str | Path) -> dict[str, PaperTable]:
    """The tables of all papers by name, from the folder `tables` of config/papers."""
    return {path.stem: load_table(path) for path in sorted(Path(papers, "tables").glob("*.yaml"))}


def table_names(papers: str | Path) -> list[str]:
    """Names of all tables, without reading them."""
    return [path.stem for path in sorted(Path(papers, "tables").glob("*.yaml"))]


def table_named(name: str, papers: str | Path) -> PaperTable:
    """One table by name. Raises UserError with the valid names."""
    names = table_names(papers)
    if name not in names:
        raise UserError(f"there is no table {name}; {closest(name, names)}")
    return load_table(Path(papers, "tables", f"{name}.yaml"))
