"""A paper's table with reported and reproduced values, as CSV, Markdown and HTML.

    python scripts/make_table.py --paper config/papers/grace.yaml --table "Table 1" \\
        --results results/gsm8k/tiny_t5/greedy_acc.json --csv grace_table1.csv --md grace_table1.md --html grace_table1.html

Inputs:  config/papers/NAME.yaml and Result documents. Rows without a result say "not run".
Outputs: the requested formats, all with the same rows.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--paper", required=True, help="config/papers/NAME.yaml")
    parser.add_argument("--table", default="Table 1", help="as the file names it (default: Table 1)")
    parser.add_argument("--results", nargs="*", default=[], help="Result documents")
    for form in ("csv", "md", "html"):
        parser.add_argument(f"--{form}", help=f"{form} file to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation.report import table_rows, to_csv, to_html, to_markdown
    from retrace.evaluation.reported import load_paper
    from retrace.evaluation.result import Result, load_document
    from retrace.machine.storage import write_text

    if not (args.csv or args.md or args.html):
        raise UserError("nothing to write: give --csv, --md or --html")
    paper = load_paper(args.paper)
    tables = sorted({row.table for row in paper.rows})
    if tables and args.table not in tables:
        raise UserError(f"--table {args.table!r}: {args.paper} has {', '.join(tables)}")
    results = [(path, load_document(path, Result)) for path in args.results]
    rows = table_rows(paper, args.table, results)
    if args.csv:
        write_text(args.csv, to_csv(rows))
    if args.md:
        write_text(args.md, to_markdown(paper, args.table, rows))
    if args.html:
        write_text(args.html, to_html(paper, args.table, rows))
    print(f"{args.table} of {paper.paper}: {len(rows)} lines, {len(results)} results")


if __name__ == "__main__":
    cli.run(main)
