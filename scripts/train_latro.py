"""Train a model on rationales that it rewards itself by the likelihood of the answer (LaTRO): the checkpoint `latro`.

    python scripts/train_latro.py --model results/models/phi35_mini --model-file config/models/phi35_mini.yaml \\
        --task-file config/tasks/gsm8k.yaml --train results/data/gsm8k/train.jsonl --compare results/data/gsm8k/dev.jsonl \\
        --seed 0 --state latro/state --output latro/model --curves latro/curves.jsonl --report latro/report.json

In: the folder of the model that training starts from, training questions with their final answers, and the questions
on which checkpoints are compared (the development split; --choose-on test is the paper's choice). Out: a folder in the
Hugging Face layout (the checkpoint with the highest accuracy, the start included), reward, KL, rationale length, share
of finished rationales and accuracy over steps, and a report on the choice. A killed run resumes from
--state; one whose accuracy falls while the reward rises stops and keeps the best checkpoint.
"""

from collections.abc import Sequence
from importlib.util import find_spec

from retrace import cli
from retrace.errors import UserError
from retrace.systems.latro.options import LatroTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, LatroTraining)
    parser.add_argument("--model", required=True, help="folder of the model to start from")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--compare", required=True, help="examples on which checkpoints are compared, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the trained model")
    parser.add_argument("--curves", required=True, help="curves.jsonl")
    parser.add_argument("--report", required=True, help="report.json: start, chosen checkpoint, and why it stopped")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, LatroTraining)

    from retrace.decoding.setup import check_references
    from retrace.evaluation.model_card import Trained
    from retrace.machine.storage import read_jsonl, write_json
    from retrace.models.load import load_model
    from retrace.models.options import load_model_config
    from retrace.prompting.layouts import has_masked_results
    from retrace.prompting.prompting import prompting_of
    from retrace.schemas import Example
    from retrace.systems.latro.rollouts import Question, RationaleWriter
    from retrace.systems.latro.run import train_latro
    from retrace.systems.latro.trainer import check_batches
    from retrace.tasks.load import load_task
    from retrace.text.calculator import Calculator
    from retrace.training import sft
    from retrace.training.trainer import finish, is_first_process, set_seed, world_size, write_curve

    config = load_model_config(args.model_file)
    if config.family != "decoder_only":
        raise UserError(f"{args.model_file}: family {config.family}: LaTRO trains decoder-only models")
    check_batches(options, world_size())
    if options.generation == "vllm" and find_spec("vllm") is None:
        raise UserError("--generation vllm: vLLM is not installed; install it on a machine with GPUs, or use engine")
    train = read_jsonl(args.train, Example)
    compared = read_jsonl(args.compare, Example)
    if wrong := next((example for example in compared if example.split != options.choose_on), None):
        raise UserError(f"{args.compare}: question {wrong.id!r} is of split {wrong.split!r}, not {options.choose_on!r}")
    if options.evaluation_questions > 0:
        compared = compared[: options.evaluation_questions]
    set_seed(args.seed)
    # All weights are trained in full precision, `precision` is that of the computation; adapters leave the base
    # weights frozen.
    dtype = config.dtype if options.lora_rank else "float32"
    model, tokenizer = load_model(args.model, config.family, dtype, sft.training_device())
    prompting = prompting_of(load_task(args.task_file), config, tokenizer)
    task = prompting.task
    for path, examples in ((args.train, train), (args.compare, compared)):
        check_references(task, examples, path)
    calculator = None
    if options.calculator and task.config.calculator and not config.chat:
        if options.generation == "vllm":
            raise UserError("--generation vllm: vLLM cannot force the calculator's results; add --calculator false")
        calculator = Calculator(tokenizer)
    writer = RationaleWriter(prompting, model, options, args.seed, calculator)
    golds = {example.id: example.answer for example in compared}

    def judge(question: Question, text: str) -> tuple[bool, bool]:
        gold = golds[question.id]
        return task.grade(text, gold), task.grade_strict(text, gold)

    curve, report = train_latro(
        model,
        writer,
        writer.questions(train, model, f"examples of {args.train}"),
        writer.questions(compared, model, f"examples of {args.compare}"),
        judge,
        options,
        args.seed,
        args.state,
        config.dtype,
    )
    # Forced calculator tokens are not part of the loss, so this property of the model stays unchanged.
    masked = has_masked_results(args.model)
    trained = Trained(args, {"questions with their final answers": len(train)}, options, task)
    sft.write_generator(model, tokenizer, curve, args.output, masked_results=masked, trained=trained)
    if is_first_process():
        from retrace.machine.storage import atomic_path

        with atomic_path(args.curves) as temporary:
            write_curve(temporary, curve)
        write_json(args.report, report)
    finish(args.state)


if __name__ == "__main__":
    cli.run(main)
