"""Draw accuracy over the rounds of a loop (DPO-ST, Learn-to-Reason), its controls and the paper's reported values.

    python scripts/plot_rounds.py --results results/arithmetic/tiny_t5/*_round*_acc.json --papers config/papers \\
        --json dpo_st_rounds.json --svg dpo_st_rounds.svg

Inputs:  Result documents of one task and model (methods NAME_roundN; round 0 is the model before the first round).
Outputs: the points as JSON (RoundFigure of scripts/retrace/evaluation/rounds.py), and the figure.
"""

from collections.abc import Sequence

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--results", nargs="+", required=True, help="Result documents")
    parser.add_argument("--papers", required=True, help="folder of reported results")
    parser.add_argument("--json", required=True, help="JSON file to write")
    parser.add_argument("--svg", required=True, help="SVG file to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation.reported import load_papers
    from retrace.evaluation.result import Result, load_document
    from retrace.evaluation.rounds import curves_of, draw_rounds
    from retrace.machine.storage import atomic_path, write_json
    from retrace.workflow.declared import config_folders
    from retrace.workflow.names import Checkpoints

    results = [(path, load_document(path, Result)) for path in args.results]
    figure = curves_of(results, load_papers(args.papers), Checkpoints(config_folders()).round_named)
    write_json(args.json, figure)
    with atomic_path(args.svg) as temporary:
        draw_rounds(figure, temporary)
    print(f"{figure.task}, {figure.model}, n {figure.n}: {len(figure.curves)} curves")


if __name__ == "__main__":
    cli.run(main)
