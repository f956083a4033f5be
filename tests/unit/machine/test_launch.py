"""From an allocation to processes: argument lists, what cannot be, and what a started script sees."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from retrace.errors import UserError
from retrace.machine import launch
from retrace.workflow.configuration import Configuration
from suites import first_daily

SCRIPTS = Path(launch.__file__).parents[2]
SLURM = {"SLURM_JOB_ID": "15003", "SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "gpu[003-004]"}


def known(host: str) -> bool:
    return True


def unknown(host: str) -> bool:
    return False


def words(gpus: int, nodes: int, strategy: str, environment: dict[str, str], processes: int = 0) -> list[str]:
    allocation = launch.allocation_from(gpus, nodes, processes, strategy, environment, known)
    return launch.torchrun_arguments(allocation, "/logs", "train.py", ["--seed", "1"])


def test_one_device_needs_no_torchrun() -> None:
    for gpus in (0, 1):
        allocation = launch.allocation_from(gpus, 1, 0, "ddp", {})
        assert allocation == launch.Allocation(nodes=1, processes=1)
        assert launch.runs_directly(allocation, "ddp")
        assert launch.runs_directly(allocation, "none")
        # ... also where a preset says how several would divide the model: one has nobody to divide it with
        for strategy in ("fsdp", "zero2", "zero3"):
            assert launch.strategy_for(strategy, 1) == "ddp"
            assert launch.strategy_for(strategy, 2) == strategy
            assert launch.runs_directly(allocation, strategy)
        # Offloading saves memory in one process, too, and needs DeepSpeed's process group.
        for strategy in ("zero2_offload", "zero3_offload"):
            assert launch.strategy_for(strategy, 1) == strategy
            assert not launch.runs_directly(allocation, strategy)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "zero2", "zero3"])
def test_four_gpus_of_one_node(strategy: str) -> None:
    assert words(4, 1, strategy, {}) == [
        "--nproc-per-node=4",
        "--max-restarts=0",
        "--log-dir=/logs",
        "--standalone",
        "--redirects=1:3,2:3,3:3",
        "train.py",
        "--seed",
        "1",
    ]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "zero2", "zero3"])
def test_two_nodes_of_four_gpus_under_slurm(strategy: str) -> None:
    assert words(4, 2, strategy, SLURM) == [
        "--nproc-per-node=4",
        "--max-restarts=0",
        "--log-dir=/logs",
        "--nnodes=2",
        "--node-rank=1",
        "--master-addr=gpu003",
        "--master-port=15003",
        "--redirects=0:3,1:3,2:3,3:3",  # only the first process of the first node is heard
        "train.py",
        "--seed",
        "1",
    ]
    assert "--redirects=1:3,2:3,3:3" in words(4, 2, strategy, SLURM | {"SLURM_NODEID": "0"})


def test_two_processes_on_the_cpu() -> None:
    assert words(0, 1, "ddp", {}, processes=2)[0] == "--nproc-per-node=2"


@pytest.mark.parametrize(
    ("nodelist", "first"),
    [
        ("n1", "n1"),
        ("n1,n2", "n1"),
        ("gpu[003-006,010]", "gpu003"),
        ("gpu[7,9],cpu1", "gpu7"),
        ("rack[1-2]n[03-04].site.org", "rack1n03.site.org"),
        ("", ""),
    ],
)
def test_first_host_of_a_node_list(nodelist: str, first: str) -> None:
    assert launch.first_host(nodelist) == first


def test_where_nodes_meet() -> None:
    assert launch.rendezvous(SLURM, known) == ("gpu003", 15003)
    address = SLURM | {"SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1"}
    assert launch.rendezvous(address, known)[0] == "gpu003"
    assert launch.rendezvous(address, unknown)[0] == "127.0.0.1"  # nodes that are names only
    other = launch.rendezvous(SLURM | {"SLURM_JOB_ID": "15004"}, known)
    assert other[1] != 15003
    assert 15000 <= launch.rendezvous(SLURM | {"SLURM_JOB_ID": "123456789"}, known)[1] < 30000
    with pytest.raises(UserError, match="SLURM_JOB_NODELIST is not set"):
        launch.rendezvous({"SLURM_JOB_ID": "7"}, known)


def test_one_launcher_a_node() -> None:
    assert launch.srun_arguments(2, 8, ["python", "launch.py"]) == [
        "srun",
        "--nodes=2",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=8",
        "--overlap",
        "--kill-on-bad-exit=1",
        "python",
        "launch.py",
    ]


def test_processes_divide_the_threads_and_know_the_strategy() -> None:
    four = launch.Allocation(processes=4)
    assert launch.environment_of_processes(four, "ddp", 8) == {"RETRACE_STRATEGY": "ddp", "OMP_NUM_THREADS": "2"}
    assert launch.environment_of_processes(four, "zero3", 2)["OMP_NUM_THREADS"] == "1"
    assert launch.environment_of_processes(four, "zero3", 2)["RETRACE_STRATEGY"] == "zero3"


@pytest.mark.parametrize(
    ("gpus", "nodes", "processes", "strategy", "message"),
    [
        (2, 1, 3, "ddp", "3 processes on 2 GPUs: .* set launch.processes to 0, or launch.gpus to 3"),
        (2, 1, 0, "none", "strategy none is for one process, not 2"),
        (1, 2, 0, "none", "strategy none is for one process, not 2 nodes"),
        (1, 2, 0, "ddp", r"2 nodes need SLURM .* set launch\.nodes to 1"),
    ],
)
def test_what_cannot_be(gpus: int, nodes: int, processes: int, strategy: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        launch.allocation_from(gpus, nodes, processes, strategy, {}, known)


@pytest.mark.parametrize(
    "granted",
    [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, {"SLURM_GPUS_ON_NODE": "1"}],
)
def test_a_cluster_that_granted_another_number_is_named(granted: dict[str, str]) -> None:
    with pytest.raises(
        UserError, match=r"asked for 2 GPUs on a node and sees [01]: a SLURM plugin before version 2\.7"
    ):
        launch.check_granted(2, granted)


def test_a_cluster_that_granted_what_was_asked_for() -> None:
    launch.check_granted(2, {"CUDA_VISIBLE_DEVICES": "3,5", "SLURM_GPUS_ON_NODE": "8"})
    launch.check_granted(1, {"CUDA_VISIBLE_DEVICES": "MIG-1f"})
    launch.check_granted(2, {"SLURM_GPUS_ON_NODE": "2"})
    launch.check_granted(2, {})


# ---------------------------------------------------------------- configuration


def test_devices_by_training() -> None:
    values = Configuration.model_validate(
        {"launch": {"gpus": 2, "strategy": "zero2", "trainings": {"sft": {"gpus": 8, "nodes": 2}}}}
    ).launch
    assert values.of("sft").model_dump() == {"gpus": 8, "nodes": 2, "processes": 0, "strategy": "zero2"}
    assert values.of("verifier").model_dump() == {"gpus": 2, "nodes": 1, "processes": 0, "strategy": "zero2"}
    with pytest.raises(ValueError, match="'stf' is no training; valid: base, dpo_st_sft, dpo_st_dpo, sft, "):
        Configuration.model_validate({"launch": {"trainings": {"stf": {"gpus": 1}}}})


# ---------------------------------------------------------------- real processes

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from retrace import cli
from retrace.errors import UserError

def main(arguments):
    folder, todo = Path(sys.argv[1]), sys.argv[2]
    rank = os.environ.get("RANK", "0")
    names = ("WORLD_SIZE", "RETRACE_STRATEGY", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "DS_ACCELERATOR")
    seen = {name: os.environ.get(name) for name in names} | {"pid": os.getpid(), "parent": os.getppid()}
    (folder / f"new{rank}").write_text(json.dumps(seen))
    (folder / f"new{rank}").rename(folder / f"{rank}.json")
    print(f"process {rank} speaks")
    if todo == f"fails{rank}":
        raise UserError("data.jsonl:3: not a number")
    if todo == "speaks to the others":
        import torch
        torch.distributed.init_process_group("gloo")
        for _ in range(20):
            torch.distributed.broadcast_object_list([seen], src=0)
            torch.distributed.all_reduce(torch.ones(1000))
    elif todo != "ends":
        time.sleep(120)

if __name__ == "__main__":
    cli.run(main)
"""


