"""How long Snakemake plans all headline results at once, by seeds and shards.

    python tests/benchmarks/benchmark_dry_run.py
    python tests/benchmarks/benchmark_dry_run.py --once
    python tests/benchmarks/benchmark_dry_run.py --once --everything

The headline results are those of the five papers' tables: each method on its paper's tasks and models. --everything
plans each method on every task that it can be trained for, whether its paper has it or not.

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
from retrace.errors import UserError
from retrace.evaluation.reported import load_papers
from retrace.workflow.settings import Settings

TABLES = [
    "grace_table1",
    "dpo_st_table2",
    "learn_to_reason_table1",
    "icot_table1",
    "icot_si_inference_log",
    "latro_table2",
]
POINTS = [(1, 8), (10, 8), (5, 1), (5, 16)]  # seeds and shards beside the first
TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)


def all_targets(config: Path) -> list[str]:
    """Every method of config/methods on every task that it can be trained for, with the task's headline model and with
    the models from the Hub that the method's paper reports on it."""
    settings = Settings({}, config)
    reported = {(paper.paper, row.model, row.dataset) for paper in load_papers(config / "papers") for row in paper.rows}
    targets = []
    for name in settings.methods:
        paper = settings.method(name).paper
        for task in settings.tasks:
            datasets = settings.task(task).paper_names
            for model in settings.models:
                names = settings.model(model).paper_names
                ours = any((paper, one, dataset) in reported for one in names for dataset in datasets)
                if (ours or model == settings.headline_model(task, name)) and can_be_trained(
                    settings, task, model, name
                ):
                    targets.append(f"results/{task}/{model}/{name}_acc.json")
    return targets


def can_be_trained(settings: Settings, task: str, model: str, method: str) -> bool:
    """Whether the method fits the model, and the task has the three splits that its system reads."""
    try:
        checkpoint = settings.checkpoint(task, model, method)
        splits = {settings.split(task, model, checkpoint, split) for split in ("train", "dev", "test")}
    except UserError:
        return False
    return splits <= set(settings.task(task).splits)


def measure(targets: list[str], seeds: int, shards: int) -> dict:
    """One dry run in an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "config").mkdir()
        (Path(name) / "config" / "config.yaml").write_text("preset: paper\n")
        words = ["--snakefile", str(PROJECT / "Snakefile"), "--dry-run", "--cores", "2", *targets]
        words += [
            "--config",
            "tables=run",
            f"seeds={list(range(seeds))}",
            f"shards={{sample: {shards}, decode: {shards}}}",
        ]
        found = run([sys.executable, "-m", "snakemake", *words], name)
    jobs = int(TOTAL.search(found.pop("printed"))[1])
    return {"seeds": seeds, "shards": shards, "jobs": jobs, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="5 seeds and 8 shards only")
    parser.add_argument("--everything", action="store_true", help="each method on every task that it fits")
    args = parser.parse_args()
    targets = [f"results/tables/{table}.md" for table in TABLES]
    if args.everything:
        targets = all_targets(PROJECT / "config")
    found = {"targets": len(targets), **measure(targets, 5, 8)}
    found["cpu_milliseconds_a_job"] = round(1000 * found["cpu_seconds"] / found["jobs"], 2)
    if not args.once:
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
