"""SLURM requests of jobs, for Snakemake's plugin, which reads resources, and for our own commands."""

import shlex

from retrace.machine.slurm_options import Slurm

Told = dict[str, str | int | None]


def slurm_resources(site: Slurm, gpus: int, nodes: int = 1) -> Told:
    """Resources for the SLURM plugin of a job with this many GPUs per node; None leaves one unset.

    `gres` counts GPUs per node, `gpu` those of the whole job.
    """
    place = site.partition_of(gpus)
    told: Told = {
        "slurm_partition": place.partition,
        "slurm_account": site.account,
        "qos": place.qos,
        "constraint": place.constraint,
        "slurm_extra": site.extra or None,
        # Otherwise SLURM may allocate one GPU on each of two nodes.
        "nodes": nodes,
        "gres": None,
        "gpu": None,
        "gpu_model": None,
    }
    if gpus and site.gpu:
        if site.gpu.ask_by == "gres":
            told["gres"] = ":".join(word for word in ("gpu", site.gpu.gpu_type, str(gpus)) if word)
        else:
            told["gpu"], told["gpu_model"] = gpus * nodes, site.gpu.gpu_type
    return told


def sbatch_options(told: Told) -> list[str]:
    """The same resources as options of sbatch or srun."""
    argv = [f"--partition={told['slurm_partition']}", f"--nodes={told['nodes']}"]
    for name, option in (("slurm_account", "account"), ("qos", "qos"), ("constraint", "constraint"), ("gres", "gres")):
        if told[name] is not None:
            argv.append(f"--{option}={told[name]}")
    if told["gpu"]:
        argv.append(f"--gpus={told['gpu_model']}:{told['gpu']}" if told["gpu_model"] else f"--gpus={told['gpu']}")
    return argv + (shlex.split(str(told["slurm_extra"])) if told["slurm_extra"] else [])


def grown(first: float, attempt: int, most: float | None) -> int:
    """Memory to request: `first` times the attempt, at most `most`, but at least `first`.

    The lower bound keeps a first attempt that fits no node from looking as if it did.
    """
    return int(max(first, min(first * attempt, most or first * attempt)))
