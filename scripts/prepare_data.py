"""Write the examples of one split of a task.

    python scripts/prepare_data.py --task-file config/tasks/gsm8k.yaml --split test --output gsm8k_test.jsonl

Inputs: the task's YAML; its sources (pinned URLs, looked up in a mirror folder first, or local files, or generators).
Output: one Example per line (retrace.schemas). The split `demonstrations` gives the worked examples of few-shot prompts,
`sampling_demonstrations` those that sampling draws from.
Stops if a row is malformed, or if a question of the split also occurs in another split.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice

from retrace import cli
from retrace.errors import UserError
from retrace.machine.storage import write_jsonl


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task-file", required=True, help="config/tasks/TASK.yaml")
    parser.add_argument("--split", required=True, help="train, dev, test, corpus, corpus_dev or demonstrations")
    parser.add_argument("--output", required=True, help="JSONL file to write")
    parser.add_argument("--mirror", help="folder that holds URLs as HOST/PATH (default: RETRACE_MIRROR)")
    parser.add_argument("--limit", type=int, default=-1, help="keep only this many examples, from the start; -1: all")
    args = parser.parse_args(arguments)

    from retrace.tasks.formats import read_split, shared_questions, streamed
    from retrace.tasks.load import load_task

    if args.limit == 0 or args.limit < -1:
        raise UserError(f"--limit {args.limit}: must be at least 1, or -1 for all")
    task = load_task(args.task_file)
    examples = streamed(task, args.split, args.mirror)
    if examples is None:
        examples = read_split(task, args.split, args.mirror)
        shared = shared_questions(task, args.split, examples, args.mirror)
        if sum(shared.values()) > task.config.overlap:
            counts = ", ".join(f"{count} in {other}" for other, count in shared.items())
            raise UserError(
                f"{args.task_file}: questions of {args.split} also occur in other splits ({counts}); remove them, or "
                "state their number as `overlap` and say why in `about`"
            )
    count = write_jsonl(args.output, islice(examples, args.limit if args.limit > 0 else None))
    print(f"{task.name} {args.split}: {count} examples -> {args.output}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
