"""Train the student to answer from the teacher's states: the checkpoint icot_student.

    python scripts/train_icot_student.py --model results/mult_2x2/tiny_gpt2/seed0/base/model \\
        --teacher results/mult_2x2/tiny_gpt2/seed0/explicit_cot/model --states explicit_cot/states \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --seed 0 --state icot_student/state --output icot_student/model

In: the base model's folder, the teacher's, its states (cache_states.py; with --cached false the teacher computes them in
every step), training and development examples. Out: a folder with the tokenizer, student/ and curves.jsonl; the weights
are those that did best on the development examples. A run that was killed goes on from its --state folder.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.icot.arguments import add_arguments
from retrace.systems.icot.options import StudentTraining, TeacherStates


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, StudentTraining, TeacherStates)
    add_arguments(parser)
    given = parser.parse_args(arguments)
    options, of_states = cli.section_from(given, StudentTraining), cli.section_from(given, TeacherStates)

    from retrace.systems.icot.files import write_parts
    from retrace.systems.icot.networks import Student
    from retrace.systems.icot.stage import keeps_each, open_stage, write_stage
    from retrace.systems.icot.train import train_student

    stage = open_stage(given, options, of_states)
    student = Student(stage.base)
    curve = train_student(
        student,
        stage.rows,
        stage.dev_rows,
        stage.states,
        stage.dev_states,
        stage.tokenizer.pad_token_id,
        options,
        given.seed,
        given.state,
        keeps_each(options, given.state, lambda folder: write_parts(folder, stage.tokenizer, student=student)),
    )
    write_stage(given.output, given.state, stage.tokenizer, curve, student=student)


if __name__ == "__main__":
    cli.run(main)
