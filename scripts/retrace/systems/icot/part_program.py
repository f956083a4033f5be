"""Shared main of the programs that train student or emulator alone. Has no heavy imports, so that --help is fast."""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.icot.options import TeacherStates
from retrace.training.options import SeparatedTraining


def main(part: str, section: type[SeparatedTraining], doc: str | None, arguments: Sequence[str] | None) -> None:
    """Run the program.

    Args:
        part: `student` or `emulator`.
        section: its options.
        doc: the program's docstring.
        arguments: its command line; default: that of this process.
    """
    parser = cli.command(doc, section, TeacherStates)
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--teacher", required=True, help="folder of the teacher (checkpoint explicit_cot)")
    parser.add_argument("--states", help="folder of the cached states; needed where --cached is true")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the checkpoint")
    parser.add_argument("--model-file", help="config/models/NAME.yaml, for the model card")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options, of_states = cli.section_from(args, section), cli.section_from(args, TeacherStates)

    from retrace.systems.icot.stage import train_part

    train_part(part, args, options, of_states)
