"""The GPUs of a machine, and that no two living jobs share one. Real processes, a made-up list of devices."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.machine import devices, locks
from retrace.machine.devices import Device, hold_devices, listed_devices, visible_devices

SCRIPTS = Path(devices.__file__).parents[2]
NVIDIA_SMI = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bd1f5ff8)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba663e8)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-715daa1d)
"""


def test_list_of_nvidia_smi() -> None:
    names = [[device.name for device in slices] for slices in listed_devices(NVIDIA_SMI)]
    assert names == [["GPU-5d5ba0d6"], ["MIG-c6d4f1ef", "MIG-cba663e8"], ["GPU-715daa1d"]]
    assert [device.is_slice for slices in listed_devices(NVIDIA_SMI) for device in slices] == [False, True, True, False]
    assert listed_devices("No devices were found\n") == []


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A command of that name which prints the list above."""
    (tmp_path / "list").write_text(NVIDIA_SMI)
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\ncat {tmp_path}/list\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    return command


def test_all_of_the_machine(nvidia_smi) -> None:
    assert [device.name for device in visible_devices({})] == [
        "GPU-5d5ba0d6",
        "MIG-c6d4f1ef",
        "MIG-cba663e8",
        "GPU-715daa1d",
    ]
    nvidia_smi.write_text("#!/bin/sh\necho driver missing >&2\nexit 9\n")
    assert visible_devices({}) == []


def test_a_number_and_an_identifier_of_one_gpu_have_one_lock(nvidia_smi) -> None:
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "2, 0"}) == [
        Device("2", "GPU-715daa1d"),
        Device("0", "GPU-5d5ba0d6"),
    ]
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "GPU-715daa1d"})[0].key == "GPU-715daa1d"


@pytest.mark.parametrize(
    ("given", "names"),
    [("0,1", ["0", "1"]), ("", []), ("-1", []), ("NoDevFiles", []), ("3,-1,2", ["3"]), ("MIG-a", ["MIG-a"])],
)
def test_what_the_user_made_visible(monkeypatch, given: str, names: list[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert [device.name for device in visible_devices({"CUDA_VISIBLE_DEVICES": given})] == names


# ---------------------------------------------------------------- locks

# Takes devices by the launcher's own way, notes when it has them, works a little and ends.
JOB = """
import fcntl, json, os, sys, time
from pathlib import Path

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
mine = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
for name in mine:
    # fails if another living job has the device: this file is there for exactly as long as a job works
    descriptor = os.open(folder / f"used-{name}", os.O_CREAT | os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(folder / "log", "a") as log:
        log.write(json.dumps([name, os.getpid()]) + "\\n")
time.sleep(seconds)
"""


@pytest.fixture
def job(tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    started = []

    def start(gpus: int, seconds: float, visible: str = "0,1") -> subprocess.Popen:
        values = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        values |= {
            "CUDA_VISIBLE_DEVICES": visible,
            "RETRACE_GPU_LOCKS": str(tmp_path / "locks"),
        }
        code = (
            f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
            "import launch\n"
            f"launch.claim_devices({gpus})\n"
            f"launch.run_here({str(tmp_path / 'job.py')!r}, [{str(tmp_path)!r}, '{seconds}'])\n"
        )
        process = subprocess.Popen([sys.executable, "-c", code], env=values, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def uses(folder: Path) -> list[tuple[str, int]]:
    log = folder / "log"
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_no_two_living_jobs_share_a_device(job, tmp_path) -> None:
    """Twelve jobs on two devices, some wanting both; two are killed at work."""
    draw = random.Random(0)
    # First, since one that wants both devices is overtaken by none that asks later.
    long = [job(1, 600), job(1, 600)]
    wait_until(lambda: {process.pid for process in long} <= {pid for _, pid in uses(tmp_path)})
    jobs = [job(draw.choice([1, 1, 2]), 0.15) for _ in range(10)]
    assert len({name for name, pid in uses(tmp_path) if pid in {process.pid for process in long}}) == 2
    for process in long:
        process.send_signal(signal.SIGKILL)
    for process in jobs:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert {pid for _, pid in uses(tmp_path)} == {process.pid for process in [*jobs, *long]}
    assert {name for name, _ in uses(tmp_path)} == {"0", "1"}


def test_a_killed_job_gives_its_device_back(job, tmp_path) -> None:
    first = job(1, 60, visible="0")
    wait_until(lambda: uses(tmp_path))
    second = job(1, 0, visible="0")
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=1.5)
    assert len(uses(tmp_path)) == 1
    first.send_signal(signal.SIGKILL)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0
    assert err.count("waiting until 1 of the GPUs 0 are free") == 1
    assert len(uses(tmp_path)) == 2


def test_a_job_that_wants_two_is_not_overtaken(job, tmp_path) -> None:
    first = job(1, 60)
    wait_until(lambda: uses(tmp_path))
    both = job(2, 0)
    wait_until(lambda: "waiting" in (both.stderr.readline() if both.poll() is None else "waiting"))
    late = job(1, 0)
    with pytest.raises(subprocess.TimeoutExpired):
        late.wait(timeout=1.5)  # one device is free, and kept for the job that asked first
    first.kill()
    assert both.wait(timeout=60) == 0
    assert late.wait(timeout=60) == 0
    order = [pid for _, pid in uses(tmp_path)]
    assert order == [first.pid, both.pid, both.pid, late.pid]


def test_a_started_process_keeps_the_device_of_its_launcher(tmp_path) -> None:
    """The launcher dies first: as long as one of its processes lives, the device is taken."""
    code = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from pathlib import Path\n"
        "from retrace.machine.devices import *\n"
        "from retrace.machine.locks import join\n"
    )
    take = code + "hold = hold_devices([Device('0', 'gpu0')], 1, Path(sys.argv[1])); print('held', flush=True)\n"
    child = code + "join([Path(sys.argv[1]) / 'gpu0']); print('joined', flush=True); time.sleep(60)\n"
    launcher = subprocess.Popen(
        [sys.executable, "-c", take + "time.sleep(60)", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout.readline() == "held\n"
    worker = subprocess.Popen([sys.executable, "-c", child, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "joined\n"
    launcher.kill()
    launcher.wait()
    other = subprocess.Popen([sys.executable, "-c", take, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(timeout=1.5)
    worker.kill()
    assert other.communicate(timeout=30)[0] == "held\n"
    for process in (launcher, worker):
        process.communicate()


def test_locks_that_were_cleared_away_are_made_again(tmp_path) -> None:
    device = Device("0", "gpu0")
    lock = locks.try_lock(tmp_path / "gpu0")
    (tmp_path / "gpu0").unlink()
    hold = hold_devices([device], 1, tmp_path)
    assert hold.paths == [tmp_path / "gpu0"]
    assert (tmp_path / "gpu0").exists()
    assert locks.try_lock(tmp_path / "gpu0") is None
    lock.close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"locks of the GPUs cannot be kept there .* RETRACE_GPU_LOCKS"):
        hold_devices([Device("0", "gpu0")], 1, tmp_path / "file" / "locks")


def test_joining_needs_no_free_device(tmp_path) -> None:
    hold = hold_devices([Device("0", "gpu0"), Device("1", "gpu1")], 2, tmp_path)
    locks.join(hold.paths)  # returns at once
    assert [device.name for device in hold.devices] == ["0", "1"]
