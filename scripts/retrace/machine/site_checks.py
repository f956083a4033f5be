"""Checks that a SLURM cluster can run the planned jobs; reports every problem with a fix, before the first job.

SLURM's own checks run with `sbatch --test-only`. Jobs that it would accept but never start (a run time above the
partition's limit), and problems that only a job would notice (a folder that nodes do not see), are checked here.
"""

import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.cluster import Told, sbatch_options
from retrace.machine.slurm_options import Slurm
from retrace.yaml_files import closest

SITE_FILE = "profiles/slurm/site.yaml"
NEEDED = ("sbatch", "srun", "sinfo", "squeue", "scancel")
# Network file systems; statfs tells no more than the names in the mount table.
NETWORK_FILE_SYSTEMS = (
    "nfs nfs4 lustre gpfs beegfs ceph fuse.ceph panfs afs pvfs2 orangefs cifs smb3 9p glusterfs fuse.glusterfs wekafs "
    "fhgfs quobyte fuse.quobyte fuse.juicefs ocfs2 gfs2 daos fuse.daos vast"
).split()


_SINFO = "%R|%D|%c|%m|%G|%l|%a"
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_UNITS = ["", "K", "M", "G", "T", "P"]  # each 1024 times the one before
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)B?[+*]?")


@dataclass(frozen=True)
class Node:
    """Hardware of a group of identical nodes. gpus: number per type; `gpu` if the site names no type."""

    cpus: int
    memory_mb: int
    gpus: dict[str, int]


@dataclass
class Found:
    """A partition as shown by `sinfo`, and its limits on one job as shown by `scontrol`; None where there is none.

    minutes: run time limit. memory: in MB.
    """

    up: bool
    minutes: int | None
    nodes: list[Node] = field(default_factory=list)
    count: int = 0
    memory_a_node: int | None = None
    memory_a_processor: int | None = None
    processors_a_node: int | None = None
    nodes_a_job: int | None = None


@dataclass(frozen=True)
class Job:
    """SLURM request of one job. told: from slurm_resources; gpus: per node; weights_mb: minimum memory of its model."""

    rule: str
    about: str
    told: Told
    gpus: int
    threads: int
    memory_mb: int
    minutes: int
    weights_mb: int = 0

    @property
    def kind(self) -> tuple:
        """Equal for jobs that are identical to SLURM."""
        return (tuple(self.told.items()), self.threads, self.memory_mb, self.minutes)


# ---------------------------------------------------------------- what the cluster has


def minutes_of(text: str) -> int | None:
    """Parse a SLURM time limit (`days-hours:minutes:seconds`, leading parts optional) into minutes; None: no limit.

    A number alone is minutes, two are minutes and seconds, behind days they are hours and minutes.
    """
    if not (found := _TIME.fullmatch(text.strip())):
        return None  # infinite, UNLIMITED, n/a
    days, *clock = (int(part) if part else None for part in found.groups())
    parts = [part for part in clock if part is not None]
    hours, minutes = [*parts, 0][:2] if days is not None or len(parts) == 3 else [0, parts[0]]
    return (days or 0) * 1440 + hours * 60 + minutes


def amount_of(text: str, unit: str = "") -> int | None:
    """A number as SLURM prints it: `64`, `64+` (at least), `1.5K`, `64G`; None where none is given (`UNLIMITED`, `N/A`).

    unit: of a number that has none, and of the result (M for memory).
    """
    if not (found := _AMOUNT.fullmatch(text.strip().upper())):
        return None
    power = _UNITS.index(found[2] or unit) - _UNITS.index(unit)
    return int(float(found[1]) * 1024.0**power)


def gpus_of(text: str) -> dict[str, int]:
    """The GPUs in a node's generic resources, by type: `gpu:a100:4(S:0-1),shard:8` holds 4 of type a100.

    Also as trackable resources, which say the sum beside its parts: `gres/gpu=4,gres/gpu:a100=4`.
    """
    found: dict[str, int] = {}
    sums = 0
    for entry in re.sub(r"\([^()]*\)", "", text).split(","):
        name, *words = re.split(r"[:=]", entry.strip().removeprefix("gres/").removeprefix("gres:"))
        if name != "gpu":
            continue
        words = [word for word in words if word and word != "no_consume"]
        count = amount_of(words[-1]) if words else None
        kind = words[: len(words) - (count is not None)]
        count = 1 if count is None else count
        if "/gpu=" in entry:
            sums += count
        else:
            found[kind[0] if kind else "gpu"] = found.get(kind[0] if kind else "gpu", 0) + count
    return found or ({"gpu": sums} if sums else {})


