"""Development accuracy during a training: greedy answers of any generator, graded as the task grades them.

An `Evaluation` of the common trainer (retrace.training.trainer). It decodes with the engine of the decoders, so a
checkpoint is chosen by what it will be scored by. The processes of a training share out the questions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from retrace.decoding.sampling import generate
from retrace.decoding.setup import decoder_of
from retrace.errors import UserError
from retrace.models.exact import set_attention
from retrace.models.share import share
from retrace.prompting.prompting import Prompting
from retrace.schemas import Example
from retrace.text.calculator import Calculator
from retrace.text.token_text import TokenText

Grader = Callable[[str, Example], bool]  # whether a solution's text answers the question


class GreedyAccuracy:
    """Share of the questions whose greedy answer is right: `{"accuracy": ...}`.

    calculator: forces the results of computations; None: no calculator. grade: of a solution's text; default: the task's
    own grader. batch_size: questions decoded together. also: further evaluations, such as the development loss, whose
    metrics are added. No random number is drawn, and the model is left as it was found.
    """

    decodes = True  # the trainer hands over a model that one process can use alone

    def __init__(
        self,
        prompting: Prompting,
        examples: Sequence[Example],
        max_new_tokens: int,
        batch_size: int = 64,
        calculator: Calculator | None = None,
        grade: Grader | None = None,
        also: Sequence[Callable[[Any], dict[str, float]]] = (),
    ) -> None:
        if not examples:
            raise UserError("no development questions to measure the accuracy on; check the split and its limits")
        self.prompting = prompting
        # Neighbors are of like length, so that processes which take turns have equally much to do.
        self.examples = sorted(examples, key=lambda example: len(example.question))
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.calculator = calculator
        self.grade = grade or (lambda text, example: prompting.task.grade(text, example.answer))
        self.also = also
        self.text = calculator.text if calculator is not None else TokenText(prompting.tokenizer)

    def __call__(self, model: Any) -> dict[str, float]:
        """The metrics of the model as it is. In a training of several processes all must call it."""
        metrics: dict[str, float] = {}
        for evaluation in self.also:
            metrics |= evaluation(model)
        shared = share()
        mine = self.examples[shared.index :: shared.of]
        right = self._right(model, mine) if mine else 0
        counted = shared.total(torch.tensor([right], dtype=torch.float64))
        return metrics | {"accuracy": counted.item() / len(self.examples)}

    def _right(self, model: Any, examples: Sequence[Example]) -> int:
        """How many of the examples the model answers right."""
        right = 0
        # Decoding may make weights anew (float64 and back); inference mode's are of no use to a training.
        with torch.inference_mode(False), torch.no_grad(), unchanged(model):
            for answers in generate(
                decoder_of(model, self.prompting),
                [self.prompting.text(example.question) for example in examples],
                [example.id for example in examples],
                max_new_tokens=self.max_new_tokens,
                calculator=self.calculator,
                batch_size=self.batch_size,
                stops=self.prompting.stops,
                writer=self.text,
            ):
                right += self.grade(answers.samples[0].text, examples[answers.index])
        return right


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Whatever decoding does to a model inside (mode, attention, exact layers, wider numbers) is undone at the end."""
    modes = [(module, module.training) for module in model.modules()]
    replaced = [
        (module, name, module.__dict__.get(name)) for module in model.modules() for name in ("forward", "_attn")
    ]
    attention = getattr(getattr(model, "config", None), "_attn_implementation", None)
    dtype = next(model.parameters()).dtype
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for module, name, own in replaced:
            if own is not None:
                setattr(module, name, own)
            else:
                module.__dict__.pop(name, None)
        if attention is not None:
            set_attention(model, attention)
        if next(model.parameters()).dtype != dtype:
            model.to(dtype)
