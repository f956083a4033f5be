"""Draw accuracy over the discriminator's weight, all seeds in one curve, with the paper's curve if it has one.

    python scripts/plot_sweep.py --task-file config/tasks/gsm8k.yaml --model-file config/models/tiny_t5.yaml \\
        --papers config/papers --seeds 0 --sweeps results/gsm8k/tiny_t5/seed0/sft_discriminator/sweep.json \\
        --json grace_beta_sweep.json --svg grace_beta_sweep.svg

Inputs:  one sweep.json per seed (sweep_guided.py), config/papers.
Outputs: a Curve document (scripts/retrace/systems/grace/sweep.py) and the figure.
"""

from collections.abc import Sequence

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    parser.add_argument("--papers", required=True, help="folder of reported results")
    parser.add_argument("--sweeps", nargs="+", required=True, help="one file per seed")
    parser.add_argument("--seeds", nargs="+", type=int, required=True, help="in the order of the sweeps")
    parser.add_argument("--split", default="dev", help="the split that was swept (default dev)")
    parser.add_argument("--preset", help="name of the preset, to show")
    parser.add_argument("--json", required=True, help="JSON file to write")
    parser.add_argument("--svg", required=True, help="SVG file to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation.reported import load_papers
    from retrace.machine.storage import atomic_path, write_json
    from retrace.models.options import load_model_config
    from retrace.systems.grace.sweep import Curve, aggregate, draw_curve, reported_curve
    from retrace.tasks.load import load_task

    task = load_task(args.task_file)
    model = load_model_config(args.model_file)
    points, chosen = aggregate(args.sweeps, args.seeds)
    curve = Curve(
        task=task.name,
        model=model.name,
        split=args.split,
        preset=args.preset,
        seeds=args.seeds,
        points=points,
        chosen=chosen,
        reported=reported_curve(load_papers(args.papers), task.config.paper_names),
    )
    write_json(args.json, curve)
    with atomic_path(args.svg) as temporary:
        draw_curve(curve, temporary)
    print(f"{task.name}, {model.name}: {len(points)} points over {len(args.seeds)} seeds")


if __name__ == "__main__":
    cli.run(main)
