"""Print the measurements in result, comparison and sweep files, and where the files are.

    python scripts/show_results.py results/arithmetic/tiny_t5/*_acc.json results/arithmetic/tiny_t5/compare/*.json

Inputs:  JSON documents that Retrace wrote; other files are only listed, a page (.html) at the end. Output: text for the
         terminal, or a file.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("files", nargs="+", help="files to show")
    parser.add_argument("--output", help="write the text to this file; default: the terminal")
    args = parser.parse_args(arguments)

    from retrace.evaluation.paired import Comparison
    from retrace.evaluation.report import comparison_lines, result_lines
    from retrace.evaluation.result import Result, load_document
    from retrace.machine.storage import read_json, write_text

    results, comparisons = [], []
    pages = [path for path in args.files if path.endswith(".html")]
    for path in args.files:
        document = read_json(path) if path.endswith(".json") else None
        kind = document.get("kind") if isinstance(document, dict) else None
        if kind == "result":
            results.append((path, load_document(path, Result)))
        elif kind == "comparison":
            comparisons.append(load_document(path, Comparison))
    lines = result_lines(results) + comparison_lines(comparisons)
    folders = Counter(str(Path(path).parent) for path in args.files if path not in pages)
    if folders:
        lines += ["", "files:", *[f"  {folder}/  ({count})" for folder, count in folders.items()]]
    if pages:
        lines += ["", *[f"everything on one page: {path}" for path in pages]]
    text = "\n".join(lines).lstrip("\n") + "\n"
    if args.output:
        write_text(args.output, text)
    else:
        print(text, end="")


if __name__ == "__main__":
    cli.run(main)
