"""Train emulator and student together on the answer: the checkpoint icot.

    python scripts/train_icot.py --student icot_student/model --emulator icot_emulator/model \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --seed 0 --state icot/state --output icot/model

In: the folders of student and emulator, training and development examples. Out: a folder with the tokenizer, student/,
emulator/ and curves.jsonl; the weights are those that did best on the development examples. A killed run
resumes from --state. With --couple-at, a student that is not right often enough on the teacher's own states is not
trained further: the folder then holds both as they are, and --report says so. With --released-student and
--released-emulator nothing is trained: the authors' two folders (state_dict.bin, config.json) are converted, with --model
as the base model that both wrap.
"""

import argparse
import sys
from collections.abc import Sequence

from retrace import cli
from retrace.errors import UserError
from retrace.systems.icot.options import CoupledTraining


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
    parser.add_argument("--report", help="JSON file with what a result says of the checkpoint")
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
    from retrace.systems.icot.stage import told_of_pair

    base = args.model
    student = load_student(str(options.released_student), base)
    emulator = load_emulator(str(options.released_emulator), base)
    Coupled(emulator, student)  # checks that sizes match
    with atomic_path(args.output) as folder:
        folder.mkdir()
        write_parts(folder, load_parts_tokenizer(base), student, emulator)
        write_card(folder, told_of_pair(args, options, {}))
    report(args, None)


def train(args: argparse.Namespace, options: CoupledTraining) -> None:
    """Train both together and write the checkpoint; where the student is not ready for it, write them as they are."""
    from retrace.systems.icot.files import accuracy_on_true_states, load_emulator, load_parts_tokenizer, load_student
    from retrace.systems.icot.networks import Coupled
    from retrace.systems.icot.stage import told_of_pair, train_pair, write_stage
    from retrace.training.trainer import set_seed

    set_seed(args.seed)
    reached = accuracy_on_true_states(args.student) if options.couple_at > 0 else None
    student, emulator = load_student(args.student), load_emulator(args.emulator)
    coupled = Coupled(emulator, student, options.fixed_emulator)
    tokenizer = load_parts_tokenizer(args.student)
    if reached is None or reached >= options.couple_at:
        train_pair(args, options, coupled, tokenizer)
        report(args, None)
        return
    note = (
        f"emulator and student were not trained together: from the teacher's own states the student answers "
        f"{100 * reached:.1f} % of the development questions, and icot.couple_at is {options.couple_at:g}"
    )
    print(f"note: {note}", file=sys.stderr)
    write_stage(args.output, args.state, tokenizer, [], student, emulator, told_of_pair(args, options, {}))
    report(args, note)


def report(args: argparse.Namespace, note: str | None) -> None:
    """Write what a result shall say of the checkpoint."""
    from retrace.machine.storage import write_json
    from retrace.training.trainer import is_first_process

    if args.report is not None and is_first_process():
        write_json(args.report, {"note": note})


if __name__ == "__main__":
    cli.run(main)
