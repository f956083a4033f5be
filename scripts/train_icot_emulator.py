"""Train the emulator to predict the teacher's states from the question: the checkpoint icot_emulator.

    python scripts/train_icot_emulator.py --model results/mult_2x2/tiny_gpt2/seed0/base/model \\
        --teacher results/mult_2x2/tiny_gpt2/seed0/explicit_cot/model --states explicit_cot/states \\
        --task-file config/tasks/mult_2x2.yaml --train results/data/mult_2x2/train.jsonl \\
        --dev results/data/mult_2x2/dev.jsonl --seed 0 --state icot_emulator/state --output icot_emulator/model

In: the base model's folder, the teacher's, its states (cache_states.py; with --cached false the teacher computes them in
every step), training and development examples. Out: a folder with the tokenizer, emulator/ and curves.jsonl; the weights
are those that did best on the development examples. A killed run resumes from --state.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.icot import part_program
from retrace.systems.icot.options import EmulatorTraining


def main(arguments: Sequence[str] | None = None) -> None:
    part_program.main("emulator", EmulatorTraining, __doc__, arguments)


if __name__ == "__main__":
    cli.run(main)
