"""One table document in five forms: JSON, CSV, Markdown, LaTeX and HTML."""

import csv
import io
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from retrace.evaluation.table_cells import Heading, Panel, TableCell, TableDocument
from retrace.evaluation.verdict import NOT_REPRODUCED, REPRODUCED

if TYPE_CHECKING:
    from jinja2 import Environment

MARKS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": "-",
}


def number(value: float | str | None) -> str:
    """A number as the papers print it; a text as it is."""
    if value is None or isinstance(value, str):
        return value or ""
    if value and (abs(value) >= 1e5 or abs(value) < 0.01):
        return f"{value:.2g}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.2f}" if 0 < abs(value) < 1 else f"{value:.1f}"


def interval(cell: TableCell) -> str:
    """Its 95 % interval; empty without one."""
    return "" if cell.low is None or cell.high is None else f"{number(cell.low)} to {number(cell.high)}"


def sample(cell: TableCell) -> str:
    """Questions and seeds, and what was run where it is not the paper's preset."""
    parts = [f"n {cell.n}"] if cell.n else []
    parts += [f"{cell.seeds} seed{'s' * (cell.seeds > 1)}"] if cell.seeds else []
    parts += [f"preset {cell.preset}"] if cell.preset and cell.preset != "paper" else []
    return ", ".join(parts)


def effort(cell: TableCell) -> str:
    """What making a missing cell takes."""
    return "" if cell.plan is None else hours(cell.plan.jobs, cell.plan.gpu_hours, cell.plan.cpu_hours)


def hours(jobs: int, gpu: float, cpu: float) -> str:
    """Jobs and hours in words."""
    count = f"{jobs:,} job{'s' * (jobs != 1)}"
    likely, unit = (gpu, "GPU") if gpu >= 0.005 else (cpu, "processor")
    if likely < 0.005:
        return f"{count}, less than 0.01 {unit} hours"
    said = f"{likely:.0f}" if likely >= 10 else f"{likely:.1f}" if likely >= 0.1 else f"{likely:.2f}"
    return f"{count}, about {said} {unit} hours"


def short(cell: TableCell) -> str:
    """The cell in one line: ours [interval] (the paper's) and the verdict's mark."""
    papers = number(cell.reported)
    if cell.status == "measured":
        said = number(cell.value) + (f" [{interval(cell)}]" if interval(cell) else "")
        said += f" ({papers})" if papers else ""
        return said + (f" {MARKS[cell.verdict]}" if cell.verdict in MARKS else " ?" if cell.verdict else "")
    return f"({papers})" if papers else "–" if cell.status != "missing" else "·"


def marks_of(cell: TableCell) -> str:
    """The numbers of its notes."""
    return ", ".join(map(str, cell.notes))


# ---------------------------------------------------------------- CSV


def to_csv(table: TableDocument) -> str:
    """One line a cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = [name for name in TableCell.model_fields if name not in ("plan", "targets", "notes")]
    plan = ["jobs", "gpu_hours", "cpu_hours"]
    writer.writerow(["panel", "row_group", "row", "column_group", "column", *fields, "targets", *plan, "notes"])
    for panel in table.panels:
        for row in panel.rows:
            for column, cell in zip(panel.columns, row.cells, strict=True):
                known = [getattr(cell, name) for name in fields]
                costs = [getattr(cell.plan, name) for name in plan] if cell.plan else ["", "", ""]
                notes = "; ".join(table.notes[at - 1] for at in cell.notes)
                place = [panel.title, row.head.group, row.head.text, column.group, column.text]
                writer.writerow([*place, *known, " ".join(cell.targets), *costs, notes])
    return text.getvalue()


# ---------------------------------------------------------------- Markdown


def to_markdown(table: TableDocument) -> str:
    """A pipe table for each panel, with the legend and the sources below."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    out = [f"# {table.paper_title}: {table.title}", "", f"{table.caption} {table.citation}.", ""]
    for panel in table.panels:
        out += [f"## {panel.title}", ""]
        heads = [f"{one.group}: {one.text}" if one.group else one.text for one in panel.columns]
        out += [line(["", *heads]), line(["---", *["---:"] * len(heads)])]
        for row in panel.rows:
            head = f"{row.head.group}: {row.head.text}" if row.head.group else row.head.text
            cells = [short(cell) + (f" <sup>{marks_of(cell)}</sup>" if cell.notes else "") for cell in row.cells]
            out.append(line([head, *cells]))
        out.append("")
        out += _told(panel)
    out += [legend(table), ""]
    out += [f"{at}. {text}" for at, text in enumerate(table.notes, start=1)]
    out += ["", *[f"- {text}" for text in sources(table)]]
    return "\n".join(out).rstrip() + "\n"


