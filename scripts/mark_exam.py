"""Mark an exam: which of the student's answers to its training questions are right, with the extracted answers.

    python scripts/mark_exam.py --task-file config/tasks/gsm8k.yaml --data results/data/gsm8k/train.jsonl \\
        --predictions results/gsm8k/gptj_6b/seed0/base/exam/train.jsonl --output marks.jsonl --report exam.json

In: Prediction rows of `decode.py exam` (or, with --released, mistakes in the format of Learn-to-Reason's authors) and the
training examples. Out: MarkedAnswer rows, each text once per question, and what was counted as JSON. Answers are read by
Learn-to-Reason's own rule, which needs no `####` (retrace.systems.learn_to_reason.cleanup).
"""

import json
from collections.abc import Sequence

from retrace import cli
from retrace.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows of the training split")
    parser.add_argument("--predictions", help="Prediction rows of the exam")
    parser.add_argument("--released", help="mistakes in the authors' format, instead of an exam")
    parser.add_argument("--output", required=True, help="MarkedAnswer rows")
    parser.add_argument("--report", required=True, help="JSON file with the counts")
    cli.add_form(parser)
    args = parser.parse_args(arguments)
    if (args.predictions is None) == (args.released is None):
        raise UserError("set either --predictions or --released")

    from retrace.machine.storage import read_jsonl, write_json, write_jsonl
    from retrace.schemas import Example, Prediction
    from retrace.systems.learn_to_reason.exam import mark, mark_released
    from retrace.systems.learn_to_reason.released import read_released
    from retrace.tasks.load import load_task

    task = load_task(args.task_file).in_form(
        args.form, "decoder_only"
    )  # answers are parsed the same way for all models
    examples = read_jsonl(args.data, Example)
    if args.released:
        marks, counts = mark_released(task, read_released(args.released), examples)
    else:
        marks, counts = mark(task, read_jsonl(args.predictions, Prediction), examples, args.predictions)
    write_jsonl(args.output, marks)
    write_json(args.report, counts)
    print(json.dumps(counts))


if __name__ == "__main__":
    cli.run(main)
