"""What is measured: time of optimiser steps, memory, and the share of time in which the GPU waits."""

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.profiler import ProfilerActivity, profile

PAUSE = 0.5e9  # nanoseconds without a kernel that belong to loading and saving, not to the work


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def clean() -> None:
    """Give back what earlier sections held, and begin to count memory anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb() -> float | None:
    """Most memory that was held at a time; None without a GPU."""
    return round(torch.cuda.max_memory_allocated() / 1e9, 3) if torch.cuda.is_available() else None


@contextmanager
def steps_timed() -> Iterator[dict[str, float]]:
    """How many optimiser steps were made in the block, and the median of the seconds between two."""
    moments: list[float] = []

    def note(*_: Any) -> None:
        synchronise()
        moments.append(time.perf_counter())

    handle = register_optimizer_step_post_hook(note)
    found: dict[str, float] = {}
    try:
        yield found
    finally:
        handle.remove()
        found["steps"] = len(moments)
        if len(moments) > 1:
            gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
            found["seconds_a_step"] = round(median(gaps), 5)


def waiting(action: Callable[[], None]) -> dict[str, float]:
    """Run `action` and say in which share of the time the GPU had nothing to do; nothing without a GPU.

    The time runs from the first kernel to the last; pauses of more than half a second (loading, saving) are left out.
    """
    if not torch.cuda.is_available():
        action()
        return {}
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        action()
        synchronise()
    spans = sorted(
        (event.start_ns(), event.start_ns() + event.duration_ns())
        for event in profiler.profiler.kineto_results.events()
        if event.device_type() == DeviceType.CUDA and not event.name().startswith(("Memcpy", "Memset"))
    )
    return shares(spans)


def shares(spans: list[tuple[int, int]]) -> dict[str, float]:
    """The share of waiting in kernels' spans of time (nanoseconds, sorted)."""
    if not spans:
        return {}
    busy, pauses, end = 0, 0.0, spans[0][0]
    for start, stop in spans:
        if start - end > PAUSE:
            pauses += start - end
        busy += max(0, stop - max(start, end))
        end = max(end, stop)
    window = end - spans[0][0] - pauses
    return {"gpu_waits": round(1 - busy / window, 4), "window_seconds": round(window / 1e9, 3), "kernels": len(spans)}
