"""Shared code of the programs that sample training questions. No heavy imports, so --help is fast."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from retrace import cli
from retrace.schemas import Example, Trajectory
from retrace.sections import BatchSize

if TYPE_CHECKING:
    from retrace.decoding.sampling import Answers, Generated
    from retrace.decoding.setup import Generator
    from retrace.tasks.base import Task


class SamplingOptions(Protocol):
    """Sampling options of every such program."""

    temperature: float
    top_k: int
    top_p: float
    max_new_tokens: int
    batch_size: BatchSize


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every program that samples solutions."""
    parser.add_argument("--model", required=True, help="checkpoint folder")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    cli.add_form(parser)
    parser.add_argument("--data", required=True, help="Example rows of the training split")
    parser.add_argument("--seed", type=int, required=True, help="seed of the random numbers")
    parser.add_argument("--shard", type=int, default=0, help="number of the block of rows, from 0 (default 0)")
    parser.add_argument("--shards", type=int, default=1, help="number of blocks (default 1)")
    parser.add_argument("--output", required=True, help="Trajectory rows")


def draw(
    generator: "Generator",
    prompts: Sequence[str],
    keys: Sequence[str],
    options: SamplingOptions,
    samples: int,
    seed: int,
    first_sample: int,
) -> "Iterator[Answers]":
    """Sampled solutions of the prompts, in batches: NOT in the order of the prompts.

    Args:
        generator: Model and task.
        prompts: One for each question.
        keys: Ids of the questions; with the seed and a sample's number they determine the random numbers.
        options: Options of sampling.
        samples: Number of samples per question.
        seed: Seed of the random numbers.
        first_sample: Number of the first sample.
    """
    from retrace.decoding.sampling import generate

    return generate(
        generator.decoder,
        prompts,
        keys,
        samples=samples,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        max_new_tokens=options.max_new_tokens,
        calculator=generator.calculator,
        seed=seed,
        batch_size=options.batch_size,
        first_sample=first_sample,
        stops=generator.stops,
    )


def trajectory_of(task: "Task", example: Example, one: "Generated", sampling_seed: int) -> Trajectory:
    """Convert a sampled solution to a graded trajectory."""
    return Trajectory(
        example_id=example.id,
        text=one.text,
        steps=task.split_steps(one.text),
        final_answer=task.extract(one.text),
        correct=task.grade(one.text, example.answer),
        tokens=one.tokens,
        logprob=one.logprob,
        sampling_seed=sampling_seed,
    )