def read_partitions(text: str) -> dict[str, Found]:
    """Partitions by name, from lines `name|nodes|cpus|memory in MB|generic resources|time limit|up or not`.

    Raises UserError for a line that is none of these.
    """
    partitions: dict[str, Found] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("CLUSTER:"):  # of several clusters, each has a heading
            continue
        try:
            name, count, cpus, memory, resources, limit, state = (part.strip() for part in line.split("|"))
        except ValueError:
            raise UserError(
                f"sinfo answered {line.strip()!r} where a partition was expected; try `sinfo --noheader --exact --format "
                f"'{_SINFO}'`, and unset the SINFO_ variables of the environment"
            ) from None
        # The asterisk marks the default partition.
        found = partitions.setdefault(name.rstrip("*"), Found(state.lower() == "up", minutes_of(limit)))
        found.count += amount_of(count) or 0
        found.nodes.append(Node(amount_of(cpus) or 0, amount_of(memory, "M") or 0, gpus_of(resources)))
    return partitions


def add_limits(partitions: dict[str, Found], text: str) -> None:
    """Note the limits on jobs that `scontrol --oneliner show partition` lists."""
    for line in text.splitlines():
        told = dict(re.findall(r"(\w+)=(\S*)", line))
        if (found := partitions.get(told.get("PartitionName", ""))) is None:
            continue
        found.memory_a_node = amount_of(told.get("MaxMemPerNode", ""), "M")
        found.memory_a_processor = amount_of(told.get("MaxMemPerCPU", ""), "M")
        found.processors_a_node = amount_of(told.get("MaxCPUsPerNode", ""))
        found.nodes_a_job = amount_of(told.get("MaxNodes", ""))


