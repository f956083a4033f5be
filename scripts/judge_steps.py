"""Have the steps of a method's solutions judged: prefix correctness and trace error (GRACE, table 2).

    python scripts/judge_steps.py --task-file config/tasks/gsm8k.yaml --data results/data/gsm8k/test.jsonl \\
        --predictions results/gsm8k/flan_t5_large/seed0/sft/grace/test.jsonl --seeds 0 --method grace \\
        --judged-model flan_t5_large --preset paper --prompt-file config/prompts/judge.yaml --kind openai \\
        --model gpt-3.5-turbo --output grace_judged.json

Inputs:  predictions, one file per seed; the questions that they answer; the judge's prompt. The judge is a teacher of
         Learn-to-Reason: a server, a local model, or the responses of an earlier run (`--kind replay`). Every response is
         recorded at once, so that nothing is asked twice.
Output:  a JudgedSteps document (scripts/retrace/systems/learn_to_reason/judging.py).
"""

from collections.abc import Sequence
from contextlib import ExitStack

from retrace import cli
from retrace.errors import UserError
from retrace.systems.learn_to_reason.options import StepJudging
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, TeacherOptions, StepJudging)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows of the split")
    parser.add_argument("--predictions", nargs="+", required=True, help="one file per seed")
    parser.add_argument("--seeds", nargs="+", type=int, required=True)
    parser.add_argument("--method", required=True, help="name to show")
    parser.add_argument("--judged-model", required=True, help="name to show")
    parser.add_argument("--preset", required=True, help="name of the preset, to show")
    parser.add_argument("--prompt-file", required=True, help="config/prompts/NAME.yaml")
    parser.add_argument("--local-folder", help="the judge's folder, where --kind is local")
    parser.add_argument("--local-file", help="the judge's YAML, where --kind is local")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args(arguments)
    options, teacher_options = cli.section_from(args, StepJudging), cli.section_from(args, TeacherOptions)
    if teacher_options.kind == "oracle":
        raise UserError("teacher.kind oracle gives references and judges no steps; choose openai, local or replay")

    from dataclasses import replace

    from retrace.evaluation.predictions import outcomes, read_examples, read_runs
    from retrace.machine.storage import write_json
    from retrace.systems.learn_to_reason import judging
    from retrace.systems.learn_to_reason.teachers.opening import open_teacher
    from retrace.tasks.load import load_task

    task, prompt = load_task(args.task_file), judging.load_prompt(args.prompt_file)
    examples = read_examples(args.data)
    runs = read_runs(args.predictions, args.seeds, examples, args.data)
    examples = examples[: options.questions]
    runs = [replace(run, rows=run.rows[: options.questions]) for run in runs]
    with ExitStack() as stack:
        teacher = open_teacher(stack, teacher_options, task, examples, args.local_folder, args.local_file)
        right, wrong, unread = judging.judge(task, teacher, prompt, runs, examples)
    found = judging.JudgedSteps(
        task=task.name,
        model=args.judged_model,
        method=args.method,
        preset=args.preset,
        judge=teacher.name,
        seeds=[run.seed for run in runs],
        n=len(examples),
        prefix_correctness=judging.prefix_correctness(right),
        trace_error=judging.trace_error(wrong, outcomes(runs)),
        unread=unread,
    )
    write_json(args.output, found)
    print(
        f"{args.method}: prefix correctness {100 * found.prefix_correctness.value:.1f} %"
        + (f", trace error {100 * found.trace_error.value:.1f} %" if found.trace_error else "")
        + (f"; {unread} verdicts could not be read" if unread else "")
    )


if __name__ == "__main__":
    cli.run(main)
