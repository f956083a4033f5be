"""What planning costs is bounded by what is called, counted and not timed: configurations once, a few of our calls a job."""

import pstats
import re
import subprocess
from collections import Counter

import pytest

FAMILY = ["greedy", "beam", "self_consistency", "verifier", "stepwise", "grace", "grace_self_consistency"]
TARGETS = [f"results/{task}/flan_t5_large/{method}_acc.json" for task in ("gsm8k", "svamp") for method in FAMILY]


def calls(workflow, seeds: int, shards: int) -> tuple[int, Counter]:
    """(jobs, how often each function of ours was called) in a dry run."""
    settings = [f"seeds={list(range(seeds))}", f"shards={{sample: {shards}, decode: {shards}}}"]
    command = workflow.command("--dry-run", *TARGETS, "--config", *settings)
    command[1:1] = ["-m", "cProfile", "-o", "profile"]
    done = subprocess.run(command, cwd=workflow.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = Counter()
    for (file, _, name), (_, count, *_) in pstats.Stats(str(workflow.folder / "profile")).stats.items():
        if file.startswith((f"{workflow.project}/rules", f"{workflow.project}/scripts")):
            found[name] += count
    return int(re.search(r"^total +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE)[1]), found


@pytest.fixture(scope="module")
def plans(workflow_class, tmp_path_factory):
    """A small and a large plan of the same targets."""
    folder = tmp_path_factory.mktemp("plans")
    return [
        calls(workflow_class(folder / str(seeds)).configured("preset: paper\n"), seeds, shards)
        for seeds, shards in ((1, 2), (3, 6))
    ]


@pytest.mark.slow
def test_configurations_are_read_and_checked_once_however_many_jobs_there_are(plans) -> None:
    (few, small), (many, large) = plans
    assert many > 4 * few
    for name in ("validated", "read_yaml", "values", "load_task"):
        assert small[name] > 0, name
        assert large[name] == small[name], name
    # One for the whole, one for each task and model; the methods, models and tasks by name.
    assert small["values"] == 1 + 2


@pytest.mark.slow
def test_our_own_calls_a_job_do_not_grow(plans) -> None:
    (few, small), (many, large) = plans
    assert large.total() / many <= small.total() / few
    # What the targets and the configuration cost is there once; this is what each further job adds. The walk to the records
    # behind each result (retrace.workflow.jobs_behind) is a tenth of it, what its checkpoint and decoder set a quarter.
    assert (large.total() - small.total()) / (many - few) < 85, (large - small).most_common(12)


def test_long_steps_are_split_further_and_gathered_whole(workflow) -> None:
    targets = [f"results/gsm8k/flan_t5_large/{method}_acc.json" for method in ("greedy", "grace_self_consistency")]
    longest = "shards={sample: 2, decode: 4, longest_hours: 0.5}"
    shown = workflow.dry(*targets, "--printshellcmds", "--config", "seeds=[0]", longest)
    numbers = [
        re.findall(rf"Decoding test of gsm8k with {name} .* shard (\d+)", shown) for name in ("greedy", r"grace_\w+")
    ]
    few, many = (sorted(map(int, found)) for found in numbers)
    assert few == list(range(4))
    assert many == list(range(len(many)))
    assert len(many) in (8, 16, 32, 64)
    # Gathering has asked for so many files, and each job is told of how many it is one.
    told = re.findall(r"decode.py guided .* --shards (\d+) ", shown)
    assert told == [str(len(many))] * len(many)
    # What only changes the speed changes no plan.
    faster = workflow.dry(
        *targets, "--printshellcmds", "--config", "seeds=[0]", longest, "grace_self_consistency={batch_size: 8}"
    )
    assert len(re.findall(r"decode.py guided ", faster)) == len(many)
    # Where an override says so, for one model alone.
    override = (
        'overrides=[{"when": {"model": "flan_t5_large"}, "set": {"shards.decode": 7, "shards.longest_hours": 0}}]'
    )
    shown = workflow.dry(*targets, "--config", "seeds=[0]", override)
    assert re.search(r"^decode +14$", shown, flags=re.MULTILINE)


@pytest.mark.slow
def test_every_table_and_every_method_can_be_planned_at_once(workflow, monkeypatch) -> None:
    monkeypatch.syspath_prepend(workflow.project / "tests" / "benchmarks")
    from benchmark_dry_run import TABLES, all_targets

    papers = {path.stem for path in (workflow.project / "config" / "papers").glob("*.yaml")}
    assert {paper for paper in papers for table in TABLES if table.startswith(f"{paper}_")} == papers
    shown = workflow.dry(*[f"results/tables/{table}.md" for table in TABLES], "--config", "seeds=[0]", "tables=run")
    assert int(re.search(r"^make_table +(\d+)$", shown, flags=re.MULTILINE)[1]) == len(TABLES)

    targets = all_targets(workflow.project / "config")
    methods = {path.stem for path in (workflow.project / "config" / "methods").glob("*.yaml")}
    left_out = {name for name in methods if not any(target.endswith(f"/{name}_acc.json") for target in targets)}
    assert left_out == {"no_cot_deep"}  # a control for models from scratch
    shown = workflow.dry(*targets, "--config", "seeds=[0]", "shards={sample: 1, decode: 1}")
    assert int(re.search(r"^score_method +(\d+)$", shown, flags=re.MULTILINE)[1]) == len(targets)
