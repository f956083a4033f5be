"""Counter-based random numbers: u(seed, example, sample, position).

Each number is a hash of its position (the finalizer of splitmix64 on 64-bit integers), so a sample does not depend on the
other rows in its batch, the number of shards or the device. Integer products wrap around, as in C.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _shift(bits: Tensor, by: int) -> Tensor:
    """Logical right shift (torch shifts arithmetically)."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def mix(bits: Tensor) -> Tensor:
    """Hash int64 values."""
    bits = (bits ^ _shift(bits, 30)) * _signed(_FIRST)
    bits = (bits ^ _shift(bits, 27)) * _signed(_SECOND)
    return bits ^ _shift(bits, 31)


def row_keys(
    seed: int, example_ids: Sequence[str], samples: Sequence[int] | Tensor, device: torch.device | str = "cpu"
) -> Tensor:
    """One key per row (int64[n]); example_ids[i] and samples[i] identify row i."""
    names = [
        int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
        for name in example_ids
    ]
    keys = mix(torch.tensor(names, dtype=torch.int64) + _signed(seed * _GOLDEN + _GOLDEN))
    samples = torch.as_tensor(samples, dtype=torch.int64)
    return mix(keys ^ mix((samples + 1) * _signed(_GOLDEN))).to(device)


def uniform(keys: Tensor, position: int | Tensor) -> Tensor:
    """Uniform numbers in [0, 1) (float64, shaped like `keys`) for this token position (one, or one per row)."""
    offset = position * _signed(_GOLDEN) if isinstance(position, Tensor) else _signed(position * _GOLDEN)
    bits = mix(keys + offset)
    return _shift(bits, 11).double() * 2.0**-53
