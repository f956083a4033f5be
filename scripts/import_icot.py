"""Bring a released student and emulator into the layout of the checkpoint icot.

    python scripts/import_icot.py --student models/4_by_4_mult/gpt2/student --emulator models/4_by_4_mult/gpt2/emulator \\
        --base results/models/gpt2 --output results/mult_4x4/gpt2/seed0/icot/model

In: the authors' two folders (state_dict.bin, config.json) and that of their base model, whose configuration and tokenizer
are used. Out: a folder with the tokenizer, student/ and emulator/. Nothing is executed while weights are read.
"""

from collections.abc import Sequence

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--student", required=True, help="folder of the released student")
    parser.add_argument("--emulator", required=True, help="folder of the released emulator")
    parser.add_argument("--base", required=True, help="folder of the base model that both wrap")
    parser.add_argument("--output", required=True, help="folder of the checkpoint")
    given = parser.parse_args(arguments)

    from retrace.models.implicit import Coupled
    from retrace.models.implicit_files import load_emulator, load_parts_tokenizer, load_student, write_parts
    from retrace.storage import atomic_path

    student, emulator = load_student(given.student, given.base), load_emulator(given.emulator, given.base)
    Coupled(emulator, student)  # of equal size?
    with atomic_path(given.output) as folder:
        folder.mkdir()
        write_parts(folder, load_parts_tokenizer(given.base), student, emulator)


if __name__ == "__main__":
    cli.run(main)
