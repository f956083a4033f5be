"""Draw accuracy against answers per second for no, implicit and explicit chain of thought.

    python scripts/plot_icot.py --results results/mult_2x2/tiny_gpt2/{no_cot,explicit_cot,icot}_acc.json \\
        --speeds results/mult_2x2/tiny_gpt2/icot_speed.json --svg icot_accuracy_vs_speed.svg

Inputs: for each task and model a Speed document and the three Result documents. Output: the figure.
"""

from collections.abc import Sequence

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--results", nargs="+", required=True, help="Result documents of the three ways")
    parser.add_argument("--speeds", nargs="+", required=True, help="Speed documents, one per task and model")
    parser.add_argument("--svg", required=True, help="SVG file to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation.result import Result, load_document
    from retrace.machine.storage import atomic_path
    from retrace.systems.icot.speed import Speed, draw, paired

    speeds = [load_document(path, Speed) for path in args.speeds]
    pairs = paired(speeds, [load_document(path, Result) for path in args.results])
    with atomic_path(args.svg) as temporary:
        draw(pairs, temporary)
    print(f"{len(pairs)} tasks drawn")


if __name__ == "__main__":
    cli.run(main)
