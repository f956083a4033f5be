"""pass@1, 3, 5 and 10 of several checkpoints: the models before and after each DPO step. DPO-ST, Figure 6.

    python scripts/measure_pass_at_k.py --task-file config/tasks/gsm8k.yaml --model-file config/models/tiny_t5.yaml \\
        --papers config/papers --checkpoints dpo_st_round0 dpo_round1 --seeds 0 --preset tiny --greedy before.jsonl \\
        after.jsonl --samples before_samples.jsonl after_samples.jsonl --output dpo_st_pass_at_k.json

Inputs:  Prediction rows of the development split: for each checkpoint and in it for each seed one file decoded greedily
         and one with several samples per question.
Output:  JSON. Greedy accuracy is what the paper calls Pass@1; the others are the unbiased estimates from the samples.
"""

from collections.abc import Sequence
from typing import Any

from retrace import cli
from retrace.errors import UserError

SIZES = (1, 3, 5, 10)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    parser.add_argument("--papers", required=True, help="folder of reported results")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="what was decoded from")
    parser.add_argument("--greedy", nargs="+", required=True, help="checkpoint by checkpoint, seed by seed")
    parser.add_argument("--samples", nargs="+", required=True, help="in the same order")
    parser.add_argument("--seeds", nargs="+", type=int, required=True)
    parser.add_argument("--preset", required=True, help="name of the preset")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args(arguments)

    import numpy as np

    from retrace.evaluation.intervals import estimate
    from retrace.evaluation.metrics import pass_at_k
    from retrace.evaluation.reported import load_papers
    from retrace.machine.storage import read_jsonl, sha256_of, write_json
    from retrace.models.options import load_model_config
    from retrace.schemas import Prediction
    from retrace.tasks.load import load_task

    task, model = load_task(args.task_file), load_model_config(args.model_file)
    wanted = len(args.checkpoints) * len(args.seeds)
    for name in ("greedy", "samples"):
        if len(getattr(args, name)) != wanted:
            raise UserError(
                f"--{name}: {len(getattr(args, name))} files for {len(args.checkpoints)} checkpoints and "
                f"{len(args.seeds)} seeds; give {wanted}"
            )
    questions: list[str] | None = None
    points = []
    for number, checkpoint in enumerate(args.checkpoints):
        greedy, sampled = [], []
        for place in range(number * len(args.seeds), (number + 1) * len(args.seeds)):
            for path, kept in ((args.greedy[place], greedy), (args.samples[place], sampled)):
                rows = read_jsonl(path, Prediction)
                questions = questions or [row.example_id for row in rows]
                if [row.example_id for row in rows] != questions:
                    raise UserError(
                        f"{path}: its questions differ from those of {args.greedy[0]}; decode the same split"
                    )
                kept.append(rows)
        least = min(len(row.samples) for rows in sampled for row in rows)
        shares: dict[str, Any] = {
            str(k): estimate(
                np.array(
                    [
                        [pass_at_k(len(row.samples), sum(s.correct for s in row.samples), k) for row in rows]
                        for rows in sampled
                    ]
                )
            ).model_dump()
            for k in SIZES
            if k <= least
        }
        points.append(
            {
                "checkpoint": checkpoint,
                "greedy": estimate(np.array([[float(row.correct) for row in rows] for rows in greedy])).model_dump(),
                "pass_at_k": shares,
                "samples": least,
            }
        )
        print(
            f"{checkpoint}: greedy {points[-1]['greedy']['value']:.3f}, "
            + ", ".join(f"pass@{k} {v['value']:.3f}" for k, v in shares.items())
        )
    reported = [
        {"checkpoint": row.method, "metric": row.metric, "percent": row.value, "model": row.model, "note": row.note}
        for paper in load_papers(args.papers)
        for row in paper.rows
        if row.table == "Figure 6" and paper.paper == "dpo_st" and row.dataset in task.config.paper_names
    ]
    write_json(
        args.output,
        {
            "kind": "pass_at_k",
            "task": task.name,
            "model": model.name,
            "preset": args.preset,
            "seeds": args.seeds,
            "n": len(questions or []),
            "points": points,
            "reported": reported,
            "files": [{"path": path, "sha256": sha256_of(path)} for path in (*args.greedy, *args.samples)],
        },
    )


if __name__ == "__main__":
    cli.run(main)
