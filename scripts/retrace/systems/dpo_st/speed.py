"""How fast solutions are written with the calculator and without it, over batch sizes (figure 4 of DPO-ST)."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from retrace.schemas import Row

WAYS = ("with_calculator", "without_calculator")
Write = Callable[[int], int]  # of a batch size: writes all solutions, and returns their tokens


class SpeedPoint(Row):
    """One way at one batch size."""

    batch_size: int = Field(ge=1, description="questions decoded together")
    tokens_per_second: float = Field(gt=0, description="median over the rounds, wall time")
    speedup: float = Field(gt=0, description="over the calculator at the smallest batch size")
    rounds: list[float] = Field(description="tokens a second of each round")


class CalculatorSpeed(Row):
    """results/{task}/{model}/dpo_st_speed.json."""

    kind: Literal["calculator_speed"] = "calculator_speed"
    task: str
    model: str
    preset: str
    questions: int
    device: str
    threads: int = Field(description="of the processor; 0: a GPU computes")
    dtype: str
    with_calculator: list[SpeedPoint]
    without_calculator: list[SpeedPoint]


def measure(
    ways: Mapping[str, Write],
    batch_sizes: Sequence[int],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[SpeedPoint]]:
    """Time all ways at all batch sizes, in `repeats` rounds in which each has its turn. The first calls do not count.

    ways: `with_calculator` and `without_calculator`.
    """
    for write in ways.values():
        write(max(batch_sizes))
    speeds: dict[tuple[str, int], list[float]] = {(way, size): [] for way in ways for size in batch_sizes}
    for _ in range(repeats):
        for size in batch_sizes:
            for way, write in ways.items():
                began = clock()
                tokens = write(size)
                speeds[way, size].append(tokens / (clock() - began))
    middle = {key: statistics.median(values) for key, values in speeds.items()}
    one = middle[WAYS[0], min(batch_sizes)]
    return {
        way: [
            SpeedPoint(
                batch_size=size,
                tokens_per_second=middle[way, size],
                speedup=middle[way, size] / one,
                rounds=speeds[way, size],
            )
            for size in sorted(batch_sizes)
        ]
        for way in ways
    }
