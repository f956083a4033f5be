"""Compare two methods on the same questions: difference with its interval, p value and discordant questions.

    python scripts/compare_methods.py --task-file config/tasks/gsm8k.yaml --method-a grace --method-b greedy \\
        --predictions-a results/gsm8k/tiny_t5/seed0/sft/grace/test.jsonl \\
        --predictions-b results/gsm8k/tiny_t5/seed0/sft/greedy/test.jsonl --seeds 0 --output grace_vs_greedy.json

Inputs:  Prediction rows of both methods, one file per seed, in the same order of seeds; the split that they answer.
Output:  a Comparison document (scripts/retrace/evaluation/paired.py says what its fields mean); with --measure, a
         MeasureComparison.
"""

from collections.abc import Sequence
from pathlib import Path

from retrace import cli


def model_of(prediction: str) -> str:
    """The model's name by the path grammar .../{task}/{model}/seed{seed}/{checkpoint}/{decoder}/{split}.jsonl."""
    parts = Path(prediction).parts
    place = next((i for i, part in enumerate(parts) if part.startswith("seed") and part[4:].isdigit()), 0)
    return parts[place - 1] if place else "unknown"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--method-a", required=True)
    parser.add_argument("--method-b", required=True)
    parser.add_argument("--predictions-a", nargs="+", required=True, help="one file per seed")
    parser.add_argument("--predictions-b", nargs="+", required=True, help="one file per seed, seeds in the same order")
    parser.add_argument("--seeds", nargs="+", type=int, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--data", help="the split's examples (default: data/{task}/{split}.jsonl above the predictions)"
    )
    parser.add_argument("--model", help="name to show (default: by the path grammar)")
    parser.add_argument("--preset", help="name of the preset, to show")
    parser.add_argument("--measure", help="compare this instead of accuracy: tokens (a question), or pass_at_K")
    parser.add_argument("--accuracy", default="paper", help="grader of both methods (default: paper, the task's own)")
    parser.add_argument("--model-file", help="the model's YAML, which tells how it was asked; for another grader")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args(arguments)

    from retrace.errors import UserError
    from retrace.evaluation.grading import answering, check_grader, judged
    from retrace.evaluation.paired import compare, compare_by
    from retrace.evaluation.predictions import find_data, measured, outcomes, read_examples, read_runs
    from retrace.machine.storage import sha256_of, write_json
    from retrace.models.options import load_model_config
    from retrace.tasks.graders import PAPER
    from retrace.tasks.load import load_task

    task = load_task(args.task_file)
    data = Path(args.data) if args.data else find_data(args.predictions_a[0], task.name, args.split)
    examples = read_examples(data)
    a = read_runs(args.predictions_a, args.seeds, examples, data)
    b = read_runs(args.predictions_b, args.seeds, examples, data)
    if args.accuracy != PAPER:
        check_grader(args.accuracy, task)
        if not args.model_file:
            raise UserError("--accuracy: a grader other than the paper's needs --model-file to read the texts")
        asked = answering(task, load_model_config(args.model_file))
        a, b = (judged(runs, asked, examples, args.accuracy) for runs in (a, b))
    files = [*args.predictions_a, *args.predictions_b]
    names = {
        "task": task.name,
        "split": args.split,
        "model": args.model or model_of(args.predictions_a[0]),
        "preset": args.preset,
        "method_a": args.method_a,
        "method_b": args.method_b,
        "predictions": [{"path": str(path), "sha256": sha256_of(path)} for path in files],
    }
    if args.measure:
        values = [measured(runs, args.measure) for runs in (a, b)]
        found = compare_by(*values, [run.seed for run in a], measure=args.measure, **names)
        write_json(args.output, found)
        gap = found.difference
        print(
            f"{args.method_a} minus {args.method_b} by {args.measure}: {gap.value:+.3g} "
            f"(95 % interval {gap.low:+.3g} to {gap.high:+.3g}), p = {found.p_value:.3g}, n = {found.n}"
        )
        return
    comparison = compare(
        outcomes(a),
        outcomes(b),
        outcomes(a, strict=True),
        outcomes(b, strict=True),
        [run.seed for run in a],
        graded_by=args.accuracy,
        **names,
    )
    write_json(args.output, comparison)
    gap = comparison.difference
    print(
        f"{args.method_a} minus {args.method_b}: {100 * gap.value:+.1f} points "
        f"(95 % interval {100 * gap.low:+.1f} to {100 * gap.high:+.1f}), p = {comparison.p_value:.3g}, n = {comparison.n}"
    )


if __name__ == "__main__":
    cli.run(main)
