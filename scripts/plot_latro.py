"""Draw a LaTRO training: reward, KL, rationale length, finished rationales and accuracy over steps.

    python scripts/plot_latro.py --task-file config/tasks/arithmetic.yaml --model-file config/models/tiny_gpt2.yaml \\
        --curves results/arithmetic/tiny_gpt2/seed0/latro/curves.jsonl --seeds 0 --output latro_arithmetic_tiny_gpt2.svg

In: one curves.jsonl per seed (train_latro.py). Out: the figure.
"""

from collections.abc import Sequence

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    parser.add_argument("--curves", nargs="+", required=True, help="one file per seed")
    parser.add_argument("--seeds", nargs="+", type=int, required=True, help="in the order of the curves")
    parser.add_argument("--preset", help="name of the preset, to show")
    parser.add_argument("--output", required=True, help="SVG file to write")
    args = parser.parse_args(arguments)

    from retrace.machine.storage import atomic_path
    from retrace.models.options import load_model_config
    from retrace.systems.latro.curves import draw, read_curves
    from retrace.tasks.load import load_task

    curves = read_curves(args.curves, args.seeds)
    task, model = load_task(args.task_file).config, load_model_config(args.model_file)
    with atomic_path(args.output) as temporary:
        draw(curves, f"LaTRO on {task.name} with {model.name}", args.preset, temporary)
    print(f"{task.name}, {model.name}: {len(curves)} seeds -> {args.output}")


if __name__ == "__main__":
    cli.run(main)
