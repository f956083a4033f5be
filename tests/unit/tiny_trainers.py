"""Every trainer of the project on a tiny model, for tests that hold for all of them. A new one joins TRAINERS.

    python scripts/launch.py --processes 2 tests/unit/tiny_trainers.py NAME... --folder FOLDER

trains some of them by the launcher: FOLDER/NAME/state is their state, FOLDER/NAME/model the checkpoint with curve.json.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run by the launcher, without pytest's path
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "scripts")]

import torch
from torch import nn
from transformers import TrainerCallback

from retrace.models.discriminator import StepDiscriminator, load_discriminator
from retrace.models.encoder_head import scratch_encoder
from retrace.models.load import load_model
from retrace.models.verifier import Verifier, load_verifier
from retrace.prompting.prompting import Prompting
from retrace.schemas import Example, MarkedAnswer, Pair, Preference, Trajectory
from retrace.systems.dpo_st import dpo
from retrace.systems.dpo_st.options import DpoTraining
from retrace.systems.grace.options import DiscriminatorTraining, VerifierTraining
from retrace.systems.grace.train_discriminator import pair_rows, train_discriminator
from retrace.systems.grace.train_verifier import solution_rows, train_verifier
from retrace.systems.icot import train as implicit
from retrace.systems.icot.files import load_coupled, load_emulator, load_student, write_parts
from retrace.systems.icot.options import TeacherStates
from retrace.systems.icot.states import ComputedStates
from retrace.systems.icot_si.options import StepwiseTraining
from retrace.systems.icot_si.train import train_stepwise
from retrace.systems.learn_to_reason import lessons as learn_to_reason
from retrace.systems.learn_to_reason.options import LearnToReasonTraining
from retrace.training import separated, sft
from retrace.training.accuracy import GreedyAccuracy
from retrace.training.data import generator_rows
from retrace.training.options import SeparatedTraining, SftTraining, Training
from retrace.training.separated_rows import SeparatedRows
from retrace.training.trainer import is_first_process, set_seed
from unit import implicit_world as world
from unit.tiny_latro import Latro
from unit.tiny_models import arithmetic_task, problems, tiny_generator, write_in_this_process

TASK = arithmetic_task()
EXAMPLES = problems(64)
HELD_OUT = 16
OPTIONS = {"batch_size": 16, "device_batch_size": 4, "max_steps": 8, "evaluations": 2, "learning_rate": 3e-3}
Callbacks = Sequence[TrainerCallback]


class OfGenerators:
    """What trainers of generators write and read again."""

    def __init__(self, family: str) -> None:
        self.family = family

    def save(self, model: nn.Module, curve: list[dict], folder: Path) -> None:
        sft.write_generator(model, self.tokenizer, curve, folder)

    def load(self, folder: Path) -> nn.Module:
        return load_model(folder, self.family)[0]


class Sft(OfGenerators):
    """Fine-tuning a generator, or with other options training it from scratch."""

    def __init__(self, family: str, options: type[Training] = SftTraining) -> None:
        super().__init__(family)
        self.options = options

    def train(
        self, state: Path, callbacks: Callbacks = (), dropout: float = 0.0, **changes
    ) -> tuple[nn.Module, list[dict]]:
        model, self.tokenizer = tiny_generator(TASK, EXAMPLES, self.family, dropout)
        rows = generator_rows(EXAMPLES, TASK, self.tokenizer, self.family, 512)
        options = self.options(**OPTIONS | changes)
        return model, sft.train_generator(
            model, self.tokenizer, rows[HELD_OUT:], rows[:HELD_OUT], options, 0, state, callbacks
        )


class Discriminator:
    """Training the step discriminator; what is right is the reference's last step, what is wrong another number."""

    def train(
        self, state: Path, callbacks: Callbacks = (), dropout: float = 0.0, **changes
    ) -> tuple[nn.Module, list[dict]]:
        _, tokenizer = tiny_generator(TASK, EXAMPLES)
        set_seed(0)
        network = StepDiscriminator(scratch_encoder(tokenizer, 16, 1, 2, 32, dropout, seed=0), tokenizer)
        pairs = [
            Pair(
                example_id=example.id,
                split="train",
                question=example.question,
                prefix=example.steps[:-1],
                positive=example.steps[-1],
                negative=f"<<{number}+1={number + 1}>>",
            )
            for number, example in enumerate(EXAMPLES)
        ]
        rows = pair_rows(network, TASK, pairs)
        options = DiscriminatorTraining(**OPTIONS | changes)
        return network, train_discriminator(network, rows[HELD_OUT:], rows[:HELD_OUT], options, 0, state, callbacks)

    def save(self, network: nn.Module, curve: list[dict], folder: Path) -> None:
        network.save(folder, "discriminator")

    def load(self, folder: Path) -> nn.Module:
        return load_discriminator(folder)


