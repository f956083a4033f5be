"""Tables of reported and reproduced results in CSV, Markdown and HTML, and the summary that a run prints."""

import csv
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from retrace.evaluation.paired import Comparison
from retrace.evaluation.reported import PaperFile, ReportedRow
from retrace.evaluation.result import Result
from retrace.evaluation.verdict import percent
from retrace.tasks.graders import PAPER


@dataclass(frozen=True)
class TableRow:
    """One line; all accuracies in percent, as the papers print them. Empty text: nothing there."""

    dataset: str
    method: str
    reported_model: str
    reported: str
    reported_source: str
    reproduced: str
    low: str
    high: str
    n: str
    seeds: str
    model_run: str
    preset: str
    comparable: str
    verdict: str
    made_from: str
    file: str


HEADINGS = {
    "dataset": "Data set",
    "method": "Method",
    "reported_model": "Model in the paper",
    "reported": "Reported %",
    "reported_source": "Source",
    "reproduced": "Reproduced %",
    "low": "95 % from",
    "high": "95 % to",
    "n": "Questions",
    "seeds": "Seeds",
    "model_run": "Model that was run",
    "preset": "Preset",
    "comparable": "Comparable",
    "verdict": "Verdict",
    "made_from": "What was measured",
    "file": "File",
}
NUMBERS = {"reported", "reproduced", "low", "high", "n", "seeds"}
WIDE = {"made_from", "file", "reported_source"}


def _printed(value: float | str) -> str:
    return f"{value:.1f}" if isinstance(value, float) else value


def _measured(result: Result, path: str) -> dict[str, str]:
    return {
        "reproduced": percent(result.paper_accuracy.value),
        "low": percent(result.paper_accuracy.low),
        "high": percent(result.paper_accuracy.high),
        "n": str(result.n),
        "seeds": str(len(result.seeds)),
        "model_run": result.model,
        "preset": result.preset,
        "made_from": result.made_from,
        "file": path,
    }


def _line(**values: str) -> TableRow:
    return TableRow(**{field.name: values.get(field.name, "") for field in fields(TableRow)})


def _answers(result: Result, paper: PaperFile, row: ReportedRow) -> bool:
    """Whether the result stands beside this very number of the paper."""
    mine = result.reported
    return (
        mine is not None
        and (mine.paper, mine.table, mine.model) == (paper.paper, row.table, row.model)
        and (mine.dataset, mine.method) == (row.dataset, row.method)
    )


def table_rows(paper: PaperFile, table: str, results: Sequence[tuple[str, Result]]) -> list[TableRow]:
    """The paper's table line by line with our results beside it; lines without a result say so.

    results: (path, document). Several results may stand beside one number (other models, other presets): each has a
    line that names what was run. Results without a number in this table come last.
    """
    numbers = [row for row in paper.rows if row.table == table]
    order = {key: place for place, key in reversed(list(enumerate((row.model, row.dataset) for row in numbers)))}
    lines: list[TableRow] = []
    used: set[int] = set()
    for row in sorted(numbers, key=lambda row: order[row.model, row.dataset]):
        known = {
            "dataset": row.dataset,
            "method": row.method,
            "reported_model": row.model,
            "reported": _printed(row.value),
            "reported_source": f"{row.source_kind}, {paper.sources[row.source]}"
            + (f"; {row.note}" if row.note else ""),
        }
        beside = [index for index, (_, result) in enumerate(results) if _answers(result, paper, row)]
        used.update(beside)
        if not beside:
            lines.append(_line(**known, verdict="not run"))
        for index in beside:
            path, result = results[index]
            assert result.reported is not None
            lines.append(
                _line(
                    **known,
                    **_measured(result, path),
                    comparable="yes" if result.reported.comparable else "no",
                    verdict=result.reported.verdict,
                )
            )
    for index, (path, result) in enumerate(results):
        if index not in used:
            about = {"dataset": result.task, "method": result.method}
            lines.append(
                _line(**about, **_measured(result, path), comparable="no", verdict=paper.missing or "not in this table")
            )
    return lines


# ---------------------------------------------------------------- forms


def to_csv(rows: Sequence[TableRow]) -> str:
    """One line each, with the field names as header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(TableRow)]
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()


def _title(paper: PaperFile, table: str) -> str:
    return f"{paper.title}: {table}, reported beside reproduced"


NOTE = (
    "Final-answer accuracy in percent. A number of ours may be held against the paper's only where Comparable says yes; "
    "elsewhere another model, other data or other settings were run, as the line says."
)


def to_markdown(paper: PaperFile, table: str, rows: Sequence[TableRow]) -> str:
    """A pipe table; the widest columns are left to the CSV and the HTML."""
    names = [field.name for field in fields(TableRow) if field.name not in WIDE]

    def cells(values: Iterable[str]) -> str:
        return "| " + " | ".join(value.replace("|", "\\|").replace("\n", " ") for value in values) + " |"

    lines = [f"# {_title(paper, table)}", "", paper.citation + ". " + NOTE, ""]
    lines.append(cells(HEADINGS[name] for name in names))
    lines.append(cells("---:" if name in NUMBERS else "---" for name in names))
    lines += [cells(getattr(row, name) for name in names) for row in rows]
    measured = sorted({row.made_from for row in rows if row.made_from})
    if measured:
        lines += ["", "What was measured:", "", *[f"- {text}" for text in measured]]
    return "\n".join(lines) + "\n"


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --paper: #ffffff; --line: #c6ccd2; --soft: #f2f4f6; --yes: #0b6b3a;
  --no: #8a3b00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --paper: #16191c; --line: #3d454d; --soft: #1f2429; --yes: #6fd39d; --no: #f0a868; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 90rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
caption { text-align: left; padding: .5rem 0; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid var(--ink); white-space: nowrap; }
tbody th[scope=rowgroup] { background: var(--soft); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.text { min-width: 14rem; }
.yes { color: var(--yes); font-weight: 600; }
.no { color: var(--no); }
""".strip()


