"""A real SLURM on this machine: two nodes with GPU resources that are no GPUs, in a temporary folder, without systemd."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scancel", "scontrol")
FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/bin"
# Name and number of GPUs of each node.
NODES = {"n1": 3, "n2": 3}

SLURM_CONF = """\
ClusterName=ci
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
AuthType=auth/munge
CredType=cred/munge
# A job may start again on another node once its first credential has expired: 120 s if nothing is said.
AuthInfo=socket={folder}/run/munge.sock,cred_expire=5
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
MinJobAge=7200
KillWait=2
MpiDefault=none
MailProg=/bin/true
GresTypes=gpu
{nodes}
# Jobs spread over the nodes, so that a lost one costs some and not all.
PartitionName=cpu Nodes=ALL Default=YES LLN=YES MaxTime=120 State=UP
PartitionName=gpu Nodes=ALL LLN=YES MaxTime=120 State=UP
"""


def why_not_here() -> str | None:
    """Why a cluster cannot be started on this machine; None where it can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=FOLDERS) is None]
    if missing:
        return f"no {missing[0]} here: apt-get install slurm-wlm munge"
    return "the daemons of SLURM must be started by root" if os.geteuid() != 0 else None


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Return as soon as `true()` holds; a TimeoutError that says `what` was waited for after that many seconds."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def kill_all(processes: Sequence[psutil.Process]) -> bool:
    """Kill them and wait a moment for their end; whether there were any."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)
    return bool(processes)


class SlurmCluster:
    """One controller and the nodes of NODES, all on this machine; `environment` is what a user of it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen] = {}
        for name in ("run", "log", "state", "dev", "bin", *(f"spool/{node}" for node in NODES)):
            (folder / name).mkdir(parents=True, mode=0o755)
        conf = folder / "slurm.conf"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))},
            "SLURM_CONF": str(conf),
            "PATH": f"{folder}/bin:{os.environ['PATH']}:{FOLDERS}",
        }
        self._configure(conf)

    def _configure(self, conf: Path) -> None:
        controller, *ports = free_ports(1 + len(NODES))
        nodes = [
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=20000 Gres=gpu:{gpus}"
            for (name, gpus), port in zip(NODES.items(), ports, strict=True)
        ]
        conf.write_text(SLURM_CONF.format(folder=self.folder, controller=controller, nodes="\n".join(nodes)))
        # SLURM wants a device file a GPU; those of /dev/null will do.
        files = {name: [self.folder / f"dev/{name}_{number}" for number in range(gpus)] for name, gpus in NODES.items()}
        for file in [file for those in files.values() for file in those]:
            os.mknod(file, 0o666 | 0o020000, os.makedev(1, 3))
        lines = [f"NodeName={name} Name=gpu File={file}" for name, those in files.items() for file in those]
        (self.folder / "gres.conf").write_text("AutoDetect=off\n" + "\n".join(lines) + "\n")
        # Without a configuration in /etc, a job step must be told where ours is; clusters have theirs in /etc.
        wrapper = self.folder / "bin/srun"
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun", path=FOLDERS)} "$@"\n')
        wrapper.chmod(0o755)
        key = self.folder / "run/munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)

    # ------------------------------------------------------------ daemons

    def start(self) -> None:
        """Start all daemons; returns once every node is idle."""
        run = self.folder / "run"
        munged = ["munged", "--foreground", "--force", f"--socket={run}/munge.sock", f"--key-file={run}/munge.key"]
        files = [f"--{kind}-file={run}/munge.{kind}" for kind in ("pid", "seed", "log")]
        self._daemon("munged", [*munged, *files])
        wait_until((run / "munge.sock").exists, 60, "munged answers")
        self._daemon("slurmctld", ["slurmctld", "-D", "-c"])
        for name in NODES:
            self.start_node(name)

    def _daemon(self, name: str, command: Sequence[str]) -> None:
        log = open(self.folder / f"log/{name}.out", "ab")
        self.daemons[name] = subprocess.Popen(
            command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def start_node(self, name: str, *prefix: str) -> None:
        """Start a node's daemon, `prefix` before its command; returns once the node is idle."""
        self._daemon(name, [*prefix, "slurmd", "-D", "-N", name])
        self.wait_for_node(name, "idle".__eq__, 200)

    def kill_node(self, name: str) -> None:
        """The node's daemons die without a word. The jobs themselves go on, as on a node that lost its network."""
        self.daemons[name].kill()
        self.daemons[name].wait()

    def stop(self) -> None:
        """End everything that runs in the name of this cluster."""
        # One that is dying may have started another just before.
        wait_until(lambda: not kill_all([*self._processes(), *self._step_daemons()]), 60, "all processes are gone")
        for daemon in self.daemons.values():
            daemon.wait()

    def _processes(self) -> list[psutil.Process]:
        """The daemons, and every job: known by the folder in its environment."""
        found = [psutil.Process(daemon.pid) for daemon in self.daemons.values() if daemon.poll() is None]
        for process in psutil.process_iter():
            try:
                if process.environ().get("SLURM_CONF") == str(self.folder / "slurm.conf"):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def _step_daemons(self) -> list[psutil.Process]:
        """The daemons of job steps that are left, known by their sockets: their title has taken an environment's place."""
        spool = self.folder / "spool"
        found = []
        for process in psutil.process_iter():
            try:
                if "slurmstepd" in " ".join(process.cmdline())[:20] and any(
                    str(socket.laddr).startswith(f"{spool}/") for socket in process.net_connections(kind="unix")
                ):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    # ------------------------------------------------------------ what a user would type

    def call(self, *command: str) -> str:
        """What a command of SLURM prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def state_of_node(self, name: str) -> str:
        done = subprocess.run(
            ["sinfo", "--noheader", "--nodes", name, "--format", "%t"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split()[0] if done.returncode == 0 and done.stdout.split() else ""

    def wait_for_node(self, name: str, wanted: Callable[[str], bool], seconds: float) -> None:
        """Return once `wanted` holds for the node's state; else a TimeoutError with the state and the controller's log."""
        try:
            wait_until(lambda: wanted(self.state_of_node(name)), seconds, f"the state of node {name}")
        except TimeoutError as error:
            log = (self.folder / "log/slurmctld.log").read_text(errors="replace")[-2000:]
            raise TimeoutError(f"{error}: it is {self.state_of_node(name)!r}; slurmctld says:\n{log}") from None

    def jobs(self) -> dict[int, dict[str, str]]:
        """Every job that the controller remembers: number, and the fields of `scontrol show job`."""
        found = {}
        for line in self.call("scontrol", "--oneliner", "show", "job").splitlines():
            fields = dict(word.split("=", 1) for word in line.split(" ") if "=" in word)
            if "JobId" in fields:
                found[int(fields["JobId"])] = fields
        return found