def _call(command: Sequence[str], seconds: float = 60) -> tuple[int, str, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer in {seconds:.0f} s"
    return done.returncode, done.stdout, done.stderr.strip()


def ask_sinfo() -> dict[str, Found]:
    """The cluster's partitions. Raises UserError if SLURM's commands are missing or its controller does not answer."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"no {missing[0]} on PATH, so this is no machine that jobs can be submitted from: log in on the cluster's login "
            "node, or load SLURM's module there; on one machine: --workflow-profile profiles/default"
        )
    code, text, fault = _call(["sinfo", "--noheader", "--exact", "--format", _SINFO])
    if code:
        raise UserError(f"SLURM does not answer (sinfo: {fault}); try again when it does, `sinfo` shows it")
    partitions = read_partitions(text)
    if shutil.which("scontrol"):
        add_limits(partitions, _call(["scontrol", "--oneliner", "show", "partition"])[1])
    return partitions


# ---------------------------------------------------------------- what does not fit


def misfit(job: Job, name: str, found: Found, site: Slurm) -> str | None:
    """Why no node of the partition `name` can run the job, with a fix; None if one can."""
    key = f"slurm.{'gpu' if job.gpus else 'cpu'}"
    asks = f"{job.rule} ({job.about})"
    if job.memory_mb < job.weights_mb:
        return (
            f"{asks} gets {job.memory_mb:,} MB of memory, the model's weights alone take {job.weights_mb:,} MB: "
            "raise mem_mb (--set-resources) or resource_factors.memory"
        )
    most = max(sum(node.gpus.values()) for node in found.nodes)
    if job.gpus > most:
        return (
            f"{asks} asks for {job.gpus} GPUs on a node, a node of partition {name} has at most {most}: "
            f"lower launch.gpus (and raise launch.nodes), or set {key}.partition in {SITE_FILE}"
        )
    kind = site.gpu.gpu_type if job.gpus and site.gpu else None
    types = sorted({kind for node in found.nodes for kind in node.gpus})
    if kind and kind not in types:
        return f"partition {name} has no GPU of type {kind!r}; {closest(kind, types)}: set slurm.gpu.gpu_type in {SITE_FILE}"
    with_gpus = [
        node for node in found.nodes if (node.gpus.get(kind, 0) if kind else sum(node.gpus.values())) >= job.gpus
    ]
    if not with_gpus:
        return (
            f"{asks} asks for {job.gpus} GPUs of type {kind} on a node, and no node of partition {name} has so many: "
            f"lower launch.gpus, or set slurm.gpu.gpu_type in {SITE_FILE}"
        )
    memory = max(node.memory_mb for node in with_gpus)
    if job.memory_mb > min(memory, found.memory_a_node or memory):
        whose = f"the largest node of partition {name} has {memory:,}"
        if found.memory_a_node is not None and found.memory_a_node < memory:
            memory = found.memory_a_node
            whose = f"partition {name} gives a job {memory:,} on a node (MaxMemPerNode)"
        return (
            f"{asks} needs {job.memory_mb:,} MB of memory, {whose}: use a "
            f"partition with larger nodes ({key}.partition in {SITE_FILE}), a smaller model, or less: --set-resources "
            f"{job.rule}:mem_mb={memory}"
        )
    cpus = max(node.cpus for node in with_gpus)
    if job.threads > min(cpus, found.processors_a_node or cpus):
        whose = f"the largest node of partition {name} has {cpus}"
        if found.processors_a_node is not None and found.processors_a_node < cpus:
            whose = f"partition {name} gives a job {found.processors_a_node} on a node (MaxCPUsPerNode)"
        return f"{asks} asks for {job.threads} processors, {whose}: lower `threads` in the configuration"
    # SLURM gives a job more processors where its memory is more than those it asked for may have.
    share = found.memory_a_processor
    needed = -(-job.memory_mb // share) if share else 0
    if needed > min(cpus, found.processors_a_node or cpus):
        return (
            f"{asks} needs {job.memory_mb:,} MB of memory, partition {name} gives {share:,} for each processor "
            f"(MaxMemPerCPU), and no node has {needed} processors: use another partition ({key}.partition in "
            f"{SITE_FILE}), or less: --set-resources {job.rule}:mem_mb={share * cpus}"
        )
    nodes = int(job.told["nodes"] or 1)
    if nodes > found.count:
        return f"{asks} asks for {nodes} nodes, partition {name} has {found.count}: lower launch.nodes"
    if found.nodes_a_job is not None and nodes > found.nodes_a_job:
        return f"{asks} asks for {nodes} nodes, partition {name} gives a job {found.nodes_a_job}: lower launch.nodes"
    if found.minutes is not None and job.minutes > found.minutes:
        return (
            f"{asks} asks for {job.minutes / 60:.1f} hours, partition {name} allows {found.minutes / 60:.1f}: set "
            f"{key}.hours: {max(1, found.minutes // 60)} in {SITE_FILE}, so that no job asks for more"
        )
    return None


def impossible_jobs(jobs: Iterable[Job], partitions: dict[str, Found], site: Slurm) -> list[str]:
    """Jobs that no node can run: one line per rule and partition.

    Of several partitions (`gpu,gpu_long`) SLURM starts a job in the first that can, so one that fits is enough.
    """
    faults: dict[tuple, str | None] = {}
    for job in jobs:
        names = str(job.told["slurm_partition"]).split(",")
        key = f"slurm.{'gpu' if job.gpus else 'cpu'}.partition"
        if job.gpus and site.gpu is None:
            faults["no gpu",] = f"{job.rule} ({job.about}) needs a GPU and slurm.gpu in {SITE_FILE} is null"
        elif unknown := [name for name in names if name not in partitions]:
            name = unknown[0]
            faults[name,] = f"partition {name!r} is unknown; {closest(name, partitions)}: set {key} in {SITE_FILE}"
        elif not (open_ones := [name for name in names if partitions[name].up]):
            named = f"partition {names[0]} is" if len(names) == 1 else f"partitions {', '.join(names)} are"
            faults[named,] = f"{named} down (sinfo shows it): wait, or set {key} in {SITE_FILE}"
        elif not faults.get((*names, job.rule)):
            found = [misfit(job, name, partitions[name], site) for name in open_ones]
            faults[*names, job.rule] = None if None in found else found[0]
    return list(dict.fromkeys(fault for fault in faults.values() if fault))


def refused_jobs(jobs: Iterable[Job]) -> list[str]:
    """SLURM's own objections to each kind of job (account, quality of service, site limits)."""
    kinds = {job.kind: job for job in jobs}
    faults: dict[str, str] = {}
    for job in kinds.values():
        asked = [f"--mem={job.memory_mb}", f"--cpus-per-task={job.threads}", f"--time={job.minutes}"]
        command = ["sbatch", "--test-only", *sbatch_options(job.told), *asked, "--wrap=true"]
        code, _, fault = _call(command)
        said, words = " ".join(fault.split()), " ".join(command)
        if code and "Requested node configuration is not available" in said:
            # Suitable nodes exist according to `sinfo`, but none is up; SLURM queues such a job until one is.
            print(
                f"note: {job.rule} ({job.about}) will wait: the nodes that can run it are down or reserved",
                file=sys.stderr,
            )
        elif code:
            faults[said] = f"SLURM would refuse {job.rule} ({job.about}): {said}. Mend {SITE_FILE}; asked was: {words}"
    return list(faults.values())


# ---------------------------------------------------------------- the working folder


def file_system_of(folder: Path, mounts: str) -> str:
    """File system type of `folder`, from the text of /proc/self/mounts; empty if unknown."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        _, place, name, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        inside = folder == Path(place) or Path(place) in folder.parents
        if inside and len(place) >= best:  # later mounts hide earlier ones
            best, kind = len(place), name
    return kind


def is_on_network(folder: Path) -> bool:
    """Whether the folder is on a network file system."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return file_system_of(folder.resolve(), mounts) in NETWORK_FILE_SYSTEMS


def folder_fault(folder: Path, told: Told, wanted: Iterable[Path], seconds: int = 20) -> str | None:
    """Problem with the folder as seen by a node, tested with a one-second job; None if there is none.

    The node reads a word written here and writes one that is read here. wanted: other files that jobs need.
    If no node is free within `seconds`, prints a note and returns None.
    """
    word = secrets.token_hex(8)
    asked, answer = (folder / f".retrace-{word}-{name}" for name in ("asked", "answer"))
    files = " ".join(shlex.quote(str(path)) for path in wanted)
    source, target = shlex.quote(str(asked)), shlex.quote(str(answer))
    script = (
        f"[ -e {source} ] && cat {source} > {target} || exit 3; "
        f'for file in {files}; do [ -e "$file" ] || {{ echo "$file"; exit 4; }}; done'
    )
    limits = ["--ntasks=1", "--mem=50", "--time=1", f"--immediate={seconds}", "--job-name=retrace_folder", "--chdir=/"]
    asked.write_text(word, encoding="utf-8")
    try:
        code, text, fault = _call(["srun", *sbatch_options(told), *limits, "sh", "-c", script], seconds + 40)
        seen = code in (0, 4) and _comes(answer, word)
    finally:
        asked.unlink()
        answer.unlink(missing_ok=True)
    where = f"a node of partition {told['slurm_partition']}"
    if code == 4:
        missing = text.splitlines()[0]
        return f"{where} does not see {missing}: put project and environment on a file system that all nodes share"
    if code == 0 and not seen:
        return f"{where} wrote into {folder} and nothing arrived here: {_MEND}"
    if code == 3 or "No such file" in fault:
        return f"{where} does not see {folder}, or may not write there: {_MEND}"
    if code:
        why = fault.splitlines()[0] if fault else f"srun ended with {code}"
        print(f"note: whether the nodes see {folder} could not be tried ({why})", file=sys.stderr)
    return None


_MEND = (
    "work in a folder that all nodes share (home, scratch or project space; `df -T .` shows the file system), or set "
    f"slurm.check_folder: never in {SITE_FILE} if this is a mistake"
)


def _comes(file: Path, word: str, seconds: float = 20) -> bool:
    """Whether the word arrives in the file in time; network file systems show new files late."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if file.exists() and file.read_text(encoding="utf-8").strip() == word:
            return True
        time.sleep(0.2)
    return False


# ---------------------------------------------------------------- all of it


def check_site(jobs: Sequence[Job], site: Slurm, folder: Path, wanted: Sequence[Path]) -> None:
    """Raise UserError with all problems found; returns if the jobs can be submitted.

    jobs: jobs to submit. folder: working folder. wanted: other files that jobs read.
    """
    partitions = ask_sinfo()
    faults = impossible_jobs(jobs, partitions, site) or refused_jobs(jobs)
    if not faults and site.check_folder != "never" and (site.check_folder == "always" or not is_on_network(folder)):
        places = {str(job.told["slurm_partition"]): job.told for job in jobs}
        for told in places.values():
            faults += [fault for fault in [folder_fault(folder, told, wanted)] if fault]
    if faults:
        raise UserError("nothing was submitted to SLURM:\n" + "\n".join(f"  - {fault}" for fault in faults))
