"""GPUs and processes as the configuration says: what Snakemake and the launcher make of it. The GPUs are names only."""

import json
import re

import pytest

from workflow.smoke_run import TARGETS

FOLDER = "results/arithmetic/tiny_t5"
SEED = f"{FOLDER}/seed0"


def rules_run(shown: str) -> set[str]:
    return set(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", shown))


def names(*devices: str, locks) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": ",".join(devices), "RETRACE_GPU_LOCKS": str(locks)}


@pytest.mark.slow
def test_jobs_share_the_devices_and_another_number_redoes_nothing(copy, tmp_path) -> None:
    targets = [f"{FOLDER}/{method}_acc.json" for method in ("greedy", "beam", "stepwise")]
    environment = names("4", locks=tmp_path / "locks")
    done = copy.run(*targets, "--config", "launch={gpus: 1}", "--forcerun", "decode", env=environment)
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown[-5000:]
    assert rules_run(shown) <= {"decode", "gather_predictions", "score_method"}
    assert re.search(r"Provided resources: .*gpus=.*1", shown)
    for decoder in ("greedy", "beam", "stepwise"):
        log = (copy.folder / f"logs/arithmetic/tiny_t5/seed0/base/{decoder}/test_0.log").read_text()
        assert "this job has GPU 4" in log
        assert "waiting" not in log  # Snakemake started one job at a time


@pytest.mark.parametrize(
    ("launch", "words", "message"),
    [
        ("{nodes: 2}", (), r"launch\.nodes is 2 for tiny_t5 and jobs run on this machine; set it to 1, or submit"),
        (
            "{trainings: {base: {gpus: 3}}}",
            (),
            r"launch\.gpus is 3 for tiny_t5 and this machine has 2; lower it, or submit to a cluster",
        ),
        (
            "{trainings: {base: {gpus: 3}}}",
            ("--resources", "gpus=1"),
            r"launch\.gpus is 3 for tiny_t5 and the run may use 1 \(--resources gpus=1\)",
        ),
    ],
)
def test_more_than_this_machine_has(copy, tmp_path, launch: str, words: tuple[str, ...], message: str) -> None:
    options = ["--config", f"launch={launch}", "--forcerun", "train_base", *words]
    done = copy.run(f"{SEED}/base/model", *options, env=names("0", "1", locks=tmp_path))
    assert done.returncode != 0
    assert re.search(message, done.stdout + done.stderr)
    assert (copy.folder / SEED / "base" / "model").exists()


def test_a_misspelt_training_is_named(workflow) -> None:
    done = workflow.run("--dry-run", f"{FOLDER}/greedy_acc.json", "--config", "launch={trainings: {stf: {gpus: 2}}}")
    assert done.returncode != 0
    assert "'stf' is no training; valid: base, dpo_st_sft, dpo_st_dpo, sft, discriminator" in done.stdout + done.stderr


def test_a_strategy_that_a_training_cannot_follow_is_refused_in_the_plan(workflow) -> None:
    words = ["--config", "launch={gpus: 2, strategy: fsdp}", "sft={keep: accuracy}"]
    done = workflow.run("--dry-run", f"{SEED}/sft/model", *words)
    assert done.returncode != 0
    assert re.search(r"sft\.keep: accuracy under launch\.strategy fsdp: it does not support", done.stdout + done.stderr)
    done = workflow.run("--dry-run", f"{SEED}/base/model", *words)  # no other training is concerned
    assert done.returncode == 0, done.stderr[-2000:]
    # Nor does a run begin, here with the processors that it has.
    words = ["preset=smoke", "launch={processes: 2, strategy: zero3}", "no_cot={keep_each: true}"]
    done = workflow.run("results/mult_2x2/tiny_gpt2/seed0/no_cot/model", "--config", *words)
    assert done.returncode != 0
    assert "no_cot.keep_each: true under launch.strategy zero3" in done.stdout + done.stderr
    assert not (workflow.folder / "results").exists()


@pytest.mark.slow
def test_the_whole_chain_with_two_processes(smoke, workflow_class, tmp_path) -> None:
    workflow = workflow_class(tmp_path, smoke.project).configured("preset: smoke\n")
    workflow.make(*TARGETS, f"{SEED}/sft/model", "--config", "launch={processes: 2}")
    logs = workflow.folder / "logs/arithmetic/tiny_t5/seed0"
    for log in ("base", "sft", "base_discriminator/train", "base_verifier/train"):
        assert "torchrun --nproc-per-node=2" in (logs / f"{log}.log").read_text(), log
    # Batch sizes count over all processes: what one process learned, two learn.
    ours, theirs = (
        [json.loads(line) for line in (run.folder / SEED / "base/model/curves.jsonl").read_text().splitlines()]
        for run in (workflow, smoke)
    )
    assert len(ours) == len(theirs) > 10
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, rel=1e-3)
    made = {str(file.relative_to(workflow.folder)) for file in (workflow.folder / "results").rglob("*.json*")}
    assert {name for name in made if "/sft/" not in name} == {
        str(file.relative_to(smoke.folder)) for file in (smoke.folder / "results").rglob("*.json*")
    }
