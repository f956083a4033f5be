"""Fetch the worked examples at the start of Learn-to-Reason's prompts for a task.

    python scripts/fetch_examples.py --task-file config/tasks/gsm8k.yaml --output learn_to_reason_examples.txt \\
        --test results/data/gsm8k/test.jsonl

In: the task's YAML, whose `learn_to_reason` names a Python file of the authors (a pinned URL, looked up in a mirror folder
first, or a local file) and a string constant in it; the file is parsed, never executed; and the test questions, none of
which may occur in the examples. Out: the constant's text, unchanged.
"""

import argparse
import sys
from collections.abc import Sequence

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task-file", required=True, help="config/tasks/TASK.yaml")
    parser.add_argument("--test", help="Example rows that the examples must not show")
    parser.add_argument("--output", required=True, help="text file to write")
    parser.add_argument("--mirror", help="folder that holds URLs as HOST/PATH (default: RETRACE_MIRROR)")
    args = parser.parse_args(arguments)

    from retrace.machine.storage import read_jsonl, write_text
    from retrace.schemas import Example
    from retrace.systems.learn_to_reason.form import check_not_shown, examples_of
    from retrace.tasks.load import load_task

    task = load_task(args.task_file)
    text = examples_of(task.config, task.path, args.mirror)
    if args.test:
        check_not_shown(text, read_jsonl(args.test, Example), task.path)
    write_text(args.output, text)
    print(f"{task.name}: {task.config.learn_to_reason.constant}, {len(text)} characters", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
