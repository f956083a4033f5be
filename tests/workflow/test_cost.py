"""Costs of a real run of the smoke preset: its benchmark records, read back and used for what comes next."""

import csv
import subprocess
from collections import Counter

import pytest

from retrace.evaluation.cost import benchmark_files
from retrace.machine.storage import read_json
from retrace.planning.work import FORMULAS
from retrace.systems.costs import register_formulas
from workflow.costs_behind import assert_costs_are_those_of_the_graph, benchmarks_by_job, plan_of
from workflow_fixtures import WARM

FOLDER = "results/arithmetic/tiny_t5"
EVERY_SYSTEM = [
    *("grace_self_consistency", "verifier", "dpo_st", "st_round2", "sft_continued_round1"),
    *("learn_to_reason", "icot", "no_cot_from_teacher"),
]


def call(workflow, script: str, *arguments: str) -> dict:
    """Run one of the programs as a user does; its JSON document."""
    command = [str(WARM.python()), str(workflow.project / "scripts" / script), *arguments, "--json", "cost.json"]
    done = subprocess.run(command, cwd=workflow.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read_json(workflow.folder / "cost.json")


def seconds_recorded(workflow, below: str = "benchmarks") -> list[float]:
    files = sorted((workflow.folder / below).rglob("*.tsv"))
    return [float(row["s"]) for file in files for row in csv.DictReader(file.open(), delimiter="\t")]


def test_every_result_cost_what_the_jobs_behind_it_took(smoke) -> None:
    results = assert_costs_are_those_of_the_graph(smoke)
    assert {f"{FOLDER}/{method}_acc.json" for method in ("greedy", "verifier", "grace")} <= set(results)


def test_the_planned_result_is_told_of_all_jobs_behind_it(workflow) -> None:
    """Of every system: the walk over the rules finds what Snakemake's graph holds."""
    transfer = "results/multiarith/flan_t5_large/transfer/gsm8k/dpo_st_acc.json"
    votes = "results/gsm8k/latro_acc.json"
    targets = [transfer, votes, *(f"results/gsm8k/{method}_acc.json" for method in EVERY_SYSTEM)]
    jobs = plan_of(workflow, targets, "--config", "seeds=[0,1]")
    behind = benchmarks_by_job(jobs)
    assert len(behind) == len(targets)
    for job in jobs:
        if job.output[0] in behind:
            told = job.options["costs"].split()
            assert len(told) < 150, "shards are told of as a run of numbers"
            found, missing = benchmark_files(told)
            assert found == []
            assert {str(file) for file in missing} == behind[job.output[0]], job.output
    (latro,) = (found for result, found in behind.items() if result.endswith("/latro_acc.json"))
    assert any("/latro/maj/" in file for file in latro)
    answered = {file for file in behind[transfer] if "/greedy" in file}
    assert {file.split("/seed")[0] for file in answered} == {"benchmarks/multiarith/flan_t5_large/transfer/gsm8k"}


def test_the_report_is_the_sum_of_the_records(smoke) -> None:
    found = call(smoke, "report_cost.py")
    recorded = seconds_recorded(smoke)
    assert found["jobs"] == len(recorded)
    assert found["wall_seconds"] == pytest.approx(sum(recorded), abs=0.1)
    assert found["gpu_seconds"] == 0
    rules = {row["rule"]: row for row in found["rules"]}
    decoders = Counter(path.parent.name for path in (smoke.folder / FOLDER).rglob("test.jsonl"))
    assert rules["decode"]["jobs"] == len(decoders) - 1  # the verifier reranks
    assert rules["train_base"]["peak_memory_mb"] > 100
    on_disk = sum(file.stat().st_size for file in (smoke.folder / "results").rglob("*") if file.is_file())
    assert found["disk_bytes"] == on_disk
    assert "(no rule)" not in rules


def test_the_report_of_a_target_holds_only_what_is_behind_it(smoke) -> None:
    found = call(smoke, "report_cost.py", f"{FOLDER}/greedy_acc.json")
    assert {row["rule"] for row in found["rules"]} == {
        "prepare_data",
        "train_base",
        "decode",
        "gather_predictions",
        "score_method",
    }
    assert found["jobs"] == 4 + 1 + 1


def test_another_seed_is_estimated_from_the_measured_one(smoke) -> None:
    found = call(smoke, "estimate_cost.py", f"{FOLDER}/grace_acc.json", "--config", "seeds=[0,1]")
    rules = {row["rule"]: row for row in found["rules"]}
    computing = {"train_base", "sample_trajectories", "align_steps", "make_pairs", "train_discriminator", "decode"}
    for rule in computing | {"sweep_guided"}:
        assert [source["kind"] for source in rules[rule]["sources"]] == ["measured"], rule
    (record,) = seconds_recorded(smoke, "benchmarks/arithmetic/tiny_t5/seed0/base_discriminator/sample")
    assert rules["sample_trajectories"]["wall_hours"]["likely"] == pytest.approx(record / 3600)
    assert rules["score_method"]["jobs"] == 1
    assert found["measured_share"] > 0.7
    model = smoke.folder / FOLDER / "seed0/base/model"
    assert rules["train_base"]["disk_bytes"] == sum(file.stat().st_size for file in model.iterdir())


def test_another_setting_is_estimated_by_scaling(smoke) -> None:
    found = call(smoke, "estimate_cost.py", f"{FOLDER}/grace_acc.json", "--config", "sample={samples_per_pass: 6}")
    kinds = {row["rule"]: row["sources"][0]["kind"] for row in found["rules"]}
    assert kinds["sample_trajectories"] == "scaled"
    assert kinds["train_discriminator"] == "scaled"  # it reads what will be sampled
    assert "train_base" not in kinds  # it is there


def test_what_is_there_costs_nothing(smoke) -> None:
    found = call(smoke, "estimate_cost.py", f"{FOLDER}/grace_acc.json")
    assert (found["jobs"], found["rules"], found["wall_hours"]["likely"]) == (0, [], 0)


@pytest.mark.slow
def test_every_planned_job_that_computes_has_a_formula(workflow) -> None:
    tables = ["grace_table1", "dpo_st_table2", "learn_to_reason_table1", "icot_table1", "latro_table2"]
    targets = [f"results/tables/{table}.md" for table in tables]
    targets += ["results/gsm8k/gpt2/icot_speed.json", "results/gsm8k/tiny_t5/grace_beta_sweep.svg"]
    targets += ["results/gsm8k/tiny_t5/seed0/sft_discriminator/report.json", "results/figures/dpo_st_rounds.svg"]
    targets += [
        "results/gsm8k/tiny_gpt2/no_cot_deep_acc.json",
        "results/arithmetic/tiny_t5/dpo_st_round1_grace_acc.json",
    ]
    jobs = plan_of(
        workflow,
        targets,
        "--config",
        "tables=run",
        "seeds=[0]",
        "shards={sample: 1, decode: 1}",
        "dpo_st={labelled: 400}",
    )
    computing = {job.rule for job in jobs if job.benchmark}
    assert len(computing) >= 28
    register_formulas()
    assert computing <= set(FORMULAS)
