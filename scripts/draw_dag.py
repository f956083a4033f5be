"""Draw the job graph of any target as SVG, on one page. Runs nothing, and needs no system package.

    python scripts/draw_dag.py results/tables/grace_table1.html
    python scripts/draw_dag.py results/gsm8k/grace_acc.json --workflow-profile profiles/tiny --output dag.svg
    python scripts/draw_dag.py results/gsm8k/grace_acc.json --kind filegraph --config preset=smoke

Inputs:  the workflow in this folder and its configuration. Arguments after `--` are passed to Snakemake.
Output:  --output, or results/dag/TARGET.svg with `_` for every slash. A box merges similar jobs (`decode ×40`): those that
         differ in shard and seed and, until the drawing fits an A4 page, in task, model, round and so on; --all-jobs
         shows each one. Dashed boxes are done. Graphviz computes the layout if `dot` is installed, otherwise the
         package graphlay.
"""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from retrace import cli
from retrace.errors import UserError
from retrace.planning.command import add_workflow_options, snakemake_options

KINDS = {
    "dag": "equal jobs in one box",
    "rulegraph": "one box per rule",
    "filegraph": "one box per rule, with the files that it writes",
}


def default_output(targets: Sequence[str], kind: str) -> str:
    """results/dag/{target}.svg, with the kind in the name if it is not the default."""
    stem = "_and_".join(target.strip("/").replace("/", "_").removesuffix(".json") for target in targets[:3]) or "all"
    return f"results/dag/{stem}{'' if kind == 'dag' else '_' + kind}.svg"


def file_graph(targets: Sequence[str], options: Sequence[str]) -> str:
    """What `snakemake --filegraph` prints for the targets."""
    command = [sys.executable, "-m", "snakemake", *targets, *options, "--filegraph"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        faults = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("Using ")]
        raise UserError(f"snakemake cannot plan {' '.join(targets) or 'the workflow'}: {' '.join(faults)[:1500]}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if arguments is None else arguments)
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = cli.command(__doc__)
    add_workflow_options(parser)
    parser.add_argument("--output", help="SVG file to write")
    kinds = "; ".join(f"{name}: {about}" for name, about in KINDS.items())
    parser.add_argument("--kind", choices=list(KINDS), default="dag", help=f"{kinds} (default dag)")
    parser.add_argument("--all-jobs", action="store_true", help="one box per job, on a page as large as needed")
    parser.add_argument(
        "--layout", choices=["auto", "dot", "graphlay"], default="auto", help="auto: dot if it is installed"
    )
    args = parser.parse_args(argv[:cut])
    if args.all_jobs and args.kind != "dag":
        parser.error(f"--all-jobs shows jobs, --kind {args.kind} shows rules: use one of them")

    from retrace.machine.storage import write_text
    from retrace.planning.drawing import drawing, first_that_fits, layout_named, to_svg
    from retrace.planning.graph import LINES_OF_FILES, graph_of_files, graph_of_jobs, merge_levels
    from retrace.planning.jobs import planned_jobs

    layout = layout_named(args.layout)
    options = [*snakemake_options(args), *argv[cut + 1 :]]
    title = " ".join(args.targets) or "Everything that the workflow makes"
    if args.kind == "filegraph":
        text = file_graph(args.targets, options)
        drawn = first_that_fits((graph_of_files(text, longest) for longest in LINES_OF_FILES), title, layout)
    else:
        with ThreadPoolExecutor() as pool:  # two Snakemake processes in parallel
            jobs, waiting = pool.map(lambda force: planned_jobs(args.targets, options, force), (True, False))
        if not jobs:
            raise UserError(f"no job leads to {title}")
        if args.all_jobs:
            drawn = drawing(graph_of_jobs(jobs, waiting, ()), title, layout, page=False)
        else:
            levels = merge_levels(jobs)[-1:] if args.kind == "rulegraph" else merge_levels(jobs)
            drawn = first_that_fits((graph_of_jobs(jobs, waiting, merged) for merged in levels), title, layout)
    output = Path(args.output or default_output(args.targets, args.kind))
    write_text(output, to_svg(drawn))
    width, height = drawn.size
    boxes = f"{len(drawn.graph.boxes)} boxes, {len(drawn.graph.edges)} arrows"
    print(f"{output}: {boxes}, {width:.0f} x {height:.0f} points, text of {drawn.font:.1f} points")


if __name__ == "__main__":
    cli.run(main)
