"""Compute the teacher's states once, to train student and emulator on.

    python scripts/cache_states.py --teacher results/mult_2x2/tiny_gpt2/seed0/explicit_cot/model \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --output explicit_cot/states

In: the teacher's folder, training and development examples. Out: a folder with `train` and `dev`, each with shards of
bfloat16 numbers [rows, layers, width] and states.json. The size is printed before anything is computed.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.icot.options import TeacherStates


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, TeacherStates)
    parser.add_argument("--teacher", required=True, help="folder of the teacher (checkpoint explicit_cot)")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument("--max-length", type=int, default=1024, help="maximum tokens per example (default 1024)")
    parser.add_argument("--leave-out-long", action="store_true", help="skip longer examples")
    parser.add_argument("--output", required=True, help="folder of the states")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, TeacherStates)

    from retrace.decoding.setup import best_device
    from retrace.machine.storage import atomic_path
    from retrace.models.load import load_model
    from retrace.systems.icot.states import check_teacher, teacher_fingerprint, write_states
    from retrace.tasks.load import load_task
    from retrace.training.separated_rows import read_rows
    from retrace.training.sft import limit_of

    task = load_task(args.task_file)
    check_teacher(args.teacher)
    teacher, tokenizer = load_model(args.teacher, "decoder_only", "float32", best_device())
    limit = limit_of(teacher, args.max_length)
    checksum = teacher_fingerprint(args.teacher)
    with atomic_path(args.output) as folder:
        folder.mkdir()
        for name, path in (("train", args.train), ("dev", args.dev)):
            rows = read_rows(path, task, tokenizer, limit, args.leave_out_long)
            write_states(folder / name, teacher, checksum, rows, options, tokenizer.pad_token_id)


if __name__ == "__main__":
    cli.run(main)
