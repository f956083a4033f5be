"""Distribution of a training over devices: from a job's allocation to its processes.

`scripts/launch.py` is the command; the functions here that make argument lists have no side effects.
"""

import ctypes
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from retrace.errors import UserError

Strategy = Literal["none", "ddp", "fsdp", "zero2", "zero3", "zero2_offload", "zero3_offload"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
OFFLOADING = ("zero2_offload", "zero3_offload")  # the optimizer is in CPU memory
DIVIDING = ("fsdp", "zero2", "zero3")  # these save memory only with several processes

# Set by the launcher for its processes.
STRATEGY = "RETRACE_STRATEGY"
PARENT = "RETRACE_LAUNCHER_PID"
LOCKS = "RETRACE_DEVICE_LOCKS"
# What a workflow tells the launcher. Devices: `shared` (take free ones of this machine, by locks) or `allocated` (all
# that are visible belong to this job, as a cluster grants them).
DEVICES = "RETRACE_DEVICES"
REQUIRE_GPU = "RETRACE_REQUIRE_GPU"


@dataclass(frozen=True)
class Allocation:
    """A job's allocation. processes: per node. host, port: rendezvous of several nodes."""

    nodes: int = 1
    processes: int = 1
    node_rank: int = 0
    host: str = "localhost"
    port: int = 0

    @property
    def world(self) -> int:
        """Total number of processes."""
        return self.nodes * self.processes


def processes_of(gpus: int, processes: int, strategy: str) -> int:
    """Processes per node: one per GPU; without GPUs as many as requested (0: one).

    Raises UserError for an impossible request.
    """
    if gpus and processes not in (0, gpus):
        raise UserError(
            f"{processes} processes on {gpus} GPUs: a process has a device of its own; "
            f"set launch.processes to 0, or launch.gpus to {processes}"
        )
    count = gpus or processes or 1
    if strategy == "none" and count > 1:
        raise UserError(f"launch.strategy none is for one process, not {count}; use ddp, fsdp, zero2 or zero3")
    return count


def strategy_for(strategy: str, world: int) -> str:
    """The strategy that `world` processes follow. One process has nobody to divide the model with: it trains as under
    `ddp`, and needs no DeepSpeed. Offloading saves memory there, too, and stays."""
    return "ddp" if world == 1 and strategy in DIVIDING else strategy


def first_host(nodelist: str) -> str:
    """First host of a SLURM node list: `gpu003` of `gpu[003-006,010]`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodelist.strip())
    return re.sub(r"\[([^,\-\]]*)[^\]]*\]", r"\1", first[0]) if first else ""


def resolves(host: str) -> bool:
    """Whether this machine can resolve `host`."""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def rendezvous(environment: Mapping[str, str], known: Callable[[str], bool] = resolves) -> tuple[str, int]:
    """Rendezvous host and port of a SLURM job: its first node, and a port derived from the job id.

    Where the first node's name has no address (a test cluster whose nodes are one machine), the address from which
    srun started the tasks serves.
    """
    nodelist = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    host = first_host(nodelist)
    if not host or not known(host):
        host = environment.get("SLURM_LAUNCH_NODE_IPADDR") or host
    if not host:
        raise UserError("SLURM names no node (SLURM_JOB_NODELIST is not set); start the launcher inside a SLURM job")
    return host, 15000 + int(environment["SLURM_JOB_ID"]) % 15000


def allocation_from(
    gpus: int,
    nodes: int,
    processes: int,
    strategy: str,
    environment: Mapping[str, str],
    known: Callable[[str], bool] = resolves,
) -> Allocation:
    """The allocation for this node's launcher. gpus, processes: per node (0 processes: one per GPU).

    Raises UserError for an impossible request.
    """
    count = processes_of(gpus, processes, strategy)
    if nodes == 1:
        return Allocation(processes=count)
    if strategy == "none":
        raise UserError(f"launch.strategy none is for one process, not {nodes} nodes; use ddp, fsdp, zero2 or zero3")
    if "SLURM_JOB_ID" not in environment:
        raise UserError(f"{nodes} nodes need SLURM (--workflow-profile profiles/slurm); set launch.nodes to 1 here")
    host, port = rendezvous(environment, known)
    return Allocation(nodes, count, int(environment["SLURM_NODEID"]), host, port)


def runs_directly(allocation: Allocation, strategy: str) -> bool:
    """Whether one process without a wrapper suffices: nothing is sharded or offloaded."""
    return allocation.world == 1 and strategy_for(strategy, 1) in ("none", "ddp")


def torchrun_arguments(allocation: Allocation, log_folder: str, script: str, arguments: Sequence[str]) -> list[str]:
    """The arguments of torchrun (torch.distributed.run) on one node.

    The output of all processes but the first goes to files in `log_folder`.
    """
    argv = [f"--nproc-per-node={allocation.processes}", "--max-restarts=0", f"--log-dir={log_folder}"]
    if allocation.nodes == 1:
        argv.append("--standalone")  # uses a free port of this machine
    else:
        argv += [
            f"--nnodes={allocation.nodes}",
            f"--node-rank={allocation.node_rank}",
            f"--master-addr={allocation.host}",
            f"--master-port={allocation.port}",
        ]
    quiet = range(1 if allocation.node_rank == 0 else 0, allocation.processes)
    if quiet:
        argv.append("--redirects=" + ",".join(f"{local}:3" for local in quiet))
    return [*argv, script, *arguments]


def srun_arguments(nodes: int, threads: int, command: Sequence[str]) -> list[str]:
    """The srun command that starts `command` once per node of a SLURM job, and ends all when one fails."""
    return [
        "srun",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={threads}",
        "--overlap",
        "--kill-on-bad-exit=1",
        *command,
    ]


def environment_of_processes(allocation: Allocation, strategy: str, threads: int) -> dict[str, str]:
    """Variables for each process of a training. threads: of this node's share of the job, divided among its processes."""
    values = {STRATEGY: strategy, "OMP_NUM_THREADS": str(max(1, threads // allocation.processes))}
    if strategy.startswith("zero"):
        # DeepSpeed calls torch's deprecated collectives in every layer.
        values["PYTHONWARNINGS"] = "ignore::FutureWarning:torch.distributed.c10d_logger"
    return values


def shares_devices(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether devices are assigned by locks on this machine, and not by a cluster."""
    said = environment.get(DEVICES)
    return said == "shared" if said else "SLURM_JOB_ID" not in environment


def check_granted(gpus: int, environment: Mapping[str, str]) -> None:
    """Raise UserError if a cluster granted this job a different number of GPUs on this node than requested."""
    granted = environment.get("CUDA_VISIBLE_DEVICES")
    if granted is not None:
        count = len([name for name in granted.split(",") if re.match(r"\s*(\d+|GPU-|MIG-)", name)])
    elif environment.get("SLURM_GPUS_ON_NODE", "").isdigit():
        count = int(environment["SLURM_GPUS_ON_NODE"])
    else:
        return
    if count != gpus:
        raise not_as_many(gpus, count)


def not_as_many(gpus: int, seen: int) -> UserError:
    return UserError(
        f"this job asked for {gpus} GPUs on a node and sees {seen}: a SLURM plugin before version 2.7.1 splits such a "
        "job (pip install 'snakemake-executor-plugin-slurm>=2.7.1'), or the node has another number "
        "(set launch.gpus to what one node has)"
    )


def devices_to_use(gpus: int, environment: Mapping[str, str] = os.environ) -> int:
    """The number of GPUs that this node's processes compute on: `gpus`, or 0 on the CPU.

    Raises UserError where torch sees another number; where it sees none at all and a GPU is not required
    (RETRACE_REQUIRE_GPU=no, the configuration's `require_gpu`), the CPU does the work.
    """
    if not gpus:
        return 0
    import torch

    seen = torch.cuda.device_count()
    if seen == 0 and environment.get(REQUIRE_GPU) == "no":
        print(f"note: {gpus} GPUs asked for, none seen: computing on the CPU (require_gpu is off)", file=sys.stderr)
        return 0
    if seen != gpus:
        raise not_as_many(gpus, seen)
    return gpus


def join_launcher() -> None:
    """Tie this process to the launcher that started it: it ends when the launcher ends, however that happens, and
    holds the same devices. Does nothing in a process that no launcher started."""
    parent = os.environ.get(PARENT)
    if not parent or "LOCAL_RANK" not in os.environ:
        return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; Linux only, like the whole workflow
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)  # the launcher has already exited
    if os.environ.get(LOCKS):
        from retrace.machine import locks

        locks.join(os.environ[LOCKS].split(os.pathsep))


def shown(argv: Sequence[str]) -> str:
    """The command line, shell-quoted."""
    return " ".join(shlex.quote(word) for word in argv)
