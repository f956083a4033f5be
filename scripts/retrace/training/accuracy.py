"""Development accuracy during training: greedy answers of any generator, graded by the task's grader.

An `Evaluation` of the common trainer (retrace.training.trainer). It uses the decoding engine, so that checkpoints are
selected by the metric of the results. The processes of a training divide the questions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from retrace.decoding.sampling import generate
from retrace.decoding.setup import decoder_of
from retrace.errors import UserError
from retrace.models.exact import parts_with_experts, set_attention
from retrace.models.share import share
from retrace.prompting.prompting import Prompting
from retrace.schemas import Example
from retrace.text.calculator import Calculator
from retrace.text.token_text import TokenText

Grader = Callable[[str, Example], bool]  # whether a solution's text is correct


class GreedyAccuracy:
    """Share of the questions whose greedy answer is correct: `{"accuracy": ...}`.

    No random number is drawn, and the model is left unchanged. calculator: forces the results of computations; None: no
    calculator. grade: of a solution's text; default: the task's own grader. batch_size: questions decoded together.
    also: further evaluations, such as the development loss, whose metrics are added.
    """

    decodes = True  # the trainer passes a model that one process can use on its own

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
        # Sorted by length, because processes that take every n-th question then have equal work.
        self.examples = sorted(examples, key=lambda example: len(example.question))
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.calculator = calculator
        self.grade = grade or (lambda text, example: prompting.task.grade(text, example.answer))
        self.also = also
        self.text = calculator.text if calculator is not None else TokenText(prompting.tokenizer)

    def __call__(self, model: Any) -> dict[str, float]:
        """Metrics of the current model. All processes of a training must call it."""
        metrics: dict[str, float] = {}
        for evaluation in self.also:
            metrics |= evaluation(model)
        shared = share()
        mine = self.examples[shared.index :: shared.of]
        right = self._right(model, mine) if mine else 0
        counted = shared.total(torch.tensor([right], dtype=torch.float64))
        return metrics | {"accuracy": counted.item() / len(self.examples)}

    def _right(self, model: Any, examples: Sequence[Example]) -> int:
        """Number of examples that the model answers correctly."""
        right = 0
        # Decoding may recreate weights (float64 and back); weights from inference mode cannot be trained.
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
    """Context that restores the model after decoding (mode, attention, exact layers, precision)."""
    modes = [(module, module.training) for module in model.modules()]
    replaced = [
        (module, name, module.__dict__.get(name)) for module in model.modules() for name in ("forward", "_attn")
    ]
    attention = getattr(getattr(model, "config", None), "_attn_implementation", None)
    experts = [(part, part.get_experts_implementation()) for part in parts_with_experts(model)]
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
        for part, implementation in experts:
            part.set_experts_implementation(implementation)
        if next(model.parameters()).dtype != dtype:
            model.to(dtype)
