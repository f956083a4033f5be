"""Fine-tune a generator on a task's worked solutions, or on its final answers: the checkpoints `sft` and `latro_sft`.

    python scripts/train_sft.py --model results/models/flan_t5_large --model-file config/models/flan_t5_large.yaml \\
        --task-file config/tasks/gsm8k.yaml --train results/data/gsm8k/train.jsonl --dev results/data/gsm8k/dev.jsonl \\
        --seed 0 --state sft/state --output sft/model

In: a base model's folder, training and development examples. Out: a folder in the Hugging Face layout (the model with the
lowest development loss, or what --keep says; tokenizer) with curves.jsonl. A killed run resumes from
--state.
"""

from collections.abc import Sequence
from dataclasses import replace

from retrace import cli
from retrace.training.options import SftTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, SftTraining)
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the trained model")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, SftTraining)

    from retrace.decoding.setup import calculator_of, check_references
    from retrace.evaluation.model_card import Trained
    from retrace.machine.storage import read_jsonl
    from retrace.models.load import check_tokenizer, load_model
    from retrace.models.options import load_model_config
    from retrace.prompting.prompting import prompting_of
    from retrace.schemas import Example
    from retrace.tasks.load import load_task
    from retrace.training import sft
    from retrace.training.accuracy import GreedyAccuracy
    from retrace.training.data import generator_rows
    from retrace.training.trainer import finish, set_seed

    config = load_model_config(args.model_file)
    task = load_task(args.task_file)
    set_seed(args.seed)
    # Weights are trained in full precision; `precision` is that of the computation.
    model, tokenizer = load_model(args.model, config.family, "float32", sft.training_device())
    prompting = prompting_of(task, config, tokenizer)
    if not config.chat:
        added = sft.extend_tokenizer(model, tokenizer, task)
        if added:
            print(f"added to the tokenizer: {' '.join(added)}")
        check_tokenizer(tokenizer, task, args.model)
    layout = "direct" if options.targets == "answers" else None
    prompting = replace(prompting, layout=layout, latro_sft=prompting.chat and options.texts == "latro")
    limit = sft.limit_of(model, options.max_length)
    rows, dev_rows = (
        generator_rows(
            read_jsonl(path, Example),
            task,
            tokenizer,
            config.family,
            limit,
            options.mask_calculator,
            f"examples of {path}",
            options.targets,
            prompting,
        )
        for path in (args.train, args.dev)
    )
    accuracy = None
    if options.keep == "accuracy":
        dev = read_jsonl(args.dev, Example)
        check_references(prompting.task, dev, args.dev)
        calculates = prompting.task.config.calculator and not config.chat
        calculator = calculator_of(prompting.task, tokenizer) if calculates else None
        # Evaluated with the prompts it will be decoded with, whatever texts it is trained on.
        asked = replace(prompting, latro_sft=False)
        accuracy = GreedyAccuracy(asked, dev, options.answer_tokens, options.answer_batch_size, calculator)
    best = {"best": "loss", "accuracy": "accuracy", "last": None}[options.keep]
    curve = sft.train_generator(
        model, tokenizer, rows, dev_rows, options, args.seed, args.state, best=best, accuracy=accuracy
    )
    what = "final answers" if options.targets == "answers" else "worked solutions"
    trained = Trained(args, {what: len(rows)}, options, prompting.task)
    sft.write_generator(
        model, tokenizer, curve, args.output, prompting.layout, options.mask_calculator, trained=trained
    )
    finish(args.state)


if __name__ == "__main__":
    cli.run(main)
