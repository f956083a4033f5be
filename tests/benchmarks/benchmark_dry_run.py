"""How long Snakemake plans everything: all tasks, each method on its paper's models, by seeds and shards.

    python tests/benchmarks/benchmark_dry_run.py
    python tests/benchmarks/benchmark_dry_run.py --once

Prints one line of JSON: jobs, processor seconds, wall seconds and peak memory of the dry run with 5 seeds and 8 shards,
the same with fewer and more of each (--once leaves them out), processor milliseconds a job, and those that another
job adds.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

from measured_run import PROJECT, run

sys.path.insert(0, str(PROJECT / "scripts"))
from retrace.evaluation.reported import load_papers
from retrace.settings import Settings

POINTS = [(1, 8), (10, 8), (5, 1), (5, 16)]  # seeds and shards beside the first
TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)


def headline_targets(config: Path) -> list[str]:
    """Every method of config/methods on every task, with the models from the Hub that its paper reports."""
    settings = Settings({}, config)
    models = [settings.model(name) for name in settings.models]
    reported = {paper.paper: {row.model for row in paper.rows} for paper in load_papers(config / "papers")}
    targets = []
    for name in settings.methods:
        names = reported.get(settings.method(name).paper, set())
        for model in models:
            # A released checkpoint has the paper's name too and is made for one task.
            ours = model.hub and model.family != "encoder" and names & set(model.paper_names)
            if ours and not model.name.endswith("_released"):
                targets += [f"results/{task}/{model.name}/{name}_acc.json" for task in settings.tasks]
    return targets


def measure(targets: list[str], seeds: int, shards: int) -> dict:
    """One dry run in an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "config").mkdir()
        (Path(name) / "config" / "config.yaml").write_text("preset: paper\n")
        words = ["--snakefile", str(PROJECT / "Snakefile"), "--dry-run", "--cores", "2", *targets]
        words += ["--config", f"seeds={list(range(seeds))}", f"shards={{sample: {shards}, decode: {shards}}}"]
        found = run([sys.executable, "-m", "snakemake", *words], name)
    jobs = int(TOTAL.search(found.pop("printed"))[1])
    return {"seeds": seeds, "shards": shards, "jobs": jobs, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="5 seeds and 8 shards only")
    given = parser.parse_args()
    targets = headline_targets(PROJECT / "config")
    found = {"targets": len(targets), **measure(targets, 5, 8)}
    found["cpu_milliseconds_a_job"] = round(1000 * found["cpu_seconds"] / found["jobs"], 2)
    if not given.once:
        growth = [measure(targets, *point) for point in POINTS]
        runs = sorted([found, *growth], key=lambda one: one["jobs"])
        more = runs[-1]["jobs"] - runs[0]["jobs"]
        found["cpu_milliseconds_a_further_job"] = round(
            1000 * (runs[-1]["cpu_seconds"] - runs[0]["cpu_seconds"]) / more, 2
        )
        found["growth"] = growth
    print(json.dumps(found))


if __name__ == "__main__":
    main()