def _cell(name: str, row: TableRow) -> str:
    value = html.escape(getattr(row, name)) or "<span aria-label='none'>–</span>"
    if name in NUMBERS:
        return f'<td class="number">{value}</td>'
    if name == "method":
        return f'<th scope="row">{value}</th>'
    if name == "comparable" and getattr(row, name):
        return f'<td class="{getattr(row, name)}">{value}</td>'
    return f'<td class="text">{value}</td>' if name in WIDE | {"verdict"} else f"<td>{value}</td>"


def to_html(paper: PaperFile, table: str, rows: Sequence[TableRow]) -> str:
    """A page of its own: no scripts, nothing loaded from elsewhere, headings that screen readers announce."""
    names = [field.name for field in fields(TableRow) if field.name not in ("dataset", "reported_model")]
    kinds = {name: ' class="number"' if name in NUMBERS else "" for name in names}
    head = "".join(f'<th scope="col"{kinds[name]}>{HEADINGS[name]}</th>' for name in names)
    body: list[str] = []
    group = None
    for row in rows:
        here = (row.reported_model or "not in the paper's table", row.dataset)
        if here != group:
            group = here
            label = html.escape(f"{row.dataset}: {here[0]}")
            body.append(f'</tbody>\n<tbody>\n<tr><th scope="rowgroup" colspan="{len(names)}">{label}</th></tr>')
        body.append("<tr>" + "".join(_cell(name, row) for name in names) + "</tr>")
    title = html.escape(_title(paper, table))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{html.escape(paper.citation)}. {html.escape(NOTE)}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Table, can be scrolled">
<table>
<caption>{html.escape(table)} of the paper; one line for each result</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{chr(10).join(body)}
</tbody>
</table>
</div>
</main>
</body>
</html>
""".replace("<tbody>\n</tbody>\n", "")


# ---------------------------------------------------------------- terminal


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """Lines of a plain-text table; `right` are the numbers of the right-aligned columns."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return [line(table[0]), "  ".join("-" * width for width in widths), *[line(row) for row in table[1:]]]


def _seconds(result: Result) -> str:
    return "" if result.cost.prediction_seconds is None else f"{result.cost.prediction_seconds:.1f}"


def result_lines(results: Sequence[tuple[str, Result]]) -> list[str]:
    """The measured accuracies, one block per task, model and preset."""
    lines: list[str] = []
    blocks: dict[tuple[str, str, str], list[Result]] = {}
    for _, result in results:
        blocks.setdefault((result.task, result.model, result.preset), []).append(result)
    for (task, model, preset), members in blocks.items():
        lines += ["", f"{task}, model {model}, preset {preset}: accuracy in percent on {members[0].split} questions"]
        rows = [
            [
                result.method if result.graded_by == PAPER else f"{result.method} (by {result.graded_by})",
                percent(result.accuracy.value),
                f"{percent(result.accuracy.low)} to {percent(result.accuracy.high)}",
                percent(result.accuracy_strict.value),
                str(result.n),
                str(len(result.seeds)),
                _seconds(result),
                reported_cell(result),
            ]
            for result in members
        ]
        header = ["method", "accuracy", "95 % interval", "strict", "n", "seeds", "decoding s", "paper"]
        lines += aligned(header, rows, right=(1, 2, 3, 4, 5, 6))
        for result in members:
            for name, other in result.accuracy_by.items():
                interval = f"{percent(other.low)} to {percent(other.high)}"
                lines.append(f"{result.method} by grader {name}: {percent(other.value)} ({interval})")
        lines += [
            f"{result.method}: {result.reported.verdict}; {result.reported.because}"
            for result in members
            if result.reported
        ]
        for text in dict.fromkeys(result.made_from for result in members):
            lines.append(f"measured with {text}")
    return lines


def reported_cell(result: Result) -> str:
    """The paper's number with the verdict, and of which model it is where ours is not comparable."""
    mine = result.reported
    if mine is None:
        return "-"
    return f"{mine.percent:.1f} ({mine.verdict}{'' if mine.comparable else ', of ' + mine.model})"


def comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Paired differences in points, one line each."""
    if not comparisons:
        return []
    rows = []
    for one in comparisons:
        gap = one.difference
        rows.append(
            [
                f"{one.method_a} - {one.method_b}",
                f"{100 * gap.value:+.1f}",
                f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}",
                f"{one.p_value:.1g}" if one.p_value < 0.001 else f"{one.p_value:.3f}",
                str(one.n),
                str(len(one.seeds)),
                f"{one.task}, {one.model}",
            ]
        )
    header = ["paired difference", "points", "95 % interval", "p", "n", "seeds", "on"]
    return ["", *aligned(header, rows, right=(1, 2, 3, 4, 5))]
