"""One page that shows what is in results/: tables, figures, predictions, provenance, cost and limits.

    python scripts/make_report.py
    python scripts/make_report.py --results results --config config --output results/report.html

Inputs:  --results (documents, tables, predictions and data that exist), --benchmarks, --config (papers, methods and
         checkpoints), and Snakemake's metadata in .snakemake/. Nothing is computed anew.
Output:  --output, one file that needs neither a server nor the network. Up to --questions questions of a result are on
         it, fewer where the page would become too large; it says so.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retrace import cli

if TYPE_CHECKING:
    from retrace.evaluation.result import Result

SECTIONS = [
    ("overview", "Overview"),
    ("tables", "Tables"),
    ("figures", "Figures"),
    ("predictions", "Predictions"),
    ("history", "How it was made"),
    ("provenance", "Provenance and cost"),
    ("limits", "Limits"),
]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--results", default="results", help="folder of the results (default results)")
    parser.add_argument("--benchmarks", default="benchmarks", help="folder of the records (default benchmarks)")
    parser.add_argument("--config", default="config", help="folder with papers/, methods/ and checkpoints/")
    parser.add_argument("--questions", type=int, default=1000, help="most questions of a result (default 1000)")
    parser.add_argument("--output", default="results/report.html", help="page to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation.reported import load_papers
    from retrace.machine.storage import write_text
    from retrace.planning.records import read_records
    from retrace.planning.spent import files_by_rule, report, written_by
    from retrace.reporting import page
    from retrace.reporting.cards import cards
    from retrace.reporting.collect import collect
    from retrace.reporting.figures import all_figures
    from retrace.reporting.history import history
    from retrace.reporting.questions import fitting
    from retrace.reporting.remarks import remarks

    results = Path(args.results)
    found = collect(results)
    groups = fitting(found.results, found.left_out, args.questions)
    records = read_records(args.benchmarks)
    costs = report([], records, files_by_rule(written_by(), results, leave_out=Path(args.output)))
    written = page.render(
        {
            "title": "Retrace: results",
            "summary": summary(found.results),
            "sections": SECTIONS,
            "cards": cards(load_papers(Path(args.config) / "papers"), found, paper_finder(Path(args.config))),
            "tables": found.tables,
            "figures": all_figures(found, groups),
            "groups": [group.document() for group in groups],
            "history": history(Path(".snakemake"), records),
            "provenance_header": page.PROVENANCE_HEADER,
            "provenance": page.provenance_rows(found),
            "cost_header": page.COST_HEADER,
            "costs": page.cost_rows(costs),
            "remarks": remarks(found, groups),
        }
    )
    write_text(args.output, written)
    print(f"{args.output}: {len(found.results)} results, {len(written.encode()) / 1e6:.1f} MB; open it in a browser")


def summary(results: "Sequence[tuple[str, Result]]") -> str:
    """What is on the page, in a line."""
    if not results:
        return "There is no result in this folder yet."
    tasks = sorted({result.task for _, result in results})
    models = sorted({result.model for _, result in results})
    presets = sorted({result.preset for _, result in results})
    return (
        f"{len(results)} results on {', '.join(tasks)} with {', '.join(models)}; "
        f"preset{'' if len(presets) == 1 else 's'} {', '.join(presets)}."
    )


def paper_finder(config: Path) -> "Callable[[Result], str | None]":
    """Which paper a result's method comes from, as its YAML says it, or else the YAML of its checkpoint."""
    from retrace.yaml_files import read_yaml

    methods = {path.stem: read_yaml(path) for path in sorted((config / "methods").glob("*.yaml"))}
    checkpoints = {path.stem: read_yaml(path) for path in sorted((config / "checkpoints").glob("*.yaml"))}

    def paper_of(result: "Result") -> str | None:
        if result.reported is not None:
            return result.reported.paper
        method = result.method.partition("_round")[0]
        if method in methods:
            return str(methods[method].get("paper", "grace"))
        return checkpoints.get(result.checkpoint.partition("_round")[0], {}).get("system")

    return paper_of


if __name__ == "__main__":
    cli.run(main)
