"""The GPUs of this machine: which there are, and a lock on each, so that no two jobs share one.

A lock is a file lock of the kernel (flock), held for as long as a process that took it lives: a job that was killed,
however it was killed, gives its devices back. No torch import here: finding devices must stay quick.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retrace.errors import UserError

LOCK_FOLDER = "/tmp/retrace_gpu_locks"  # one place for all users and working folders of a machine
_POLL = 0.2  # seconds between looks at devices that are taken


@dataclass(frozen=True)
class Device:
    """A GPU or a MIG slice: `name` is what CUDA_VISIBLE_DEVICES calls it, `key` names its lock."""

    name: str
    key: str

    @property
    def is_slice(self) -> bool:
        return self.name.startswith("MIG-")


def listed_devices(text: str) -> list[list[Device]]:
    """The GPUs in the output of `nvidia-smi -L`, in its order; for each its MIG slices, or itself where it has none."""
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
    """The devices that a process here may use: those of CUDA_VISIBLE_DEVICES where it is set, else all of the machine.

    As CUDA reads that variable, the first entry that names no device ends the list.
    """
    gpus = _nvidia_smi()
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [device for slices in gpus for device in slices]
    devices = []
    for name in (part.strip() for part in given.split(",")):
        if re.fullmatch(r"\d+", name):
            known = gpus[int(name)] if int(name) < len(gpus) else []
            # A number and the identifier of the same GPU must give the same lock.
            key = known[0].key if len(known) == 1 else f"gpu{int(name)}"
        elif re.match(r"(GPU|MIG)-", name):
            key = name
        else:
            break
        devices.append(Device(name, key))
    return devices


def lock_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the locks lie; RETRACE_GPU_LOCKS names another folder."""
    return Path(environment.get("RETRACE_GPU_LOCKS") or LOCK_FOLDER)


def _open_lock(path: Path) -> int:
    """A file descriptor for locking. Reading suffices, so that users can lock each other's files."""
    while True:
        try:
            return os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            try:
                return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                continue  # made by another process in between


def _is_in_place(descriptor: int, path: Path) -> bool:
    """Whether the opened file is still the one at `path`, and was not cleared away."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _try_lock(path: Path) -> int | None:
    """The descriptor of a lock that nobody else holds, or None."""
    while True:
        descriptor = _open_lock(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_in_place(descriptor, path):
            return descriptor
        os.close(descriptor)


@dataclass(frozen=True)
class Hold:
    """Devices that this process holds, and the files whose locks say so; they are free again when it ends."""

    devices: list[Device]
    paths: list[Path]


def hold_devices(devices: Sequence[Device], count: int, folder: Path) -> Hold:
    """Wait until `count` of the devices are free, and hold them until this process ends.

    All are taken together or none, and who waits is served in turn, so jobs can neither block nor overtake each other.
    Raises UserError where the folder of the locks cannot be used.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o1777)
        gate = _open_lock(folder / "gate")
    except OSError as error:
        raise UserError(
            f"{folder}: the locks of the GPUs cannot be kept there ({error.strerror}); "
            "name another folder of this machine in RETRACE_GPU_LOCKS"
        ) from None
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        told = False
        while True:
            held: dict[Device, int] = {}
            for device in devices:
                descriptor = _try_lock(folder / device.key)
                if descriptor is not None:
                    held[device] = descriptor
                if len(held) == count:
                    # Shared from now on: each process of a job holds the lock itself (`join_hold`). Whoever asks
                    # whether a device is free asks for it alone, and behind the gate.
                    for descriptor in held.values():
                        fcntl.flock(descriptor, fcntl.LOCK_SH)
                    return Hold(list(held), [folder / device.key for device in held])
            for descriptor in held.values():
                os.close(descriptor)
            if not told:
                names = ", ".join(device.name for device in devices)
                print(f"waiting until {count} of the GPUs {names} are free", file=sys.stderr, flush=True)
                told = True
            time.sleep(_POLL)
    finally:
        os.close(gate)


def join_hold(paths: Sequence[str | Path]) -> None:
    """Hold the locks at `paths`, which the process that started this one holds, until this process ends."""
    for path in paths:
        fcntl.flock(_open_lock(Path(path)), fcntl.LOCK_SH)
