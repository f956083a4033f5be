"""Snakemake, with jobs on the cluster looked at every second.

    python tests/cluster/impatient_snakemake.py ARGUMENTS OF SNAKEMAKE

The SLURM plugin waits ten seconds longer after each look that found no job ended, up to three minutes; no option
shortens it. On a real cluster that is right.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 1


def look_every_second() -> None:
    plain = RemoteExecutor.next_seconds_between_status_checks
    RemoteExecutor.next_seconds_between_status_checks = property(
        lambda executor: min(plain.fget(executor), SECONDS), plain.fset
    )


if __name__ == "__main__":
    look_every_second()
    main(sys.argv[1:])
