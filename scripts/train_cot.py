"""Train a model to answer directly, or with steps: checkpoints no_cot and explicit_cot (the teacher).

    python scripts/train_cot.py --layout explicit_cot --model results/mult_2x2/tiny_gpt2/seed0/base/model \\
        --model-file config/models/tiny_gpt2.yaml --task-file config/tasks/mult_2x2.yaml \\
        --train results/data/mult_2x2/train.jsonl --dev results/data/mult_2x2/dev.jsonl \\
        --seed 0 --state explicit_cot/state --output explicit_cot/model

In: the folder of the model to start from, training and development examples. Out: a folder in the Hugging Face layout
(the checkpoint that is best on the development examples, tokenizer, layout.json) with curves.jsonl. A killed run
resumes from --state. --deep trains a new model instead, with as many layers and weights as
emulator and student together: a control.
"""

from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.training.options import SeparatedTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, SeparatedTraining)
    parser.add_argument("--layout", required=True, choices=["no_cot", "explicit_cot"], help="what the model writes")
    parser.add_argument("--model", required=True, help="folder of the model to start from")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument(
        "--deep", action="store_true", help="train a new model as large as emulator and student together"
    )
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the trained model")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, SeparatedTraining)

    from retrace.evaluation.model_card import Trained
    from retrace.models.load import load_model
    from retrace.models.options import load_model_config
    from retrace.systems.icot.controls import as_large_as_both
    from retrace.training.separated import Training, keeps_each, read_both, train_text
    from retrace.training.sft import write_generator, write_generator_into
    from retrace.training.trainer import finish, set_seed

    config = load_model_config(args.model_file)
    set_seed(args.seed)
    # Weights are trained in full precision; `precision` is that of the computation.
    model, tokenizer = load_model(args.model, "decoder_only", "float32")
    if args.deep:
        model = as_large_as_both(model, config, tokenizer, args.seed)
        print(f"{model.config.num_hidden_layers} layers, {model.num_parameters():,} parameters")
    rows, dev_rows = read_both(args, model, tokenizer, options)

    def write(folder: Path) -> None:
        write_generator_into(folder, model, tokenizer, args.layout)

    keeping = keeps_each(options, args.state, write)
    training = Training(rows, dev_rows, tokenizer.pad_token_id, options, args.seed, args.state, keeping)
    curve = train_text(model, training, args.layout)
    trained = Trained(args, {"examples": len(rows)}, options)
    write_generator(model, tokenizer, curve, args.output, args.layout, state=args.state, trained=trained)
    finish(args.state)


if __name__ == "__main__":
    cli.run(main)
