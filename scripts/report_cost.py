"""Report what finished jobs cost, per rule, from the benchmark records and the files in this folder.

    python scripts/report_cost.py
    python scripts/report_cost.py results/gsm8k/grace_acc.json --json spent.json

Inputs:  benchmarks/ (Snakemake writes one record per job), results/, and Snakemake's metadata in .snakemake/. With
         targets, only their upstream jobs count, as planned by Snakemake; arguments after `--` are passed to it.
         Nothing is run.
Output:  a table, one line per rule: wall time (total and longest job), CPU and GPU time, peak memory, disk. With
         --json also as a document. Deleted shards take no disk space; a job that ran twice counts once.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

from retrace import cli
from retrace.planning.command import (
    add_benchmarks_option,
    add_workflow_options,
    benchmarks_of,
    snakemake_options,
)


def main(arguments: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if arguments is None else arguments)
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = cli.command(__doc__)
    add_workflow_options(parser)
    add_benchmarks_option(parser)
    parser.add_argument("--json", help="also write the report to this file")
    args = parser.parse_args(argv[:cut])

    from retrace.machine.storage import write_json
    from retrace.planning.jobs import planned_jobs
    from retrace.planning.records import read_records
    from retrace.planning.spent import files_by_rule, report, written_by
    from retrace.planning.tables import report_lines

    records, rules, outputs = read_records(benchmarks_of(args)), written_by(), None
    if args.targets:
        jobs = planned_jobs(args.targets, [*snakemake_options(args), *argv[cut + 1 :]], force=True)
        benchmarks = {job.benchmark: job.rule for job in jobs}
        records = [
            replace(record, job=replace(record.job, rule=benchmarks[record.job.benchmark]))
            for record in records
            if record.job.benchmark in benchmarks
        ]
        outputs = {file: job.rule for job in jobs for file in job.output}
        rules |= outputs
    found = report(args.targets, records, files_by_rule(rules, only=outputs))
    if args.json:
        write_json(args.json, found)
    print("\n".join(report_lines(found)))


if __name__ == "__main__":
    cli.run(main)
