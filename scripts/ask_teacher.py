"""Ask the teacher for rationales of the questions that a student missed, and keep those with the right final answer.

    python scripts/ask_teacher.py --task-file config/tasks/gsm8k.yaml --data results/data/gsm8k/train.jsonl \\
        --marks base/exam/marks.jsonl --template-file config/prompts/feedback.yaml --round 1 --seed 0 \\
        --kind openai --base-url http://localhost:8000/v1 --model my-model --dry-run

`--dry-run` sends nothing and prints the number of requests and the estimated tokens and cost. Without it,
--output, --report and --released-folder say where the results go.

In: training examples, MarkedAnswer rows (mark_exam.py), a prompt template. Out: one TeacherRationale row for each rationale
that was wanted, accepted or rejected; counts as JSON; and the accepted rationales and the mistakes in the format of
Learn-to-Reason's authors. Every response is recorded at once in the folder --recording: a run stopped by a limit, an
error or a kill resumes without repeating any answered request. The key comes from the environment.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from retrace import cli
from retrace.errors import UserError
from retrace.systems.learn_to_reason.options import Feedback
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions

if TYPE_CHECKING:
    from retrace.schemas import Example
    from retrace.systems.learn_to_reason.teachers.base import Teacher
    from retrace.tasks.base import Task


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, TeacherOptions, Feedback)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows of the training split")
    parser.add_argument("--marks", required=True, help="MarkedAnswer rows of the student's exam")
    parser.add_argument("--template-file", required=True, help="config/prompts/NAME.yaml")
    parser.add_argument("--round", type=int, required=True, help="number of the round, from 1")
    parser.add_argument("--seed", type=int, required=True, help="seed of the random questions")
    parser.add_argument(
        "--random-like",
        help="rationales of another run, which determine the number of questions with --questions random",
    )
    parser.add_argument("--released", help="rationales in the authors' format, instead of a teacher")
    parser.add_argument("--samples", type=int, default=4, help="answers per question in the exam, for a file's name")
    parser.add_argument("--local-folder", help="the model's folder, if --kind is local")
    parser.add_argument("--local-file", help="the model's YAML, if --kind is local")
    parser.add_argument("--dry-run", action="store_true", help="send nothing, print the number of requests and tokens")
    parser.add_argument("--output", help="TeacherRationale rows")
    parser.add_argument("--report", help="JSON file with the counts")
    parser.add_argument("--released-folder", help="folder of the files in the authors' format")
    args = parser.parse_args(arguments)
    options, teacher_options = cli.section_from(args, Feedback), cli.section_from(args, TeacherOptions)

    from retrace.machine.storage import read_jsonl
    from retrace.schemas import Example, MarkedAnswer, TeacherRationale
    from retrace.systems.learn_to_reason import feedback
    from retrace.systems.learn_to_reason.released import read_released
    from retrace.systems.learn_to_reason.teachers.opening import open_teacher
    from retrace.systems.learn_to_reason.teachers.prompts import conversation, load_template
    from retrace.tasks.load import load_task

    if not args.dry_run and not (args.output and args.report and args.released_folder):
        raise UserError("set --output, --report and --released-folder, or --dry-run")
    task = load_task(args.task_file)
    template = load_template(args.template_file)
    examples = read_jsonl(args.data, Example)
    marks = read_jsonl(args.marks, MarkedAnswer, allow_empty=True)
    if (options.questions == "random") != bool(args.random_like):
        raise UserError(
            "--questions random needs --random-like, the rationales of another run, and --random-like needs it"
        )
    like = read_jsonl(args.random_like, TeacherRationale, allow_empty=True) if args.random_like else None
    count = None if like is None else len({row.example_id for row in like})
    asks = feedback.choose(examples, marks, options, args.round, args.seed, count)
    common = feedback.common_words(example.question for example in examples)
    if args.released:
        if args.dry_run:
            show_plan(args, {"teacher": args.released, "rationales": len(asks), "requests": 0, "estimated_cost": 0})
            return
        # The control only takes the number of questions from this file.
        further = examples if like is None else []
        found = read_released(args.released)
        name = args.released.rpartition("/")[2]
        rows, report = feedback.take_released(task, asks, further, found, name, options, common)
    else:
        shown = demonstrations(task, options.demonstrations)

        def messages(ask: feedback.Ask) -> tuple[tuple[str, str], ...]:
            return conversation(template, task, ask.example, ask.mistake, shown)

        with ExitStack() as stack:
            local = (args.local_folder, args.local_file)
            teacher = open_teacher(stack, teacher_options, task, examples, *local, dry=args.dry_run or not asks)
            if args.dry_run:
                worked = [example for example in [*shown, *examples[:200]] if example.steps]
                expected = sum(len(example.answer) for example in worked) / len(worked) if worked else 400
                prices = (teacher_options.input_price, teacher_options.output_price)
                plan = feedback.estimate(asks, teacher, messages, expected, teacher_options.max_tokens, prices)
                show_plan(args, {"teacher": teacher.name} | plan)
                return
            rows, report = feedback.collect(task, asks, teacher, messages, options, common)
            report |= spent(teacher, teacher_options)
    write_results(args, task, examples, marks, rows, report)
    print(json.dumps(report))


def demonstrations(task: "Task", count: int) -> "list[Example]":
    """Worked solutions to show; fewer, or none, if the task does not have enough."""
    if task.config.demonstrations is None:
        return []
    from retrace.tasks.formats import read_demonstrations

    return [example for example in read_demonstrations(task) if example.steps][:count]


def show_plan(args: Any, plan: dict[str, object]) -> None:
    """Print what would be sent, and write it to --report if given."""
    from retrace.machine.storage import write_json

    print(json.dumps(plan, indent=2))
    if args.report:
        write_json(args.report, plan)


def spent(teacher: "Teacher", options: TeacherOptions) -> dict[str, object]:
    """Cost of the requests; empty for teachers that are free."""
    recording = getattr(teacher, "recording", None)
    if recording is None:
        return {}
    totals = recording.totals
    return {
        "recording": vars(totals) | {"cost": round(totals.cost(options.input_price, options.output_price), 6)},
        "requests": dict(getattr(teacher, "counts", {})),
    }


def write_results(
    args: Any,
    task: "Task",
    examples: "Sequence[Example]",
    marks: list[Any],
    rows: list[Any],
    report: dict[str, object],
) -> None:
    """The rationales, the counts and the two files in the authors' format."""
    from retrace.machine.storage import atomic_path, write_json, write_jsonl
    from retrace.systems.learn_to_reason.released import mistakes_name, rationales_name, write_released

    questions = {example.id: example.question for example in examples}
    mistakes = [(questions[one.example_id], one.text) for one in marks if not one.correct]
    write_jsonl(args.output, rows)
    with atomic_path(args.released_folder) as folder:
        folder.mkdir()
        kept = [(questions[row.example_id], row.text) for row in rows if row.accepted]
        write_released(folder / rationales_name(task.name, args.round), kept)
        write_released(folder / mistakes_name(task.name, args.round - 1, args.samples), mistakes)
    write_json(args.report, report)
    if report["asked"] and not report["accepted"]:
        print(f"note: none of {report['asked']} rationales was accepted: {report['rejected']}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
