"""Draw the graph of any target as SVG; no system package is needed.

    python scripts/draw_dag.py results/gsm8k/grace_acc.json --kind dag
    python scripts/draw_dag.py results/gsm8k/grace_acc.json -- --workflow-profile profiles/tiny

Inputs:  the workflow in this folder; words after `--` go to Snakemake. Nothing is executed.
Output:  --output, or results/dag/TARGET.svg with `_` for every slash. Drawn by Graphviz where `dot` is installed,
         otherwise by a layout of our own. Dashed boxes are jobs whose output is there already.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.errors import UserError


def default_output(target: str | None, kind: str) -> str:
    """results/dag/{target}.svg, with the kind in the name where it is not the usual one."""
    stem = "all" if target is None else target.strip("/").replace("/", "_").removesuffix(".json")
    return f"results/dag/{stem}{'' if kind == 'rulegraph' else '_' + kind}.svg"


def dot_of(target: str | None, kind: str, extra: Sequence[str]) -> str:
    """What Snakemake prints for the target, in the dot language."""
    command = [sys.executable, "-m", "snakemake", *([target] if target else []), *extra, f"--{kind}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        faults = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("Using ")]
        raise UserError(f"snakemake cannot plan {target or 'the workflow'}: {' '.join(faults)[:1500]}")
    return done.stdout[done.stdout.find("digraph") :] if "digraph" in done.stdout else done.stdout


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    cut = words.index("--") if "--" in words else len(words)
    parser = cli.command(__doc__)
    parser.add_argument(
        "target", nargs="?", help="a file that the workflow makes (default: what `snakemake` alone makes)"
    )
    parser.add_argument("--output", help="SVG file to write")
    parser.add_argument(
        "--kind",
        choices=["rulegraph", "dag", "filegraph"],
        default="rulegraph",
        help="one box a rule, a job, or with files",
    )
    parser.add_argument(
        "--renderer", choices=["auto", "dot", "own"], default="auto", help="auto: dot where it is installed"
    )
    given = parser.parse_args(words[:cut])

    from retrace.evaluation.graph import parse_dot, to_svg
    from retrace.machine.storage import write_text

    output = Path(given.output or default_output(given.target, given.kind))
    text = dot_of(given.target, given.kind, words[cut + 1 :])
    graph = parse_dot(text)
    boxes, arrows = len(graph.nodes), len(graph.edges)
    program = shutil.which("dot")
    if given.renderer == "dot" and program is None:
        raise UserError("--renderer dot: Graphviz is not installed; leave the option out")
    if program and given.renderer != "own":
        done = subprocess.run([program, "-Tsvg"], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UserError(f"dot: {done.stderr.strip()[:300]}; use --renderer own")
        picture = done.stdout
    else:
        picture = to_svg(graph, f"{given.kind} of {given.target or 'the workflow'}")
    write_text(output, picture)
    print(f"{output}: {boxes} boxes, {arrows} arrows")


if __name__ == "__main__":
    cli.run(main)
