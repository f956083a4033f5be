"""Select the right, distinct solutions that rejection-sampling fine-tuning trains on. arXiv 2308.01825, section 3.3.

    python scripts/select_solutions.py --task-file config/tasks/gsm8k.yaml --data results/data/gsm8k/train.jsonl \\
        --trajectories rft/trajectories.jsonl --output rft/solutions.jsonl --report rft/solutions.json

Inputs:  Trajectory rows (--trajectories) and the questions that they were drawn for (--data).
Output:  PseudoLabel rows: each question's reference and the selected samples; a report with the counts.
"""

import json
from collections.abc import Sequence

from retrace import cli
from retrace.errors import UserError
from retrace.systems.rft.options import RftSelection


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, RftSelection)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows of the training split")
    parser.add_argument("--trajectories", required=True, help="Trajectory rows")
    parser.add_argument("--output", required=True, help="PseudoLabel rows")
    parser.add_argument("--report", required=True, help="JSON file with the counts")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, RftSelection)

    from retrace.machine.storage import read_jsonl, write_json, write_jsonl
    from retrace.schemas import Example, PseudoLabel, Trajectory
    from retrace.systems.rft.selection import select
    from retrace.tasks.load import load_task

    task = load_task(args.task_file)
    examples = read_jsonl(args.data, Example)
    drawn = read_jsonl(args.trajectories, Trajectory)
    right: dict[str, list[str]] = {example.id: [] for example in examples}
    for trajectory in drawn:
        if trajectory.example_id not in right:
            raise UserError(f"{args.trajectories}: question {trajectory.example_id!r} is not in {args.data}")
        if trajectory.correct:
            right[trajectory.example_id].append(trajectory.text)
    rows, wrong, repeated, solved = [], 0, 0, 0
    for example in examples:
        found = select(right[example.id], options)
        wrong, repeated, solved = wrong + found.wrong, repeated + found.repeated, solved + bool(right[example.id])
        texts = [("gold", task.solution_text(example))] if example.steps else []
        texts += [("sampled", text) for text in found.texts]
        rows += [
            PseudoLabel(example_id=example.id, question=example.question, solution=text, origin=origin)
            for origin, text in texts
        ]
    if not rows:
        raise UserError(f"{args.trajectories}: no correct solution and no reference, so there is nothing to train on")
    report = {
        "samples": len(drawn),
        "right": sum(map(len, right.values())),
        "questions": len(examples),
        "questions_with_a_right_sample": solved,
        "rejected_for_an_equation": wrong,
        "rejected_as_repeated": repeated,
        "references": sum(row.origin == "gold" for row in rows),
        "selected": sum(row.origin == "sampled" for row in rows),
    }
    write_jsonl(args.output, rows)
    write_json(args.report, report)
    print(json.dumps(report))


if __name__ == "__main__":
    cli.run(main)