class OutcomeVerifier:
    """Training the verifier; what is right is the reference, what is wrong another answer."""

    def train(
        self, state: Path, callbacks: Callbacks = (), dropout: float = 0.0, **changes
    ) -> tuple[nn.Module, list[dict]]:
        _, tokenizer = tiny_generator(TASK, EXAMPLES)
        set_seed(0)
        network = Verifier(scratch_encoder(tokenizer, 16, 1, 2, 32, dropout, seed=0), tokenizer, outputs=2)
        solutions = [
            Trajectory(
                example_id=example.id,
                text=text,
                steps=[],
                final_answer=None,
                correct=correct,
                tokens=1,
                logprob=-1.0,
                sampling_seed=0,
            )
            for number, example in enumerate(EXAMPLES)
            for text, correct in ((TASK.solution_text(example), True), (f"| #### {number}", False))
        ]
        rows = solution_rows(network, {example.id: example for example in EXAMPLES}, solutions)
        options = VerifierTraining(**OPTIONS | changes)
        return network, train_verifier(network, rows[HELD_OUT:], rows[:HELD_OUT], options, 0, state, callbacks)

    def save(self, network: nn.Module, curve: list[dict], folder: Path) -> None:
        network.save(folder, "verifier")

    def load(self, folder: Path) -> nn.Module:
        return load_verifier(folder)


class Dpo(OfGenerators):
    """Preference optimisation: our trainer for an encoder-decoder, TRL's for a decoder-only model."""

    def train(
        self, state: Path, callbacks: Callbacks = (), dropout: float = 0.0, **changes
    ) -> tuple[nn.Module, list[dict]]:
        model, self.tokenizer = tiny_generator(TASK, EXAMPLES, self.family, dropout)
        pairs = [
            Preference(
                example_id=example.id,
                split="train",
                question=example.question,
                chosen=TASK.solution_text(example),
                rejected=TASK.solution_text(EXAMPLES[number - 1]),
                similarity=0.5,
            )
            for number, example in enumerate(EXAMPLES)
        ]
        rows, _ = dpo.preference_rows(pairs, TASK, self.tokenizer, self.family, 512)
        options = DpoTraining(**OPTIONS | {"dropout": True} | changes)
        rows = dpo.with_reference(rows, model, self.tokenizer.pad_token_id, 16, "float32")
        learned, held_out = rows[HELD_OUT:], rows[:HELD_OUT]
        if self.family == "encoder_decoder":
            return model, dpo.train_dpo(model, self.tokenizer, learned, held_out, options, 0, state, callbacks)
        from retrace.systems.dpo_st.dpo_causal import train_dpo_causal

        # With FSDP, TRL loads the model's folder once more.
        folder = state.parent / f"start{os.environ.get('RANK', '0')}"
        write_in_this_process(model, self.tokenizer, folder)
        model.config._name_or_path = str(folder)
        return train_dpo_causal(model, self.tokenizer, learned, held_out, options, 0, state, callbacks)


def by_chance(text: str, example: Example) -> bool:
    """Half of all answers are right, whatever a model has learned."""
    return (len(text) + int(example.id[-1])) % 2 == 0


class LearnToReason(OfGenerators):
    """Training on rationales and mistakes; the mistakes are other numbers. options: changes of the training's."""

    def __init__(self, family: str, **options: object) -> None:
        super().__init__(family)
        self.options = options

    def train(
        self, state: Path, callbacks: Callbacks = (), dropout: float = 0.0, **changes
    ) -> tuple[nn.Module, list[dict]]:
        model, self.tokenizer = tiny_generator(TASK, EXAMPLES, self.family, dropout)
        options = LearnToReasonTraining(**OPTIONS | self.options | changes)
        mistakes = [
            MarkedAnswer(example_id=example.id, text=f"<<{number}+1=0>> | #### 0", answer="0", correct=False)
            for number, example in enumerate(EXAMPLES[:40])
        ]
        rationales = [(example.id, TASK.solution_text(example)) for example in EXAMPLES]
        lessons = learn_to_reason.make_lessons(TASK, EXAMPLES, rationales, mistakes, options)
        prompting = Prompting(TASK, self.family, self.tokenizer)
        encoded = learn_to_reason.encode_lessons(lessons, prompting, options, 512)
        dev = [row for lesson in encoded[:HELD_OUT] for row in lesson.samples]
        measured = GreedyAccuracy(prompting, EXAMPLES[: HELD_OUT - 1], 12, 4, grade=by_chance)
        curve, _ = learn_to_reason.train_lessons(
            model, self.tokenizer, encoded[HELD_OUT:], dev, options, 0, state, callbacks=callbacks, accuracy=measured
        )
        return model, curve


class Stepwise(OfGenerators):
    """Stepwise internalization on 2 x 2 multiplication; after three steps no token of the steps is left."""

    tokenizer = world.tokenizer()

    def __init__(self) -> None:
        super().__init__("decoder_only")

    def train(
        self, state: Path, callbacks: Callbacks = (), dropout: float = 0.0, **changes
    ) -> tuple[nn.Module, list[dict]]:
        rows, dev_rows = implicit_rows()
        values = OPTIONS | {"dropout": dropout, "remove_per_epoch": 3, "remove_all_beyond": 2} | changes
        options = StepwiseTraining(**values)
        model = world.base(spread=0.02)
        given = separated.Training(rows, dev_rows, 0, options, 0, state, callbacks)
        return model, train_stepwise(model, given, options)


