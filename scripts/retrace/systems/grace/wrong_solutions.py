"""Search for wrong solutions to training questions: when a block is done, and the prompts of each pass.

A pass samples solutions for every question in the unfinished blocks. Blocks are independent, so neither shards nor
batches change the result.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from retrace.errors import UserError
from retrace.prompting.prompting import Prompting
from retrace.schemas import Example
from retrace.systems.grace.options import Sampling


class Block(NamedTuple):
    """Questions `start` to `stop` - 1 of the data, and the number of wrong solutions wanted from all of them."""

    start: int
    stop: int
    wanted: int


def blocks_of(questions: int, size: int, incorrect: int) -> list[Block]:
    """Blocks of `size` questions (the last may be smaller) whose shares add up to `incorrect`."""
    edges = [*range(0, questions, size), questions]
    return [
        Block(start, stop, incorrect * stop // questions - incorrect * start // questions)
        for start, stop in pairwise(edges)
    ]


@dataclass
class Search:
    """Progress of each block.

    A block is done when it has its share, when its last `idle_passes` passes found nothing new, or after `max_passes`;
    all solutions of its last pass are kept.
    """

    blocks: Sequence[Block]
    options: Sampling
    passes: int = 0
    found: list[int] = field(init=False)  # distinct wrong solutions per block
    idle: list[int] = field(init=False)  # passes since the last new one

    def __post_init__(self) -> None:
        self.found = [0] * len(self.blocks)
        self.idle = [0] * len(self.blocks)

    @property
    def wanted(self) -> int:
        return sum(block.wanted for block in self.blocks)

    @property
    def reached(self) -> bool:
        return all(found >= block.wanted for found, block in zip(self.found, self.blocks, strict=True))

    def going(self) -> set[int]:
        """Blocks of the next pass."""
        if 0 <= self.options.max_passes <= self.passes:
            return set()
        return {
            number
            for number, block in enumerate(self.blocks)
            if self.found[number] < block.wanted and self.idle[number] < self.options.idle_passes
        }

    def finish_pass(self, new: Sequence[int]) -> None:
        """Record a pass. new: number of distinct new wrong solutions of each block."""
        self.passes += 1
        for number, count in enumerate(new):
            self.found[number] += count
            self.idle[number] = 0 if count else self.idle[number] + 1

    def shortfall(self) -> str | None:
        """One line on why blocks have fewer than their share; None if all reached it."""
        if self.reached:
            return None
        short = [number for number, block in enumerate(self.blocks) if self.found[number] < block.wanted]
        idle = sum(self.idle[number] >= self.options.idle_passes for number in short)
        reasons = [
            f"{idle} of {len(self.blocks)} blocks found nothing new in {self.options.idle_passes} passes"
            if idle
            else "",
            f"{len(short) - idle} of {len(self.blocks)} blocks ended at sample.max_passes {self.options.max_passes}"
            if len(short) > idle
            else "",
        ]
        return (
            f"{sum(self.found)} of {self.wanted} wrong solutions were found: {'; '.join(filter(None, reasons))}. "
            "A higher sample.temperature finds more"
        )


class Examples:
    """Worked examples for each pass, drawn from a pool independently of sharding.

    Raises UserError if the pool is too small, or if the checkpoint's prompts cannot contain worked examples.
    """

    def __init__(self, prompting: Prompting, pool: Sequence[Example], count: int, seed: int, source: str) -> None:
        if prompting.separated or prompting.task.form != "steps":
            raise UserError(
                "sample.demonstrations_per_pass: the checkpoint was trained on texts without worked examples; set it to 0"
            )
        if len(pool) < count:
            raise UserError(
                f"{source}: has {len(pool)} worked examples, but {count} are needed; lower sample.demonstrations_per_pass"
            )
        self.prompting, self.pool, self.count, self.seed = prompting, list(pool), count, seed

    def prompts(self, questions: Sequence[str], number: int) -> list[str]:
        """The model's inputs in pass `number`.

        A question from the pool is never shown its own solution; it gets one example fewer if the pool has no other.
        """
        drawn = min(self.count + 1, len(self.pool))
        order = random.Random(f"{self.seed}\ndemonstrations of pass {number}").sample(self.pool, drawn)
        prompts = []
        for question in questions:
            shown = [example for example in order if example.question != question][: self.count]
            prompts.append(replace(self.prompting, demonstrations=shown).text(question))
        return prompts
