"""Distributed measurement: each process computes a part, and all get the whole result."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")


@dataclass(frozen=True)
class Share:
    """One process's part of a distributed measurement."""

    index: int = 0
    of: int = 1
    device: torch.device | None = None
    together: bool = False

    def quietly(self) -> AbstractContextManager:
        """Context without gradients.

        Inference mode would be faster, but processes that divide a model gather its weights during the pass, and these
        must not become inference tensors.
        """
        return torch.no_grad() if self.together else torch.inference_mode()

    def turns(self, items: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
        """This process's items, and whether each counts.

        All processes get equally many, because those that divide a model have to compute in step: where the items run
        out, the last one is done again and does not count.
        """
        for start in range(0, len(items), self.of):
            place = start + self.index
            yield items[min(place, len(items) - 1)], place < len(items)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum of a tensor over all processes, on the CPU."""
        if self.of == 1:
            return values
        summed = values.to(self.device)
        torch.distributed.all_reduce(summed)
        return summed.cpu()


_current = Share()


def share() -> Share:
    """This process's part of the measurement going on: all of it, unless `measuring_together` says otherwise."""
    return _current


@contextmanager
def measuring_together(device: torch.device) -> Iterator[None]:
    """Inside, a measurement is divided among all processes, and each of them must make it."""
    global _current
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if together:
        _current = Share(torch.distributed.get_rank(), torch.distributed.get_world_size(), device, True)
    try:
        yield
    finally:
        _current = Share()


def from_first(value: Any) -> Any:
    """Broadcast the first process's value."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]
