"""LaTRO's training on a tiny model, for the tests that hold for all trainers."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn
from transformers import TrainerCallback

from retrace.models.load import load_model
from retrace.models.options import ModelConfig
from retrace.prompting.prompting import prompting_of
from retrace.systems.latro.options import LatroTraining
from retrace.systems.latro.rollouts import RationaleWriter
from retrace.systems.latro.run import train_latro
from retrace.text.calculator import Calculator
from retrace.training import sft
from retrace.training.trainer import set_seed
from unit.tiny_models import arithmetic_task, problems, tiny_folder

TASK = arithmetic_task()
EXAMPLES = problems(64)
HELD_OUT = 16
CONFIG = ModelConfig(name="tiny", title="Tiny", family="decoder_only", scratch={})
OPTIONS = {
    "batch_size": 16,
    "device_batch_size": 4,
    "rationales": 4,
    "max_steps": 8,
    "evaluations": 2,
    "learning_rate": 3e-3,
    "max_rationale_tokens": 12,
    "max_answer_tokens": 8,
    "sft_penalty": 0.1,
    "stop_on_decline": False,
}


class Latro:
    """Training on rationales that the model rewards itself. Dropout is off in it, whatever the model's."""

    silent: int | None = None  # the process all of whose rationales are empty

    def train(
        self, state: Path, callbacks: Sequence[TrainerCallback] = (), dropout: float = 0.0, **changes
    ) -> tuple[nn.Module, list[dict]]:
        options = LatroTraining(**OPTIONS | changes)
        with tempfile.TemporaryDirectory() as folder:  # the reference model is read from it once more
            tiny_folder(Path(folder) / "base", TASK, EXAMPLES, "decoder_only")
            set_seed(0)
            model, self.tokenizer = load_model(Path(folder) / "base", "decoder_only")
            writer = RationaleWriter(
                prompting_of(TASK, CONFIG, self.tokenizer), model, options, 0, Calculator(self.tokenizer)
            )
            questions = writer.questions(EXAMPLES, model, "examples")
            if self.silent is not None and os.environ.get("RANK") == str(self.silent):
                sample = writer.sample
                writer.sample = lambda *given: [replace(row, ids=[], sampled=[]) for row in sample(*given)]

            def judge(question, text: str) -> tuple[bool, bool]:
                return len(text) % 3 == 0, False

            given = (questions[HELD_OUT:], questions[:HELD_OUT], judge, options, 0, state)
            curve, _ = train_latro(model, writer, *given, callbacks=callbacks)
        return model, curve

    def save(self, model: nn.Module, curve: list[dict], folder: Path) -> None:
        sft.write_generator(model, self.tokenizer, curve, folder)

    def load(self, folder: Path) -> nn.Module:
        return load_model(folder, "decoder_only")[0]
