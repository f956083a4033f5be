"""Train emulator and student together on the answer: the checkpoint icot.

    python scripts/train_icot.py --student icot_student/model --emulator icot_emulator/model \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --seed 0 --state icot/state --output icot/model

In: the folders of student and emulator, training and development examples. Out: a folder with the tokenizer, student/,
emulator/ and curves.jsonl; the weights are those that did best on the development examples. A killed run
resumes from --state. With --released-student and --released-emulator nothing is trained: the authors' two folders
(state_dict.bin, config.json) are converted, with --model as the base model that both wrap.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrace import cli
from retrace.errors import UserError
from retrace.systems.icot.options import CoupledTraining

if TYPE_CHECKING:
    from retrace.evaluation.model_card import Trained


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, CoupledTraining)
    parser.add_argument("--student", help="folder of the checkpoint icot_student")
    parser.add_argument("--emulator", help="folder of the checkpoint icot_emulator")
    parser.add_argument("--model", help="folder of the base model, for released checkpoints")
    parser.add_argument("--model-file", help="config/models/NAME.yaml, for the model card")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", help="training examples, JSONL")
    parser.add_argument("--dev", help="development examples, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the checkpoint")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, CoupledTraining)

    if options.released_student is not None:
        need(args, "model")
        bring_in(args, options)
    else:
        need(args, "student", "emulator", "train", "dev")
        train(args, options)


def need(args: argparse.Namespace, *names: str) -> None:
    """Raise UserError for a missing argument that this mode requires."""
    if missing := [name for name in names if getattr(args, name) is None]:
        raise UserError(f"--{missing[0]}: is required here; see --help")


def bring_in(args: argparse.Namespace, options: CoupledTraining) -> None:
    """Convert the released student and emulator to a checkpoint."""
    from retrace.evaluation.model_card import write_card
    from retrace.machine.storage import atomic_path
    from retrace.systems.icot.files import load_emulator, load_parts_tokenizer, load_student, write_parts
    from retrace.systems.icot.networks import Coupled

    base = args.model
    student = load_student(str(options.released_student), base)
    emulator = load_emulator(str(options.released_emulator), base)
    Coupled(emulator, student)  # checks that sizes match
    with atomic_path(args.output) as folder:
        folder.mkdir()
        write_parts(folder, load_parts_tokenizer(base), student, emulator)
        write_card(folder, told(args, options, {}))


def told(args: argparse.Namespace, options: CoupledTraining, on: dict[str, int]) -> "Trained":
    """Contents of the checkpoint's model card. on: its training data."""
    from retrace.evaluation.model_card import Trained

    return Trained(
        args,
        on,
        options,
        network="emulator and student",
        loader="retrace.systems.icot.files.load_coupled",
        asked="It writes only the answer, after the question and a separator, with `decode.py implicit`.",
    )


def train(args: argparse.Namespace, options: CoupledTraining) -> None:
    """Train both together and write the checkpoint."""
    from retrace.systems.icot.files import load_emulator, load_parts_tokenizer, load_student, write_parts
    from retrace.systems.icot.networks import Coupled
    from retrace.systems.icot.stage import write_stage
    from retrace.systems.icot.train import train_coupled
    from retrace.training.separated import Training, keeps_each, read_both
    from retrace.training.trainer import set_seed

    set_seed(args.seed)
    student, emulator = load_student(args.student), load_emulator(args.emulator)
    coupled = Coupled(emulator, student, options.fixed_emulator)
    tokenizer = load_parts_tokenizer(args.student)
    rows, dev_rows = read_both(args, student.base_model, tokenizer, options)
    keeping = keeps_each(options, args.state, lambda folder: write_parts(folder, tokenizer, student, emulator))
    training = Training(rows, dev_rows, tokenizer.pad_token_id, options, args.seed, args.state, keeping)
    curve = train_coupled(coupled, training)
    trained = told(args, options, {"examples": len(rows)})
    write_stage(args.output, args.state, tokenizer, curve, student, emulator, trained)


if __name__ == "__main__":
    cli.run(main)
