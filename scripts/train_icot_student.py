"""Train the student to answer from the teacher's states: the checkpoint icot_student.

    python scripts/train_icot_student.py --model results/mult_2x2/tiny_gpt2/seed0/base/model \\
        --teacher results/mult_2x2/tiny_gpt2/seed0/explicit_cot/model --states explicit_cot/states \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --seed 0 --state icot_student/state --output icot_student/model

In: the base model's folder, the teacher's, its states (cache_states.py; with --cached false the teacher computes them in
every step), training and development examples. Out: a folder with the tokenizer, student/ and curves.jsonl; the weights
are those that did best on the development examples. A killed run resumes from --state.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.icot import part_program
from retrace.systems.icot.options import StudentTraining


def main(arguments: Sequence[str] | None = None) -> None:
    part_program.main("student", StudentTraining, __doc__, arguments)


if __name__ == "__main__":
    cli.run(main)
