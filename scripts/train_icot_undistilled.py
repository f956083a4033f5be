"""Train a fresh emulator and student together on answers alone: the checkpoint icot_undistilled, a control.

    python scripts/train_icot_undistilled.py --model results/mult_2x2/tiny_gpt2/seed0/base/model \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --seed 0 --state icot_undistilled/state --output icot_undistilled/model

In: the base model's folder, which both start from, training and development examples, whose steps are not read. Out: a
folder as of train_icot.py. A killed run resumes from --state.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.icot.options import UndistilledTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, UndistilledTraining)
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--model-file", help="config/models/NAME.yaml, for the model card")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the checkpoint")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, UndistilledTraining)

    import copy

    from retrace.models.load import load_model
    from retrace.systems.icot.networks import Coupled, Emulator, Student
    from retrace.systems.icot.stage import train_pair
    from retrace.training.trainer import set_seed

    set_seed(args.seed)
    base, tokenizer = load_model(args.model, "decoder_only", "float32")
    emulator = Emulator(copy.deepcopy(base), options.mixture_size, options.softmax_temperature)
    train_pair(args, options, Coupled(emulator, Student(base)), tokenizer)


if __name__ == "__main__":
    cli.run(main)
