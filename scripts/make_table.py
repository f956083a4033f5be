"""A paper's table with reported and reproduced values, as JSON, CSV, Markdown, LaTeX and HTML.

    python scripts/make_table.py --name grace_table1 --configuration config/config.yaml \\
        --md grace_table1.md --html grace_table1.html

Inputs:  config/papers, and the results that are there in results/. Nothing is made.
Outputs: the requested forms. A cell holds ours with its interval, the paper's number and the verdict, or which file would
         make it and, with --snakefile, how many jobs and hours that takes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.errors import UserError

FORMS = ("json", "csv", "md", "tex", "html")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--name", required=True, help="file in config/papers/tables, without .yaml")
    parser.add_argument(
        "--configuration", help="the user's configuration: a file, or JSON text (default: preset paper)"
    )
    parser.add_argument("--folder", default=".", help="folder with results/ (default: this one)")
    parser.add_argument("--snakefile", help="workflow that is asked what missing results take (default: nobody is)")
    parser.add_argument("--benchmarks", default="benchmarks", help="folder of measured jobs, for the hours")
    for form in FORMS:
        parser.add_argument(f"--{form}", help=f"{form} file to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation import table_forms
    from retrace.evaluation.provenance import read_configuration
    from retrace.machine.storage import write_json, write_text
    from retrace.planning.missing import effort_of
    from retrace.systems.costs import register_formulas
    from retrace.workflow.declared import config_folders
    from retrace.workflow.settings import Settings
    from retrace.workflow.table_document import table_document

    if not any(getattr(args, form) for form in FORMS):
        raise UserError(f"nothing to write: give {', '.join(f'--{form}' for form in FORMS)}")
    values = read_configuration(args.configuration)[0] if args.configuration else {"preset": "paper"}
    settings = Settings(values, *config_folders())

    register_formulas()

    def efforts(files: Sequence[str]) -> tuple:
        return effort_of(files, values, Path(args.snakefile), Path(args.benchmarks))

    table = table_document(args.name, settings, Path(args.folder), efforts if args.snakefile else None)
    texts = {
        "csv": table_forms.to_csv,
        "md": table_forms.to_markdown,
        "tex": table_forms.to_latex,
        "html": table_forms.to_html,
    }
    if args.json:
        write_json(args.json, table)
    for form, made in texts.items():
        if path := getattr(args, form):
            write_text(path, made(table))
    cells = [cell for panel in table.panels for row in panel.rows for cell in row.cells]
    counts = {status: sum(cell.status == status for cell in cells) for status in ("measured", "missing")}
    print(f"{table.title} of {table.paper}: {counts['measured']} cells measured, {counts['missing']} missing")
    if not counts["measured"]:
        print("note: none of its results exists yet; --config tables=run makes them", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
