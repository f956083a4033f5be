"""Guided decoding as production runs it (`solve_for_betas`), with the predictions in the order of the examples."""

from collections.abc import Iterator, Sequence

from retrace.decoding.guided import solve_for_betas
from retrace.decoding.options import Guided
from retrace.decoding.setup import Generator
from retrace.models.discriminator import StepDiscriminator
from retrace.schemas import Example, Prediction


def decode_for_betas(
    generator: Generator,
    discriminator: StepDiscriminator | None,
    examples: Sequence[Example],
    options: Guided,
    betas: Sequence[float],
    seed: int,
) -> Iterator[list[Prediction]]:
    """For each example a prediction a beta, when all are done."""
    done = dict(solve_for_betas(generator, discriminator, examples, options, betas, seed))
    for index in range(len(examples)):
        yield done[index]


def decode_guided(
    generator: Generator,
    discriminator: StepDiscriminator | None,
    examples: Sequence[Example],
    options: Guided,
    seed: int,
) -> Iterator[Prediction]:
    """One prediction for each example, in order. `options.beta` must be a number; 0 needs no discriminator."""
    for (prediction,) in decode_for_betas(generator, discriminator, examples, options, [options.beta], seed):
        yield prediction
