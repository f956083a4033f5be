"""The papers' claims, each decided by paired tests: it holds, it does not, or it cannot be told.

    python scripts/decide_claims.py --configuration config/config.yaml --md claims.md --html claims.html

Inputs:  config/papers/claims, and the comparisons that are there in results/. Nothing is made.
Outputs: the requested forms of one table of all claims.
"""

from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.errors import UserError

FORMS = ("json", "md", "html")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument(
        "--configuration", help="the user's configuration: a file, or JSON text (default: preset paper)"
    )
    parser.add_argument("--folder", default=".", help="folder with results/ (default: this one)")
    for form in FORMS:
        parser.add_argument(f"--{form}", help=f"{form} file to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation.claim_forms import to_html, to_markdown
    from retrace.evaluation.claims import claim_counts
    from retrace.evaluation.provenance import read_configuration
    from retrace.machine.storage import write_json, write_text
    from retrace.workflow.claims import claims_document
    from retrace.workflow.declared import config_folders
    from retrace.workflow.settings import Settings

    if not any(getattr(args, form) for form in FORMS):
        raise UserError(f"nothing to write: give {', '.join(f'--{form}' for form in FORMS)}")
    values = read_configuration(args.configuration)[0] if args.configuration else {"preset": "paper"}
    document = claims_document(Settings(values, *config_folders()), Path(args.folder))
    if args.json:
        write_json(args.json, document)
    if args.md:
        write_text(args.md, to_markdown(document))
    if args.html:
        write_text(args.html, to_html(document))
    counts = claim_counts(document.claims)
    print(f"{len(document.claims)} claims: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}")


if __name__ == "__main__":
    cli.run(main)
