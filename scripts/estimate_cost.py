"""Estimate the jobs that a target needs and their cost. Runs nothing, and needs neither network nor GPU.

    python scripts/estimate_cost.py results/gsm8k/grace_acc.json
    python scripts/estimate_cost.py results/gsm8k/grace_acc.json --workflow-profile profiles/slurm --json cost.json
    python scripts/estimate_cost.py results/svamp/grace_acc.json --config 'seeds=[0]' --gpu-flops 2.5e14

Inputs:  the workflow in this folder, its configuration, and the benchmark records of earlier jobs in benchmarks/. Arguments
         after `--` are passed to Snakemake.
Output:  a table, one line per rule: jobs, GPU hours, CPU hours, tokens, disk (likely value, low to high) and their
         source: measurements of the same jobs with their spread, scaled measurements of the rule elsewhere, or the
         configuration alone. With --json also as a document.
The formulas are in scripts/retrace/planning/work.py and in each system's cost.py; every assumption is an option below.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.planning.assumptions import Assumptions
from retrace.planning.command import (
    add_benchmarks_option,
    add_workflow_options,
    benchmarks_of,
    project_of,
    snakemake_options,
)


def main(arguments: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if arguments is None else arguments)
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = cli.command(__doc__, Assumptions)
    add_workflow_options(parser)
    add_benchmarks_option(parser)
    parser.add_argument("--json", help="also write the estimate to this file")
    args = parser.parse_args(argv[:cut])
    assumed = cli.section_from(args, Assumptions)

    from retrace.planning.estimate import estimate
    from retrace.planning.jobs import planned_jobs
    from retrace.planning.records import read_records
    from retrace.planning.sizes import Sizes
    from retrace.planning.tables import estimate_lines
    from retrace.systems.costs import register_formulas

    register_formulas()
    from retrace.machine.storage import write_json

    project = project_of(args)
    records = read_records(benchmarks_of(args))
    jobs = planned_jobs(args.targets, [*snakemake_options(args), *argv[cut + 1 :]])
    sizes = Sizes(project / "config", jobs, assumed)
    found = estimate(args.targets, jobs, records, sizes)
    if args.json:
        write_json(args.json, found)
    print("\n".join(estimate_lines(found, shutil.disk_usage(Path.cwd()).free)))


if __name__ == "__main__":
    cli.run(main)
