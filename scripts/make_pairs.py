"""Make training triples (prefix, right step, wrong step) for the step discriminator from alignments.

    python scripts/make_pairs.py --task-file config/tasks/gsm8k.yaml --data results/data/gsm8k/train.jsonl \\
        --alignments alignments.jsonl --seed 0 --output pairs.jsonl

Inputs:  --data (Example rows), --alignments (Alignment rows).
Output:  Pair rows; all pairs of a question are in train or in dev.
--step-judge entailment asks an entailment model (--entailment-model, a folder or a Hub id) which steps are right, as the
paper does for its symbolic tasks; otherwise the task's own rule says so.
"""

import json
from collections.abc import Sequence

from retrace import cli
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.schemas import Alignment, Example
from retrace.systems.grace.options import Pairing
from retrace.systems.grace.pairs import StepCorrect, make_pairs
from retrace.tasks.base import Task
from retrace.tasks.load import load_task


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, Pairing)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows that the solutions were sampled for")
    parser.add_argument("--alignments", required=True, help="Alignment rows")
    parser.add_argument(
        "--seed", required=True, type=int, help="seed of the development split and the invalid prefixes"
    )
    parser.add_argument("--output", required=True, help="Pair rows")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, Pairing)

    task = load_task(args.task_file)
    examples = {example.id: example for example in read_jsonl(args.data, Example)}
    alignments = read_jsonl(args.alignments, Alignment)
    for number, alignment in enumerate(alignments, start=1):
        if alignment.example_id not in examples:
            raise UserError(
                f"{args.alignments}:{number}: example_id {alignment.example_id!r} is not in {args.data}; "
                "rebuild the alignments, or give the data that they were made from"
            )
        if len(alignment.trajectory) != len(alignment.reference):
            raise UserError(
                f"{args.alignments}:{number}: trajectory has {len(alignment.trajectory)} entries and reference "
                f"{len(alignment.reference)}; delete the file and rebuild it"
            )
    correct = task.step_correct if options.step_judge == "task" else entailment(task, alignments, options)
    pairs, counts = make_pairs(examples, alignments, correct, options, args.seed)
    write_jsonl(args.output, pairs)
    print(f"{task.name}: {json.dumps(counts)}")


def entailment(task: Task, alignments: Sequence[Alignment], options: Pairing) -> StepCorrect:
    """Step correctness by an entailment model; each distinct pair of aligned steps is judged once, in batches."""
    if not task.family.tells_states:
        raise UserError(
            f"--step-judge entailment is for symbolic tasks only, but {task.name} is of family {task.config.family}, whose "
            "steps are judged by their values: set pair.step_judge to task"
        )
    from retrace.systems.grace.entailment import EntailmentJudge, aligned_steps

    judge = EntailmentJudge(options.entailment_model)
    judged = judge.judge(aligned_steps(alignments))
    print(f"{options.entailment_model}: {sum(judged.values())} of {len(judged)} pairs of steps entail each other")
    return lambda step, right, prefix: judged[step, right]


if __name__ == "__main__":
    cli.run(main)