@pytest.fixture
def start(tmp_path):
    """Starts the launcher with a script that writes down what it sees; all is killed in the end."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    started = []

    def run(*options: str, todo: str = "ends", **environment: str) -> subprocess.Popen:
        command = [sys.executable, str(SCRIPTS / "launch.py"), *options, str(script), str(tmp_path), todo]
        values = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "CUDA"))}
        values |= {"RETRACE_GPU_LOCKS": str(tmp_path / "locks"), "PYTHONPATH": str(SCRIPTS)}
        process = subprocess.Popen(
            command, env=values | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def seen(folder: Path, rank: int = 0) -> dict:
    return json.loads((folder / f"{rank}.json").read_text())


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def finished(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_one_process_is_the_launcher_itself(start, tmp_path) -> None:
    process = start()
    code, out, err = finished(process)
    assert (code, out) == (0, "process 0 speaks\n"), err
    assert seen(tmp_path)["pid"] == process.pid
    assert seen(tmp_path)["WORLD_SIZE"] is None
    assert seen(tmp_path)["DS_ACCELERATOR"] == "cpu"
    assert seen(tmp_path)["CUDA_VISIBLE_DEVICES"] == ""  # it asked for no GPU and shall not use another job's


def test_two_processes(start, tmp_path) -> None:
    code, out, err = finished(start("--processes", "2", "--strategy", "ddp", OMP_NUM_THREADS="4"))
    assert code == 0, err
    assert out == "process 0 speaks\n"  # the others are not heard
    for rank in (0, 1):
        given = seen(tmp_path, rank)
        assert (given["WORLD_SIZE"], given["RETRACE_STRATEGY"], given["OMP_NUM_THREADS"]) == ("2", "ddp", "2")


@pytest.mark.slow
def test_processes_that_end_right_after_their_last_exchange_end_well(start) -> None:
    """Without taking leave of their group, three of four such launches end by an abort."""
    for _ in range(4):
        code, out, err = finished(start("--processes", "2", todo="speaks to the others"))
        assert (code, out) == (0, "process 0 speaks\n"), err


@pytest.mark.parametrize("rank", first_daily([1, 0]))
def test_a_process_that_fails_ends_all_and_says_why(start, tmp_path, rank: int) -> None:
    code, _, err = finished(start("--processes", "2", todo=f"fails{rank}"))
    assert code == 2
    assert err.count("error: data.jsonl:3: not a number") == 1
    assert "Traceback" not in err
    assert ("process 1 of 2 failed" in err) == (rank == 1)


def test_killing_the_launcher_ends_its_processes(start, tmp_path) -> None:
    launcher = start("--processes", "2", todo="sleeps")
    wait_for(lambda: all((tmp_path / f"{rank}.json").exists() for rank in (0, 1)))
    processes = [psutil.Process(seen(tmp_path, rank)["pid"]) for rank in (0, 1)]
    assert all(process.is_running() for process in processes)
    launcher.kill()
    gone, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
    assert len(gone) == 2


@pytest.mark.slow
def test_ending_the_launcher_ends_its_processes(start, tmp_path) -> None:
    launcher = start("--processes", "2", todo="sleeps")
    wait_for(lambda: all((tmp_path / f"{rank}.json").exists() for rank in (0, 1)))
    processes = [psutil.Process(seen(tmp_path, rank)["pid"]) for rank in (0, 1)]
    launcher.terminate()
    assert finished(launcher)[0] == 128 + signal.SIGTERM
    assert not psutil.wait_procs(processes, timeout=30)[1]


@pytest.mark.slow
def test_gpus_that_torch_does_not_see(start, tmp_path) -> None:
    """Names in CUDA_VISIBLE_DEVICES do not make a GPU."""
    code, _, err = finished(start("--gpus", "2", CUDA_VISIBLE_DEVICES="0,1"))
    assert code == 2
    assert "error: this job asked for 2 GPUs on a node and sees 0" in err
    code, _, err = finished(start("--gpus", "2", CUDA_VISIBLE_DEVICES="0,1", RETRACE_REQUIRE_GPU="no"))
    assert code == 0, err
    assert "computing on the CPU" in err
    assert seen(tmp_path, 1)["WORLD_SIZE"] == "2"


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4, 8])
def test_each_process_sees_the_jobs_devices_and_the_strategy(start, tmp_path, count: int) -> None:
    """A machine of eight GPUs, which are names only: so the processes compute on the processor, as many as on GPUs."""
    names = [f"GPU-{number}" for number in range(8)]
    code, _, err = finished(
        start(
            *("--gpus", str(count), "--strategy", "zero3"),
            CUDA_VISIBLE_DEVICES=",".join(names),
            RETRACE_DEVICES="shared",
            RETRACE_REQUIRE_GPU="no",
            OMP_NUM_THREADS="8",
        )
    )
    assert code == 0, err
    assert f"this job has GPU {','.join(names[:count])}" in err
    assert sorted(file.name for file in tmp_path.glob("*.json")) == [f"{rank}.json" for rank in range(count)]
    for rank in range(count):
        given = seen(tmp_path, rank)
        assert given["CUDA_VISIBLE_DEVICES"] == ",".join(names[:count])
        assert given["WORLD_SIZE"] == (None if count == 1 else str(count))
        assert given["RETRACE_STRATEGY"] == (None if count == 1 else "zero3")
        assert given["OMP_NUM_THREADS"] == str(8 // count)


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        (
            ["--gpus", "3"],
            {"CUDA_VISIBLE_DEVICES": "0,1"},
            "requests 3 GPUs (launch.gpus), but this machine has 2 (0, 1)",
        ),
        (["--gpus", "1"], {"CUDA_VISIBLE_DEVICES": ""}, "but this machine has none; set it to 0, or submit"),
        (["--gpus", "2"], {"CUDA_VISIBLE_DEVICES": "MIG-a,MIG-b"}, "a process can use at most one MIG slice"),
        (["--nodes", "2"], {}, "2 nodes need SLURM"),
        (["--strategy", "fsdp", "--processes", "2"], {}, "fsdp needs GPUs; on the CPU use ddp, zero2 or zero3"),
        (
            ["--gpus", "2"],
            {"RETRACE_DEVICES": "allocated", "CUDA_VISIBLE_DEVICES": "4"},
            "asked for 2 GPUs on a node and sees 1",
        ),
    ],
)
def test_faults_are_one_line(start, options: list[str], environment: dict[str, str], message: str) -> None:
    code, _, err = finished(start(*options, **environment))
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.slow
def test_slurm_keeps_its_own_devices(start, tmp_path) -> None:
    code, _, err = finished(
        start("--gpus", "2", SLURM_JOB_ID="7", CUDA_VISIBLE_DEVICES="5,3", RETRACE_REQUIRE_GPU="no")
    )
    assert code == 0, err
    assert seen(tmp_path)["CUDA_VISIBLE_DEVICES"] == "5,3"
    assert not (tmp_path / "locks").exists()
