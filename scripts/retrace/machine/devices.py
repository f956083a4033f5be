"""GPUs of this machine, with one lock each, so that no two jobs share one.

A lock is held as long as a process that acquired it lives (`retrace.machine.locks`), so that a killed job always releases
its devices. This module does not import torch, so that finding devices stays fast.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retrace.errors import UserError
from retrace.machine import locks

LOCK_FOLDER = "/tmp/retrace_gpu_locks"  # shared by all users and working folders of a machine


@dataclass(frozen=True)
class Device:
    """A GPU or a MIG slice: `name` is what CUDA_VISIBLE_DEVICES calls it, `key` names its lock."""

    name: str
    key: str

    @property
    def is_slice(self) -> bool:
        return self.name.startswith("MIG-")


def listed_devices(text: str) -> list[list[Device]]:
    """GPUs in the output of `nvidia-smi -L`, in order; a GPU with MIG slices is replaced by its slices."""
    gpus: list[list[Device]] = []
    whole: list[Device] = []
    for line in text.splitlines():
        found = re.search(r"\(UUID: ((?:GPU|MIG)-[^)\s]+)\)", line)
        if not found:
            continue
        device = Device(found[1], found[1])
        if re.match(r"GPU \d+:", line):
            gpus.append([])
            whole.append(device)
        elif gpus:
            gpus[-1].append(device)
    return [slices or [gpu] for slices, gpu in zip(gpus, whole, strict=True)]


def _nvidia_smi() -> list[list[Device]]:
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed_devices(done.stdout) if done.returncode == 0 else []


def visible_devices(environment: Mapping[str, str] = os.environ) -> list[Device]:
    """Devices that this process may use: those in CUDA_VISIBLE_DEVICES if set, otherwise all.

    As in CUDA, the first invalid entry of that variable ends the list.
    """
    gpus = _nvidia_smi()
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [device for slices in gpus for device in slices]
    devices = []
    for name in (part.strip() for part in given.split(",")):
        if re.fullmatch(r"\d+", name):
            known = gpus[int(name)] if int(name) < len(gpus) else []
            # The index and the UUID of a GPU must map to the same lock.
            key = known[0].key if len(known) == 1 else f"gpu{int(name)}"
        elif re.match(r"(GPU|MIG)-", name):
            key = name
        else:
            break
        devices.append(Device(name, key))
    return devices


def lock_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Folder of the locks; override it with RETRACE_GPU_LOCKS."""
    return Path(environment.get("RETRACE_GPU_LOCKS") or LOCK_FOLDER)


@dataclass(frozen=True)
class Hold:
    """Devices held by this process and their lock files; released when it ends."""

    devices: list[Device]
    paths: list[Path]


def hold_devices(devices: Sequence[Device], count: int, folder: Path) -> Hold:
    """Wait until `count` of the devices are free, and hold them until this process ends.

    Acquired all-or-nothing, FIFO. Raises UserError if the lock folder cannot be used.
    """
    named: dict[str, Device] = {}
    for device in devices:
        named.setdefault(device.key, device)

    def tell() -> None:
        names = ", ".join(device.name for device in devices)
        print(f"waiting until {count} of the GPUs {names} are free", file=sys.stderr, flush=True)

    try:
        keys = locks.hold_group(folder, list(named), count, tell)
    except OSError as error:
        raise UserError(
            f"{folder}: the locks of the GPUs cannot be kept there ({error.strerror}); "
            "name another folder of this machine in RETRACE_GPU_LOCKS"
        ) from None
    return Hold([named[key] for key in keys], [folder / key for key in keys])
