"""Train the emulator to predict the teacher's states from the question: the checkpoint icot_emulator.

    python scripts/train_icot_emulator.py --model results/mult_2x2/tiny_gpt2/seed0/base/model \\
        --teacher results/mult_2x2/tiny_gpt2/seed0/explicit_cot/model --states explicit_cot/states \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --seed 0 --state icot_emulator/state --output icot_emulator/model

In: the base model's folder, the teacher's, its states (cache_states.py; with --cached false the teacher computes them in
every step), training and development examples. Out: a folder with the tokenizer, emulator/ and curves.jsonl; the weights
are those that did best on the development examples. A run that was killed goes on from its --state folder.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.icot.arguments import add_arguments
from retrace.systems.icot.options import EmulatorTraining, TeacherStates


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, EmulatorTraining, TeacherStates)
    add_arguments(parser)
    given = parser.parse_args(arguments)
    options, of_states = cli.section_from(given, EmulatorTraining), cli.section_from(given, TeacherStates)

    from retrace.systems.icot.files import write_parts
    from retrace.systems.icot.networks import Emulator
    from retrace.systems.icot.stage import keeps_each, open_stage, write_stage
    from retrace.systems.icot.train import train_emulator

    stage = open_stage(given, options, of_states)
    emulator = Emulator(stage.base, options.mixture_size, options.softmax_temperature)
    curve = train_emulator(
        emulator,
        stage.rows,
        stage.dev_rows,
        stage.states,
        stage.dev_states,
        stage.tokenizer.pad_token_id,
        options,
        given.seed,
        given.state,
        keeps_each(options, given.state, lambda folder: write_parts(folder, stage.tokenizer, emulator=emulator)),
    )
    write_stage(given.output, given.state, stage.tokenizer, curve, emulator=emulator)


if __name__ == "__main__":
    cli.run(main)
