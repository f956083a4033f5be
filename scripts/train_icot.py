"""Train emulator and student together on the answer: the checkpoint icot.

    python scripts/train_icot.py --student icot_student/model --emulator icot_emulator/model \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --seed 0 --state icot/state --output icot/model

In: the folders of student and emulator, training and development examples. Out: a folder with the tokenizer, student/,
emulator/ and curves.jsonl; the weights are those that did best on the development examples. A run that was killed goes
on from its --state folder.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.config_icot import CoupledTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, CoupledTraining)
    parser.add_argument("--student", required=True, help="folder of the checkpoint icot_student")
    parser.add_argument("--emulator", required=True, help="folder of the checkpoint icot_emulator")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the checkpoint")
    given = parser.parse_args(arguments)
    options = cli.section_from(given, CoupledTraining)

    from retrace.models.implicit import Coupled
    from retrace.models.implicit_files import load_emulator, load_parts_tokenizer, load_student
    from retrace.tasks import load_task
    from retrace.training.implicit import train_coupled
    from retrace.training.implicit_stage import write_stage
    from retrace.training.separated_rows import read_rows
    from retrace.training.sft import limit_of
    from retrace.training.trainer import set_seed

    set_seed(given.seed)
    student, emulator = load_student(given.student), load_emulator(given.emulator)
    coupled = Coupled(emulator, student, options.fixed_emulator)
    tokenizer = load_parts_tokenizer(given.student)
    task, limit = load_task(given.task_file), limit_of(student.base_model, options.max_length)
    rows, dev_rows = (
        read_rows(path, task, tokenizer, limit, options.leave_out_long) for path in (given.train, given.dev)
    )
    curve = train_coupled(coupled, rows, dev_rows, tokenizer.pad_token_id, options, given.seed, given.state)
    write_stage(given.output, given.state, tokenizer, curve, student=student, emulator=emulator)


if __name__ == "__main__":
    cli.run(main)
