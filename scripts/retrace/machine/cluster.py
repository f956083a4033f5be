"""What SLURM is told of a job: by Snakemake's plugin, which reads resources, and by commands of our own."""

from retrace.machine.slurm_options import Slurm

Told = dict[str, str | int | None]


def slurm_resources(site: Slurm, gpus: int, nodes: int = 1) -> Told:
    """The resources that the SLURM plugin reads, for a job with so many GPUs on each of its nodes; None: nothing.

    `gres` counts GPUs a node, `gpu` those of the whole job.
    """
    place = site.partition_of(gpus)
    told: Told = {
        "slurm_partition": place.partition,
        "slurm_account": site.account,
        "qos": place.qos,
        "constraint": place.constraint,
        "slurm_extra": site.extra or None,
        # Without it SLURM may take one GPU from each of two nodes.
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
    """The same as words for sbatch or srun."""
    argv = [f"--partition={told['slurm_partition']}", f"--nodes={told['nodes']}"]
    for name, option in (("slurm_account", "account"), ("qos", "qos"), ("constraint", "constraint"), ("gres", "gres")):
        if told[name] is not None:
            argv.append(f"--{option}={told[name]}")
    if told["gpu"]:
        argv.append(f"--gpus={told['gpu_model']}:{told['gpu']}" if told["gpu_model"] else f"--gpus={told['gpu']}")
    return argv + (str(told["slurm_extra"]).split() if told["slurm_extra"] else [])


def grown(first: float, attempt: int, most: float | None) -> int:
    """Memory that the so manieth attempt asks for: `first` times the attempt, up to `most`, never less than `first`.

    So a first attempt that no node can hold is not made to look as if one could.
    """
    return int(max(first, min(first * attempt, most or first * attempt)))
