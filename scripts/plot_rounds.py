"""Draw accuracy over the rounds of self-training, with the controls and what the paper reports. DPO-ST, Figure 5.

    python scripts/plot_rounds.py --results results/arithmetic/tiny_t5/*_round*_acc.json --papers config/papers \\
        --preset tiny --json dpo_st_rounds.json --svg dpo_st_rounds.svg

Inputs:  Result documents of one task and model (dpo_st_roundN, st_roundN, sft_continued_roundN, sft_extra_roundN).
Output:  a Rounds document (scripts/retrace/rounds.py) and its figure.
"""

from collections.abc import Sequence

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--results", nargs="+", required=True, help="Result documents")
    parser.add_argument("--papers", required=True, help="folder of reported results")
    parser.add_argument("--preset", required=True, help="name of the preset, to show")
    parser.add_argument("--json", required=True, help="JSON file to write")
    parser.add_argument("--svg", required=True, help="SVG file to write")
    given = parser.parse_args(arguments)

    from retrace.evaluation.reported import load_papers
    from retrace.evaluation.result import Result, load_document
    from retrace.rounds import collect, draw_rounds
    from retrace.storage import atomic_path, write_json

    rounds = collect(
        [(path, load_document(path, Result)) for path in given.results], load_papers(given.papers), given.preset
    )
    write_json(given.json, rounds)
    with atomic_path(given.svg) as temporary:
        draw_rounds(rounds, temporary)
    for point in rounds.points:
        low, high = 100 * point.accuracy.low, 100 * point.accuracy.high
        print(f"{point.series} round {point.round}: {100 * point.accuracy.value:.1f} % ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    cli.run(main)
