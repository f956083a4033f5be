"""The configuration's sections on a SLURM cluster: what a site sets, and how much of it jobs ask for."""

import re
import shlex
from typing import Literal

from pydantic import Field, field_validator

from retrace.sections import Count, Section


class ResourceFactors(Section):
    """Factors on what jobs ask of a cluster; a preset with little work lowers them, so that its jobs start sooner."""

    time: float = Field(default=1.0, gt=0, description="on the run time")
    memory: float = Field(default=1.0, gt=0, description="on the memory")


class Partition(Section):
    """A partition, and the most that one of its nodes gives to a job."""

    partition: str = Field(
        min_length=1,
        description="name, as `sinfo` lists it; of several (`gpu,gpu_long`) SLURM takes the first that can",
    )
    qos: str | None = Field(default=None, description="quality of service, where the site wants one")
    constraint: str | None = Field(default=None, description="features that a node must have, as for sbatch -C")
    memory_gb: Count | None = Field(
        default=None, description="memory of a node; jobs that are tried again ask for more, up to this"
    )
    hours: Count | None = Field(default=None, description="longest run time; no job asks for more")

    @field_validator("partition")
    @classmethod
    def _names(cls, text: str) -> str:
        """Without spaces, and without the asterisk that marks the default partition in `sinfo`'s list."""
        names = [name.strip().removesuffix("*") for name in text.split(",")]
        if not all(names) or any(sign.isspace() or sign in "'\"" for name in names for sign in name):
            raise ValueError(f"{text!r}: give a name, or several with a comma between them")
        return ",".join(dict.fromkeys(names))


class GpuPartition(Partition):
    """A partition with GPUs."""

    gpu_type: str | None = Field(default=None, description="type, as `sinfo -o %G` lists it; null: any")
    ask_by: Literal["gres", "gpus"] = Field(
        default="gres", description="how the site wants GPUs asked for: --gres=gpu:TYPE:N or --gpus=TYPE:N"
    )

    @field_validator("gpu_type")
    @classmethod
    def _type(cls, text: str | None) -> str | None:
        """Snakemake's SLURM plugin lets no other signs through."""
        if text is not None and not re.fullmatch(r"[A-Za-z0-9_.]+", text):
            raise ValueError(
                f"{text!r}: only letters, digits, `_` and `.` can be asked for; with another sign in the type's name leave "
                "gpu_type null, and choose the nodes by `constraint` or `partition`"
            )
        return text


class Slurm(Section):
    """A SLURM cluster (profiles/slurm/site.yaml)."""

    account: str | None = Field(default=None, description="account that is charged; null: SLURM's default")
    cpu: Partition = Field(description="where jobs without a GPU run")
    gpu: GpuPartition | None = Field(default=None, description="where jobs with GPUs run; null: the site has none")
    extra: str = Field(default="", description="further words for sbatch, for instance --exclude=node7")
    offline_nodes: bool = Field(
        default=True, description="compute nodes reach no network: jobs there never look for a model on the Hub"
    )
    check_folder: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="try on a node, before the first job, whether it sees the working folder; auto: only where the "
        "folder's file system is no network one",
    )

    @field_validator("extra")
    @classmethod
    def _words(cls, text: str) -> str:
        try:
            shlex.split(text)
        except ValueError as error:
            raise ValueError(f"{text!r} cannot be cut into words ({error})") from None
        return text

    def partition_of(self, gpus: int) -> Partition:
        """Where a job with so many GPUs runs; the CPU partition's values where the site has no GPUs."""
        return self.gpu if gpus and self.gpu else self.cpu
