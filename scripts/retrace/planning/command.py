"""Options that select the workflow, for programs that ask Snakemake for its plan."""

import argparse
from pathlib import Path

from retrace.cli import flag_of
from retrace.errors import UserError


def add_workflow_options(parser: argparse.ArgumentParser) -> None:
    """Add targets, and Snakemake's options that select workflow and configuration."""
    parser.add_argument(
        "targets", nargs="*", help="files that the workflow makes (default: what `snakemake` alone makes)"
    )
    group = parser.add_argument_group("workflow", "as for Snakemake")
    group.add_argument("--snakefile", help="(default: Snakefile in this folder, otherwise the one of these scripts)")
    group.add_argument("--workflow-profile", help="for instance profiles/slurm")
    group.add_argument("--profile", help="your own profile: a folder")
    group.add_argument("--configfile", nargs="+", default=[], help="YAML files with settings")
    group.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="settings")


def add_benchmarks_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--benchmarks", help="folder of measured jobs (default: benchmarks)")


def benchmarks_of(args: argparse.Namespace) -> Path:
    """Folder of benchmark records; the default one need not exist."""
    if args.benchmarks and not Path(args.benchmarks).is_dir():
        raise UserError(f"--benchmarks {args.benchmarks}: no such folder")
    return Path(args.benchmarks or "benchmarks")


def project_of(args: argparse.Namespace) -> Path:
    """Folder with Snakefile, rules/ and config/: that of --snakefile, this folder, or the one of these scripts."""
    if args.snakefile:
        return Path(args.snakefile).resolve().parent
    here = Path.cwd()
    return here if (here / "Snakefile").is_file() else Path(__file__).resolve().parents[3]


def snakemake_options(args: argparse.Namespace) -> list[str]:
    """Snakemake's command-line options from those of `add_workflow_options`."""
    argv = ["--snakefile", str(project_of(args) / "Snakefile" if not args.snakefile else args.snakefile)]
    for name in ("workflow_profile", "profile"):
        if value := getattr(args, name):
            if not Path(value).is_dir():  # Snakemake would ignore it
                raise UserError(f"{flag_of(name)} {value}: no such folder; profiles of this project are in profiles/")
            argv += [flag_of(name), value]
    if args.configfile:
        argv += ["--configfile", *args.configfile]
    # Of a paper's table, all that can be made is planned.
    own = any(value.startswith("tables=") for value in args.config)
    return [*argv, "--config", *args.config, *([] if own else ["tables=run"])]
