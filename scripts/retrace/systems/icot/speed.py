"""How fast the three ways of implicit chain of thought answer: measured side by side, and drawn against accuracy."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from retrace.errors import UserError
from retrace.evaluation.result import Result
from retrace.schemas import Row

WAYS = ("no_cot", "explicit_cot", "icot")


class Written(NamedTuple):
    """What was written for some questions."""

    tokens: int
    truncated: int  # answers that the limit cut off


Answer = Callable[[Sequence[int], int], Written]  # of numbers of the questions and a batch size


class Timing(Row):
    """One way at one batch size."""

    batch_size: int = Field(ge=1, description="questions decoded together")
    seconds_per_question: float = Field(
        gt=0, description="median over the rounds, wall time; at batch size 1: the latency"
    )
    questions_per_second: float = Field(gt=0)
    normalised: float | None = Field(
        gt=0,
        description="questions per second divided by no-CoT's at the same batch size; null: no-CoT was not measured",
    )
    tokens_per_question: float = Field(ge=0)
    truncated: int | None = Field(
        default=None,
        ge=0,
        description="answers cut off at icot_speed.max_new_tokens, which look faster than they are; null: not counted",
    )
    rounds: list[float] = Field(description="seconds per question of each round")


class Speed(Row):
    """results/{task}/{model}/icot_speed.json."""

    kind: Literal["icot_speed"] = "icot_speed"
    unit: str = "seconds are wall time of one process; all ways answer the same questions in turn"
    task: str
    model: str
    preset: str
    questions: int
    device: str
    threads: int = Field(description="of the processor; 0: a GPU computes")
    dtype: str
    ways: dict[str, list[Timing]]
    missing: dict[str, str] = Field(default={}, description="ways that were not measured, and why")
    explicit_over_implicit: float | None = Field(
        description="how many times as fast implicit is as explicit at batch size 1; null: one was not measured there"
    )


def measure(
    ways: Mapping[str, Answer],
    questions: int,
    batch_sizes: Sequence[int],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[Timing]]:
    """Time all ways at all batch sizes, in `repeats` rounds in which each way has its turn.

    ways: for each name a function that answers the questions of these numbers. The first calls, which load and warm up
    what is needed, do not count.
    """
    numbers = range(questions)
    for answer in ways.values():
        answer(numbers[: min(questions, max(batch_sizes))], max(batch_sizes))
        answer(numbers[:1], 1)
    seconds: dict[tuple[str, int], list[float]] = {(way, size): [] for way in ways for size in batch_sizes}
    written: dict[tuple[str, int], Written] = {}
    for _ in range(repeats):
        for size in batch_sizes:
            for way, answer in ways.items():
                began = clock()
                written[way, size] = answer(numbers, size)
                seconds[way, size].append((clock() - began) / questions)
    middle = {key: statistics.median(values) for key, values in seconds.items()}
    return {
        way: [
            Timing(
                batch_size=size,
                seconds_per_question=middle[way, size],
                questions_per_second=1 / middle[way, size],
                normalised=middle["no_cot", size] / middle[way, size] if "no_cot" in ways else None,
                tokens_per_question=written[way, size].tokens / questions,
                truncated=written[way, size].truncated,
                rounds=seconds[way, size],
            )
            for size in batch_sizes
        ]
        for way in ways
    }


def latency_ratio(timings: Mapping[str, Sequence[Timing]]) -> float | None:
    """How many times as long an explicit answer takes as an implicit one at batch size 1; None: one was not measured."""
    alone = {way: one.seconds_per_question for way, found in timings.items() for one in found if one.batch_size == 1}
    return alone["explicit_cot"] / alone["icot"] if {"explicit_cot", "icot"} <= set(alone) else None


def missing_ways(timings: Mapping[str, Sequence[Timing]]) -> dict[str, str]:
    """Ways without timings, with reasons."""
    reason = (
        "a released emulator and student were measured, and no checkpoint {} was given beside them; leave out "
        "icot.released_student and icot.released_emulator to train all three and have them compared"
    )
    return {way: reason.format(way) for way in WAYS if way not in timings}


def notes_on_truncated(timings: Mapping[str, Sequence[Timing]], questions: int, limit: int) -> list[str]:
    """A sentence for each way some of whose answers were cut off, with the mend."""
    cut = {way: max(one.truncated or 0 for one in found) for way, found in timings.items()}
    return [
        f"{way}: {count} of {questions} answers were cut off at {limit} token(s), so that this way looks faster than it "
        "is; raise icot_speed.max_new_tokens"
        for way, count in cut.items()
        if count
    ]


# Colors that the common kinds of color blindness keep apart; markers differ, too.
_STYLES = {"no_cot": ("#0072b2", "o"), "icot": ("#009e73", "D"), "explicit_cot": ("#d55e00", "s")}
_NAMES = {"no_cot": "no CoT", "icot": "implicit CoT", "explicit_cot": "explicit CoT"}


def draw(pairs: Sequence[tuple[Speed, Mapping[str, Result]]], output: str | Path) -> None:
    """Accuracy over answers per second, one panel per task; filled: one question at a time, hollow: the largest batch."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "retrace", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(1.2 + 3.6 * len(pairs), 4.4), layout="constrained")
        panels = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
        for axes, (speed, results) in zip(panels, pairs, strict=True):
            for way, (color, marker) in _STYLES.items():
                if way not in speed.ways:
                    continue
                accuracy = results[way].accuracy
                timings = sorted(speed.ways[way], key=lambda timing: timing.batch_size)
                for timing in dict.fromkeys((0, len(timings) - 1)):
                    axes.errorbar(
                        [timings[timing].questions_per_second],
                        [100 * accuracy.value],
                        yerr=[[100 * (accuracy.value - accuracy.low)], [100 * (accuracy.high - accuracy.value)]],
                        color=color,
                        marker=marker,
                        markerfacecolor=color if timing == 0 else "none",
                        elinewidth=0.9,
                        capsize=3,
                        linestyle="none",
                        label=f"{_NAMES[way]}, batch {timings[timing].batch_size}",
                    )
            axes.set_xscale("log")
            axes.set_xlabel(f"answers per second ({speed.device})", fontsize=8)
            axes.set_title(
                f"{speed.task}, {speed.model}, preset {speed.preset}: {results['icot'].n} questions", fontsize=8
            )
            axes.grid(color="#dddddd", linewidth=0.6)
        panels[0].set_ylabel("accuracy, %")
        panels[-1].legend(fontsize=7)
        title = "Accuracy against speed: no, implicit and explicit chain of thought"
        figure.suptitle(title, fontsize=10)
        figure.savefig(output, format="svg", metadata={"Date": None, "Title": title})


def paired(speeds: Sequence[Speed], results: Sequence[Result]) -> list[tuple[Speed, dict[str, Result]]]:
    """Each speed with the results of its ways, task and model. Raises UserError where one is missing."""
    found = {(result.task, result.model, result.method): result for result in results}
    pairs = []
    for speed in speeds:
        missing = [way for way in speed.ways if (speed.task, speed.model, way) not in found]
        if missing:
            raise UserError(
                f"--results: the accuracy of {missing[0]} on {speed.task} with {speed.model} is missing; give "
                f"results/{speed.task}/{speed.model}/{missing[0]}_acc.json"
            )
        pairs.append((speed, {way: found[speed.task, speed.model, way] for way in speed.ways}))
    return pairs
