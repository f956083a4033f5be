"""Train a student on a teacher's rationales and on its own mistakes: one round of Learn-to-Reason (arXiv 2310.13332).

    python scripts/train_learn_to_reason.py --model results/models/gptj_6b --model-file config/models/gptj_6b.yaml \\
        --task-file config/tasks/gsm8k.yaml --train results/data/gsm8k/train.jsonl --dev results/data/gsm8k/dev.jsonl \\
        --rationales round1/rationales.jsonl --marks base/exam/marks.jsonl --seed 0 --state round1/state \\
        --output round1/model --report round1/training.json

In: the student's folder (that of the last round), training and development examples, TeacherRationale rows (of one or
several rounds; rejected ones are skipped) and MarkedAnswer rows. Out: a folder in the Hugging Face layout with
curves.jsonl, and a JSON document that says what was trained on. Without any rationale the student stays
unchanged. A killed run resumes from --state.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrace import cli
from retrace.errors import UserError
from retrace.systems.learn_to_reason.options import LearnToReasonTraining

if TYPE_CHECKING:
    from retrace.prompting.prompting import Prompting
    from retrace.schemas import Example
    from retrace.systems.learn_to_reason.lessons import Encoded
    from retrace.training.data import Row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, LearnToReasonTraining)
    parser.add_argument("--model", required=True, help="folder of the current student")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument("--rationales", required=True, nargs="+", help="TeacherRationale rows, one file per round")
    parser.add_argument("--marks", required=True, help="MarkedAnswer rows of the exam")
    parser.add_argument("--examples", help="worked examples in the prompts, where --form is learn_to_reason")
    parser.add_argument("--repeat", type=int, default=1, help="multiple of the steps of one round (default 1)")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the trained model")
    parser.add_argument("--report", required=True, help="JSON file that says what was trained on")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, LearnToReasonTraining)

    from retrace.decoding.setup import calculator_of
    from retrace.evaluation.model_card import Trained
    from retrace.machine.storage import read_jsonl, write_json
    from retrace.models.load import check_tokenizer, load_model
    from retrace.models.options import load_model_config
    from retrace.prompting.layouts import has_masked_results
    from retrace.prompting.prompting import prompting_of
    from retrace.schemas import Example, MarkedAnswer, TeacherRationale
    from retrace.systems.learn_to_reason import lessons as learn_to_reason
    from retrace.tasks.load import load_task
    from retrace.training import sft
    from retrace.training.accuracy import GreedyAccuracy
    from retrace.training.trainer import finish, is_first_process, set_seed, world_size

    config = load_model_config(args.model_file)
    if config.chat:
        raise UserError(
            f"{args.model_file}: a teacher's rationales are plain text, and this model has a chat template; set "
            "`chat: false`"
        )
    form = f"{options.form}:{args.examples}" if args.examples else options.form
    task = load_task(args.task_file).in_form(form, config.family)
    examples = read_jsonl(args.train, Example)
    rationales = [
        (row.example_id, row.text)
        for path in args.rationales
        for row in read_jsonl(path, TeacherRationale, allow_empty=True)
        if row.accepted
    ]
    marks = read_jsonl(args.marks, MarkedAnswer, allow_empty=True)
    lessons = learn_to_reason.make_lessons(task, examples, rationales, marks, options)
    set_seed(args.seed)
    # Weights are trained in full precision; `precision` is that of the computation.
    model, tokenizer = load_model(args.model, config.family, "float32", sft.training_device())
    added = sft.extend_tokenizer(model, tokenizer, task)
    if added:
        print(f"added to the tokenizer: {' '.join(added)}")
    check_tokenizer(tokenizer, task, args.model)
    prompting = prompting_of(task, config, tokenizer, args.model, demonstrations=None)
    limit = sft.limit_of(model, options.max_length)
    encoded = learn_to_reason.encode_lessons(lessons, prompting, options, limit)
    curve: list[dict[str, float]] = []
    report: dict[str, Any] = {"questions": 0, "steps": 0, "note": "no rationales: the student stays as it was"}
    dev = read_jsonl(args.dev, Example)
    dev_rows = development_rows(dev, prompting, limit, options)
    if options.validation_is_test and options.keep == "best" and not dev_rows:
        raise UserError(
            f"{args.dev}: learn_to_reason.validation_is_test needs worked solutions in the test split, and {task.name} has "
            "none there; set it to false, or learn_to_reason.keep to accuracy"
        )
    accuracy = None
    if options.keep == "accuracy":
        calculator = calculator_of(task, tokenizer) if task.config.calculator else None
        accuracy = GreedyAccuracy(prompting, dev, options.answer_tokens, options.answer_batch_size, calculator)
    lessons_to_learn, dev_rows = with_development(encoded, dev_rows, options, args.seed)
    if 0 < len(lessons_to_learn) < world_size():
        report["note"] = f"fewer questions than the {world_size()} processes: the student stays as it was"
    elif lessons_to_learn:
        curve, report = learn_to_reason.train_lessons(
            model,
            tokenizer,
            lessons_to_learn,
            dev_rows,
            options,
            args.seed,
            args.state,
            args.repeat,
            accuracy=accuracy,
        )
        report["chosen_on"] = "test" if options.validation_is_test else "dev"
    masked = options.mask_calculator if report["steps"] else has_masked_results(args.model)
    learned = len(lessons_to_learn) if report["steps"] else 0
    trained = Trained(args, {"questions with rationales of a teacher": learned}, options, task)
    sft.write_generator(model, tokenizer, curve, args.output, masked_results=masked, trained=trained)
    if is_first_process():
        write_json(args.report, report | {"rationales_left_out": len(rationales) - report.get("rationales", 0)})
    finish(args.state)


def development_rows(
    examples: "Sequence[Example]", prompting: "Prompting", limit: int, options: LearnToReasonTraining
) -> "list[Row]":
    """Worked solutions of the development split, if it has any (commonsense_qa has none)."""
    from retrace.training.data import Row, solution_rows

    worked = [example for example in examples if example.steps]
    solutions = [prompting.task.solution_text(example) for example in worked]
    rows = solution_rows(prompting, [example.question for example in worked], solutions)
    if not options.mask_calculator:
        rows = [Row(row.ids, row.target, [False] * len(row.target)) for row in rows]
    return [row for row in rows if row.length <= limit]


def with_development(
    lessons: "list[Encoded]", rows: "list[Row]", options: LearnToReasonTraining, seed: int
) -> "tuple[list[Encoded], list[Row]]":
    """Lessons and development rows; lessons are held out if the development split has no worked solutions."""
    from retrace.systems.learn_to_reason.lessons import hold_out

    if rows or options.keep != "best":
        return lessons, rows
    return hold_out(lessons, options.rationale_share, seed)


if __name__ == "__main__":
    cli.run(main)
