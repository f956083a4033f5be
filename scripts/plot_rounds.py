"""Draw accuracy over the rounds of Learn-to-Reason and its variants, from the start on.

    python scripts/plot_rounds.py --results results/arithmetic/tiny_t5/learn_to_reason_round*_acc.json \\
        --json learn_to_reason_arithmetic.json --svg learn_to_reason_arithmetic.svg

Inputs:  Result documents of checkpoints NAME_roundN, and the student's before the first round (method NAME_round0).
Outputs: the points as JSON, and the figure.
"""

from collections.abc import Sequence

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--results", nargs="+", required=True, help="Result documents")
    parser.add_argument("--json", required=True, help="JSON file to write")
    parser.add_argument("--svg", required=True, help="SVG file to write")
    given = parser.parse_args(arguments)

    from retrace.evaluation.result import Result, load_document
    from retrace.rounds import curves_of, draw_rounds
    from retrace.storage import atomic_path, write_json

    figure = curves_of([load_document(path, Result) for path in given.results])
    write_json(given.json, figure)
    with atomic_path(given.svg) as temporary:
        draw_rounds(figure, temporary)
    print(f"{figure.task}, {figure.model}: {len(figure.curves)} curves")


if __name__ == "__main__":
    cli.run(main)
