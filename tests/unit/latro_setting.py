"""A fresh tiny model of LaTRO with its writer and questions, for the tests of rollouts, gradients and training."""

from pathlib import Path

from retrace.models.load import load_model
from retrace.models.options import ModelConfig
from retrace.prompting.prompting import prompting_of
from retrace.systems.latro.options import LatroTraining
from retrace.systems.latro.rollouts import RationaleWriter
from retrace.systems.latro.run import train_latro
from retrace.text.calculator import Calculator
from retrace.training.trainer import set_seed
from unit.tiny_models import arithmetic_task, problems

TASK = arithmetic_task()
EXAMPLES = problems(24)
CONFIG = ModelConfig(name="tiny", title="Tiny", family="decoder_only", scratch={})


def options(**changes) -> LatroTraining:
    values = {
        "rationales": 4,
        "batch_size": 16,
        "device_batch_size": 16,
        "max_steps": 6,
        "evaluations": 3,
        "learning_rate": 1e-3,
        "max_rationale_tokens": 12,
        "max_answer_tokens": 8,
        "kl_coef": 0.1,
    }
    return LatroTraining(**values | changes)


class Setting:
    """A fresh model with its writer and questions."""

    def __init__(self, folder: Path, given: LatroTraining, judge=None) -> None:
        set_seed(0)
        self.options = given
        self.model, tokenizer = load_model(folder, "decoder_only", "float32")
        prompting = prompting_of(TASK, CONFIG, tokenizer)
        self.writer = RationaleWriter(prompting, self.model, given, 0, Calculator(tokenizer))
        self.questions = self.writer.questions(EXAMPLES[:16], self.model, "examples")
        self.dev = self.writer.questions(EXAMPLES[16:], self.model, "examples")
        self.judge = judge or (lambda question, text: (False, False))

    def train(self, state: Path, callbacks=()):
        given = (self.model, self.writer, self.questions, self.dev, self.judge, self.options, 0, state)
        return train_latro(*given, callbacks=callbacks)