def implicit_rows() -> list[SeparatedRows]:
    """Training and development rows of 2 x 2 multiplication."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            world.rows_of(Path(folder), world.examples(count, split), name=split)
            for split, count in (("train", 64 - HELD_OUT), ("dev", HELD_OUT))
        ]


class Implicit:
    """A stage of implicit chain of thought on 2 x 2 multiplication; the teacher is a fresh network."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def train(
        self, state: Path, callbacks: Callbacks = (), dropout: float = 0.0, **changes
    ) -> tuple[nn.Module, list[dict]]:
        rows, dev_rows = implicit_rows()
        options = SeparatedTraining(**OPTIONS | {"dropout": dropout} | changes)
        given = separated.Training(rows, dev_rows, 0, options, 0, state, callbacks)
        if self.stage == "no_cot":
            model: nn.Module = world.base(spread=0.02)
            return model, separated.train_text(model, given, "no_cot")
        both = world.coupled(layers=4, spread=0.02)
        if self.stage == "icot":
            return both, implicit.train_coupled(both, given)
        teacher = world.base(layers=4, seed=9, spread=0.02)
        states = [ComputedStates(teacher, part, TeacherStates(), 0) for part in (rows, dev_rows)]
        if self.stage == "icot_student":
            return both.student, implicit.train_student(both.student, given, *states)
        return both.emulator, implicit.train_emulator(both.emulator, given, *states)

    def save(self, model: nn.Module, curve: list[dict], folder: Path) -> None:
        if self.stage == "no_cot":
            sft.write_generator(model, world.tokenizer(), curve, folder, "no_cot")
            return
        folder.mkdir(parents=True)
        parts = {"icot_student": {"student": model}, "icot_emulator": {"emulator": model}}
        if self.stage == "icot":
            parts["icot"] = {"student": model.student, "emulator": model.emulator}
        write_parts(folder, world.tokenizer(), **parts[self.stage])

    def load(self, folder: Path) -> nn.Module:
        if self.stage == "no_cot":
            return load_model(folder, "decoder_only")[0]
        if self.stage == "icot":
            return load_coupled(folder)[0]
        return load_student(folder) if self.stage == "icot_student" else load_emulator(folder)


TRAINERS = {
    "sft_encoder_decoder": Sft("encoder_decoder"),
    "sft_decoder_only": Sft("decoder_only"),
    "discriminator": Discriminator(),
    "verifier": OutcomeVerifier(),
    "dpo_encoder_decoder": Dpo("encoder_decoder"),
    "dpo_decoder_only": Dpo("decoder_only"),
    "learn_to_reason_encoder_decoder": LearnToReason("encoder_decoder"),
    "learn_to_reason_decoder_only": LearnToReason("decoder_only"),
    "learn_to_reason_accuracy": LearnToReason("decoder_only", keep="accuracy", merge_losses=False),
    **{stage: Implicit(stage) for stage in ("no_cot", "icot_student", "icot_emulator", "icot")},
    "icot_si": Stepwise(),
    "latro": Latro(),
}


class KillAt(TrainerCallback):
    """Ends this process, as a kill would, after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def allow_fsdp_on_cpu() -> None:
    """accelerate leaves FSDP out where there is no GPU, though torch's runs on the CPU, too: let it in."""
    import accelerate.accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    class Anywhere(AcceleratorState):
        def __init__(self, *args, fsdp_plugin=None, **kwargs) -> None:
            super().__init__(*args, fsdp_plugin=fsdp_plugin, **kwargs)
            if fsdp_plugin is not None:
                self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
                self.fsdp_plugin = fsdp_plugin

    accelerate.accelerator.AcceleratorState = Anywhere


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=TRAINERS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--options", type=json.loads, default={}, help="changes of the training's options, JSON")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--kill-at", type=int, help="step after which each process kills itself")
    parser.add_argument("--silent", type=int, help="process all of whose LaTRO rationales are empty")
    parser.add_argument("--fsdp-on-cpu", action="store_true")
    given = parser.parse_args()
    TRAINERS["latro"].silent = given.silent
    if given.fsdp_on_cpu:
        allow_fsdp_on_cpu()
    torch.set_num_threads(1)
    callbacks = [KillAt(given.kill_at)] if given.kill_at else []
    for name in given.names:
        trainer, folder = TRAINERS[name], given.folder / name
        model, curve = trainer.train(folder / "state", callbacks, given.dropout, **given.options)
        if is_first_process():
            trainer.save(model, curve, folder / "model")
            (folder / "model" / "curve.json").write_text(json.dumps(curve))


if __name__ == "__main__":
    from retrace import cli

    cli.run(lambda arguments: main())
