"""Find files that changed after their rule wrote them, by recorded checksums, and rebuild them.

    python scripts/check_files.py
    python scripts/check_files.py results/gsm8k/grace_acc.json --rebuild
    python scripts/check_files.py --mend-times

Inputs:  checksums/ (every job records what it wrote) and results/. With targets, only their upstream files are read,
         as planned by Snakemake; arguments after `--` are passed to it.
Output:  the bad files and the command that rebuilds them, which --rebuild runs. Exit status 1 if files are bad.
Missing files are not reported: Snakemake rebuilds them when they are needed. With --mend-times no contents are read;
files in results/ that a wrong clock dated in the future get the current time, in order.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.planning.command import add_workflow_options, snakemake_options

SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if arguments is None else arguments)
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = cli.command(__doc__)
    add_workflow_options(parser)
    parser.add_argument("--checksums", default="checksums", help="folder of the records (default: checksums)")
    parser.add_argument("--rebuild", action="store_true", help="rebuild the bad files now")
    parser.add_argument(
        "--mend-times", action="store_true", help="only date files of results/ that are dated in the future now"
    )
    args = parser.parse_args(argv[:cut])
    if args.mend_times:
        mend_times()
        return
    options = [*snakemake_options(args), *argv[cut + 1 :]]

    from retrace.errors import UserError
    from retrace.machine.checksums import faults_of
    from retrace.machine.storage import made_with

    artifacts = artifacts_to_check(args.checksums, args.targets, options)
    faults = [fault for artifact in artifacts for fault in faults_of(artifact, args.checksums)]
    there = sum(Path(artifact).exists() for artifact in artifacts)
    if not faults:
        print(f"{there} files and folders are unchanged since their rules wrote them")
        return
    for fault in faults[:SHOWN]:
        print(f"{fault.file}: {fault.fault}")
    if len(faults) > SHOWN:
        print(f"... and {len(faults) - SHOWN} more")
    bad = list(dict.fromkeys(made_with(fault.artifact) for fault in faults))
    command = ["snakemake", *(args.targets or bad), "--forcerun", *bad]
    # Leave --snakefile out of the command if Snakemake finds the workflow by itself.
    shown = options if args.snakefile or not Path("Snakefile").is_file() else options[2:]
    print(f"{len(bad)} of {there} are bad; rebuild them with\n  {shlex.join([*command, *shown])}", flush=True)
    if not args.rebuild:
        sys.exit(1)
    done = subprocess.run([sys.executable, "-m", *command, *options], check=False)
    if done.returncode:
        raise UserError("the bad files could not be rebuilt; Snakemake says why above")
    again = dict.fromkeys([*bad, *(fault.artifact for fault in faults)])
    left = [fault for artifact in again for fault in faults_of(artifact, args.checksums)]
    if left:
        raise UserError(f"{left[0].file}: {left[0].fault}, although it was rebuilt; check the disk")
    print(f"{len(bad)} rebuilt")


def mend_times() -> None:
    """Set files in results/ from the future to the current time. Raises UserError while a run uses this folder."""
    from retrace.errors import UserError
    from retrace.machine.file_times import reset_future_times
    from retrace.machine.run_guard import current_holder

    if not Path("results").is_dir():
        raise UserError("results: no such folder; run this in the folder that contains results/")
    if busy := current_holder():
        raise UserError(f"{busy}; mend the times when it has ended")
    dated = reset_future_times("results")
    print(f"{len(dated)} files and folders were dated in the future and now have the current time, in order")


def artifacts_to_check(records: str, targets: Sequence[str], options: Sequence[str]) -> list[str]:
    """Files and folders with a record; with targets, only the targets and their upstream files."""
    from retrace.errors import UserError
    from retrace.machine.checksums import recorded_artifacts

    if not Path(records).is_dir():
        raise UserError(f"{records}: no such folder; run this in the folder that contains results/, after a run")
    found = recorded_artifacts(records)
    if not targets:
        return found
    from retrace.machine.storage import made_with
    from retrace.planning.jobs import planned_jobs

    behind = {file for job in planned_jobs(targets, options, force=True) for file in job.output}
    return [artifact for artifact in found if made_with(artifact) in behind]


if __name__ == "__main__":
    cli.run(main)