def _told(panel: Panel) -> list[str]:
    """Reasons of verdicts, and what makes missing cells, as lists."""
    reasons = [
        f"- {row.head.text}, {column.text}: {cell.verdict}; {cell.because}"
        for row in panel.rows
        for column, cell in zip(panel.columns, row.cells, strict=True)
        if cell.verdict
    ]
    missing = [
        f"- `{' '.join(cell.targets)}`" + (f": {effort(cell)}" if cell.plan else "")
        for row in panel.rows
        for cell in row.cells
        if cell.status == "missing"
    ]
    blocks = [("Verdicts:", reasons), ("Not made yet:", list(dict.fromkeys(missing)))]
    return [line for title, lines in blocks if lines for line in (title, "", *lines, "")]


def legend(table: TableDocument) -> str:
    """How to read a cell."""
    told = (
        "Ours [95 % interval] (the paper's number): ✓ reproduced, ✗ not reproduced, ? cannot tell, · not made yet, – "
        "nothing to make."
    )
    if table.missing:
        told += (
            f" All that is missing: {hours(table.missing.jobs, table.missing.gpu_hours, table.missing.cpu_hours)}; "
            f"`snakemake results/tables/{table.name}.html --config tables=run` makes it."
        )
    return told


def sources(table: TableDocument) -> list[str]:
    """The sources of the paper's numbers, each once."""
    return list(table.sources.values()) or ["no number of the paper"]


# ---------------------------------------------------------------- LaTeX


def latex(text: str) -> str:
    """A text with what LaTeX takes for commands written out."""
    marks = {"✓": r"$\checkmark$", "✗": r"$\times$", "·": r"$\cdot$", "–": "--"}
    return "".join(_LATEX.get(letter) or marks.get(letter) or letter for letter in text)


def to_latex(table: TableDocument) -> str:
    """A table environment for each panel, for the packages booktabs and amssymb."""
    out = ["% \\usepackage{booktabs,amssymb}"]
    for panel in table.panels:
        count = len(panel.columns)
        out += [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'r' * count}}}", r"\toprule"]
        if any(one.group for one in panel.columns):
            spans, at, rules = [], 2, []
            for group, size in _groups(panel.columns):
                spans.append(rf"\multicolumn{{{size}}}{{c}}{{{latex(group)}}}")
                rules.append(rf"\cmidrule(lr){{{at}-{at + size - 1}}}")
                at += size
            out += [" & " + " & ".join(spans) + r" \\", "".join(rules)]
        out += [" & " + " & ".join(latex(one.text) for one in panel.columns) + r" \\", r"\midrule"]
        group = None
        for row in panel.rows:
            if row.head.group and row.head.group != group:
                out.append(rf"\multicolumn{{{count + 1}}}{{l}}{{\textit{{{latex(row.head.group)}}}}} \\")
            group = row.head.group
            cells = [latex(short(cell)) + (f"$^{{{marks_of(cell)}}}$" if cell.notes else "") for cell in row.cells]
            out.append(" & ".join([latex(row.head.text), *cells]) + r" \\")
        notes = [f"({at}) {text}" for at, text in enumerate(table.notes, start=1)]
        below = [table.caption, *notes, "Source: " + "; ".join(sources(table)) + "."]
        title = f"{table.paper_title}, {table.title}"
        title += f" ({panel.title})" if len(table.panels) > 1 else ""
        out += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{latex(title + '. ' + ' '.join(below))}}}"]
        out += [r"\end{table}"]
    return "\n".join(out) + "\n"


def _groups(headings: Sequence[Heading]) -> list[tuple[str, int]]:
    """Neighboring headings of one group, with their number."""
    return [(group or "", len(list(members))) for group, members in groupby(headings, lambda one: one.group)]


# ---------------------------------------------------------------- HTML


@cache
def environment() -> "Environment":
    """Templates beside this module; every text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals |= {"number": number, "interval": interval, "sample": sample, "effort": effort, "groups": _groups}
    made.globals |= {"hours": hours, "sources": sources, "marks_of": marks_of}
    return made


def to_html(table: TableDocument) -> str:
    """A page of its own: no scripts and nothing loaded from elsewhere; below 700 pixels each cell names its column."""
    return environment().get_template("table.html").render(table=table)
