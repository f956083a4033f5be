"""The smoke preset through profiles/slurm on a real SLURM, and what cancelled, late and lost jobs do to it."""

import hashlib
import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from slurm_cluster import NODES, wait_until

FOLDER = "results/arithmetic/tiny_t5"
TARGETS = ["all", "results/tables/grace_table1.html", "results/arithmetic/grace_acc.json"]
# The nodes' GPUs are device files without a GPU behind them: jobs ask for them and compute on the processor.
ON_GPUS = "launch={gpus: 1}"


# ---------------------------------------------------------------- the same results


@pytest.fixture(scope="session")
def whole(runs):
    """Everything that the preset makes, by the cluster and on this machine, side by side."""
    on_cluster, here = runs(*TARGETS, "--config", ON_GPUS), runs(*TARGETS, local=True)
    return on_cluster.succeeds(), here.succeeds()


# What a run took, what it ran on, and checksums of files that hold the like.
COST = {"cost", "seconds", "command", "machine", "files", "predictions"}


def without_cost(value: object) -> object:
    """The same without what differs from run to run."""
    if isinstance(value, dict):
        return {k: without_cost(v) for k, v in value.items() if k not in COST}
    return [without_cost(item) for item in value] if isinstance(value, list) else value


def meaning(file: Path) -> object:
    """What must be equal in two results files."""
    if file.suffix == ".json":
        return without_cost(json.loads(file.read_text()))
    if file.suffix == ".jsonl":
        return [without_cost(json.loads(line)) for line in file.read_text().splitlines()]
    return hashlib.sha256(file.read_bytes()).hexdigest()


def results(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in (folder / "results").rglob("*") if file.is_file()}


def test_every_result_equals_that_of_a_local_run(whole) -> None:
    cluster, local = (run.folder for run in whole)
    files = results(local)
    assert results(cluster) == files
    assert sum(name.endswith("test.jsonl") for name in files) >= 7
    assert any(name.endswith("model.safetensors") for name in files)
    # What names the cluster, or is drawn with the time in it.
    own = {"results/configuration.yaml", *(name for name in files if name.endswith(".svg"))}
    assert [name for name in sorted(files - own) if meaning(cluster / name) != meaning(local / name)] == []


# ---------------------------------------------------------------- jobs that do not come to their end

SLOWLY = ["--config", "seeds=[0,1,2]", "base={max_steps: 100, evaluations: 10}"]
BASES = [f"{FOLDER}/seed{seed}/base/model" for seed in range(3)]


def stopped_after_its_first_save(run, seed: int):
    """The process that trains with this seed, halted once its state is on the disk; it hangs from then on."""
    state = run.folder / f"{FOLDER}/seed{seed}/base/state"
    wait_until(lambda: any(state.glob("checkpoint-*/trainer_state.json")), 200, f"a saved state of seed {seed}")
    (process,) = run.processes("train_base.py", f"seed{seed}/base/state")
    process.suspend()
    return process


@pytest.fixture(scope="session")
def troubled(runs, cluster):
    """Three trainings at once: one is cancelled from outside, one hangs beyond its time limit, one loses its node."""
    undisturbed = runs(*BASES, *SLOWLY, local=True).succeeds()
    run = runs(*BASES, *SLOWLY)
    try:
        halted = {seed: stopped_after_its_first_save(run, seed) for seed in range(3)}
        first = {seed: run.job(f"rule_train_base_wildcards_arithmetic_tiny_t5_{seed}") for seed in range(3)}
        nodes = [first[seed]["NodeList"] for seed in range(3)]
        lost = next(seed for seed in range(3) if nodes.count(nodes[seed]) == 1)
        cancelled, late = (seed for seed in range(3) if seed != lost)
        cluster.call("scancel", first[cancelled]["JobId"])
        # A minute is the shortest limit, and what jobs of this preset ask for is a quarter of an hour.
        cluster.call("scontrol", "update", f"JobId={first[late]['JobId']}", "TimeLimit=1")
        cluster.kill_node(nodes[lost])
        again = lambda: cluster.jobs()[int(first[lost]["JobId"])]["Restarts"] == "1"  # noqa: E731
        wait_until(again, 90, "SLURM starts the job of the lost node again")
        yield {"run": run.succeeds(), "undisturbed": undisturbed, "cancelled": cancelled, "late": late, "lost": lost}
    finally:
        cluster.start_node(nodes[lost])


def test_x(troubled):
    print({k: v for k, v in troubled.items()})
