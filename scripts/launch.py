"""Run a script on the devices that it requests, directly or as several processes that train one model.

    python scripts/launch.py --gpus 2 --strategy ddp scripts/train_sft.py --model results/models/flan_t5_large ...

The script and its own options come last. On this machine, locks assign the GPUs, so that no two jobs share one; in a
cluster job, the cluster assigns them. A single process runs the script in this interpreter; several are started by
torchrun, with one launcher per node of a SLURM job. The number of devices changes the speed but not the result: a
script's batch size is the total over all devices.
"""

import argparse
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from retrace import cli
from retrace.errors import UserError
from retrace.machine import launch


def count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--gpus", type=count, default=0, help="GPUs on each node (default 0: the CPU)")
    parser.add_argument("--nodes", type=count, default=1, help="nodes of a SLURM job (default 1)")
    parser.add_argument(
        "--processes", type=count, default=0, help="processes on each node without GPUs (default 0: one)"
    )
    parser.add_argument(
        "--strategy",
        choices=launch.STRATEGIES,
        default="ddp",
        help="how processes hold the model: ddp replicates it; zero2, zero3 and fsdp shard it (one process: as ddp); "
        "zero2_offload and zero3_offload keep the optimizer in the machine's memory (default ddp)",
    )
    parser.add_argument("--each-node", action="store_true", help=argparse.SUPPRESS)  # started by srun on each node
    parser.add_argument("script", help="a script, followed by its own options")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if not Path(args.script).is_file():
        raise UserError(f"{args.script}: no such script")
    threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    if args.nodes > 1 and not args.each_node:
        start_on_each_node(args, threads)
    claim_devices(args.gpus)
    devices = launch.devices_to_use(args.gpus)
    if not devices:
        os.environ["DS_ACCELERATOR"] = "cpu"  # DeepSpeed does not need to look for a GPU
    allocation = launch.allocation_from(args.gpus, args.nodes, args.processes, args.strategy, os.environ)
    strategy = launch.strategy_for(args.strategy, allocation.world)
    if launch.runs_directly(allocation, strategy):
        os.environ.pop(launch.STRATEGY, None)
        run_here(args.script, args.arguments)
    else:
        if strategy == "fsdp" and not devices:
            raise UserError("launch.strategy fsdp needs GPUs; on the CPU use ddp, zero2 or zero3")
        os.environ.update(launch.environment_of_processes(allocation, strategy, threads))
        run_processes(allocation, args.script, args.arguments)


def start_on_each_node(args: argparse.Namespace, threads: int) -> NoReturn:
    """Replace this process by an srun that starts the launcher on each node."""
    launch.processes_of(args.gpus, args.processes, args.strategy)
    if "SLURM_JOB_ID" not in os.environ:
        raise UserError(
            f"{args.nodes} nodes need SLURM (--workflow-profile profiles/slurm); set launch.nodes to 1 here"
        )
    again = [sys.executable, __file__, "--each-node", f"--gpus={args.gpus}", f"--nodes={args.nodes}"]
    again += [f"--processes={args.processes}", f"--strategy={args.strategy}", args.script, *args.arguments]
    argv = launch.srun_arguments(args.nodes, threads, again)
    print(launch.shown(argv), file=sys.stderr, flush=True)
    os.execvp("srun", argv)


def claim_devices(gpus: int) -> None:
    """Make only this job's GPUs visible; wait for GPUs that other jobs hold."""
    if not launch.shares_devices():
        if gpus:
            launch.check_granted(gpus, os.environ)
        return
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a job that requested none must not use another job's GPUs
        return
    from retrace.machine.devices import hold_devices, lock_folder, visible_devices

    devices = visible_devices()
    if not devices and os.environ.get(launch.REQUIRE_GPU) == "no":
        return
    if len(devices) < gpus:
        names = ", ".join(device.name for device in devices)
        shown = (
            f"{len(devices)} ({names}); set launch.gpus to at most {len(devices)}" if devices else "none; set it to 0"
        )
        raise UserError(
            f"this job requests {gpus} GPUs (launch.gpus), but this machine has {shown}, "
            "or submit to a cluster (--workflow-profile profiles/slurm)"
        )
    if gpus > 1 and any(device.is_slice for device in devices):
        raise UserError(f"{gpus} GPUs are requested, but a process can use at most one MIG slice; set launch.gpus to 1")
    hold = hold_devices(devices, gpus, lock_folder())
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(device.name for device in hold.devices)
    os.environ[launch.LOCKS] = os.pathsep.join(map(str, hold.paths))
    print(f"this job has GPU {os.environ['CUDA_VISIBLE_DEVICES']}", file=sys.stderr, flush=True)


def run_here(script: str, arguments: Sequence[str]) -> None:
    """Run the script in this interpreter, as `python SCRIPT ARGUMENTS` would."""
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


def run_processes(allocation: launch.Allocation, script: str, arguments: Sequence[str]) -> None:
    """Run the script as this node's processes; exit with the status of the first one that failed."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ[launch.PARENT] = str(os.getpid())
    with tempfile.TemporaryDirectory(prefix="retrace_launch_") as folder:
        argv = launch.torchrun_arguments(allocation, folder, script, arguments)
        print(f"torchrun {launch.shown(argv)}", file=sys.stderr, flush=True)
        try:
            run.main(argv)
        except ChildFailedError as error:
            sys.exit(explain(error.failures, allocation, Path(folder)))
        except SignalException as error:
            sys.exit(128 + error.sigval)


def explain(failures: dict, allocation: launch.Allocation, folder: Path) -> int:
    """Print the unseen output of failed processes; return the exit status of the first one."""
    from retrace.machine.live import REFERS_TO_OUTPUT

    # Processes ended by SIGTERM were stopped because another one failed.
    own = {rank: failure for rank, failure in failures.items() if failure.exitcode != -signal.SIGTERM} or failures
    first = min(own.values(), key=lambda failure: failure.timestamp)
    if 0 not in own:
        for rank, failure in sorted(own.items())[:1]:
            for file in sorted(folder.rglob(f"*/{failure.local_rank}/std*.log")):
                said = file.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
                print("\n".join(said), file=sys.stderr)
            print(f"error: process {rank} of {allocation.world} failed; {REFERS_TO_OUTPUT}", file=sys.stderr)
    return first.exitcode if first.exitcode > 0 else 128 - first.exitcode


if __name__ == "__main__":
    cli.run(main)
