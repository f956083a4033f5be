"""Train a model to answer at once by removing the tokens of its steps one after the other: checkpoint icot_si.

    python scripts/train_icot_si.py --model results/mult_2x2/tiny_gpt2/seed0/base/model \\
        --model-file config/models/tiny_gpt2.yaml --task-file config/tasks/mult_2x2.yaml \\
        --train results/data/mult_2x2/train.jsonl --dev results/data/mult_2x2/dev.jsonl \\
        --seed 0 --state icot_si/state --output icot_si/model

In: the folder of the model to start from, training and development examples with steps. Out: a folder in the Hugging Face
layout (the checkpoint that answers the development examples best without steps, tokenizer, layout.json) with curves.jsonl.
A killed run resumes from --state.
"""

from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.systems.icot_si.options import StepwiseTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, StepwiseTraining)
    parser.add_argument("--model", required=True, help="folder of the model to start from")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the trained model")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, StepwiseTraining)

    from retrace.evaluation.model_card import Trained
    from retrace.models.load import load_model
    from retrace.systems.icot_si.train import train_stepwise
    from retrace.training.separated import Training, keeps_each, read_both
    from retrace.training.sft import write_generator, write_generator_into
    from retrace.training.trainer import finish, set_seed

    set_seed(args.seed)
    # Weights are trained in full precision; `precision` is that of the computation.
    model, tokenizer = load_model(args.model, "decoder_only", "float32")
    rows, dev_rows = read_both(args, model, tokenizer, options)

    def write(folder: Path) -> None:
        write_generator_into(folder, model, tokenizer, "no_cot")

    keeping = keeps_each(options, args.state, write)
    training = Training(rows, dev_rows, tokenizer.pad_token_id, options, args.seed, args.state, keeping)
    curve = train_stepwise(model, training, options)
    trained = Trained(args, {"examples": len(rows)}, options)
    write_generator(model, tokenizer, curve, args.output, "no_cot", state=args.state, trained=trained)
    finish(args.state)


if __name__ == "__main__":
    cli.run(main)
