"""The user's own YAMLs: variants of checkpoints, decoders and methods, and tasks and models, from the folder of the run."""

import json
import re
from pathlib import Path

import pytest

FOLDER = "results/arithmetic/tiny_t5"
RUN = f"{FOLDER}/seed0"


def written(folder: Path, **files: str) -> None:
    """`method_mine="..."` is methods/mine.yaml below the folder, without its name."""
    for file, text in files.items():
        kind, _, name = file.partition("_")
        path = folder / f"{kind}s" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name: {name}\n{text}\n")


def outputs(shown: str) -> set[str]:
    """The files that a summary lists."""
    return {line.split("\t")[0] for line in shown.splitlines() if line.startswith("results/")}


VARIANTS = {
    "method_unaligned": "extends: grace\nset: {align.skip_alignment: true}",
    "method_wide": "extends: grace\nset: {grace.candidates: 7}",
    "checkpoint_ten": "extends: dpo_st\nset: {dpo_st.pair_samples.samples: 10}",
    "checkpoint_short": "extends: sft\nset: {sft.max_steps: 7}",
    "decoder_top": "extends: verifier\nset: {self_consistency.samples: 3}",
}


def test_variants_stand_beside_the_original(workflow) -> None:
    written(workflow.configured("preset: smoke\n").folder / "config", **VARIANTS)
    targets = [f"{FOLDER}/{name}_acc.json" for name in ("unaligned", "wide", "ten_round1", "short_greedy", "grace")]
    done = workflow.run("--summary", *targets)
    assert done.returncode == 0, done.stderr
    files = outputs(done.stdout)
    made = {
        f"{RUN}/base_discriminator/model",
        f"{RUN}/base_unaligned_discriminator/model",
        f"{RUN}/base/unaligned/test.jsonl",
        f"{RUN}/base/wide/test.jsonl",
        f"{RUN}/base/grace/test.jsonl",
        f"{RUN}/ten_dpo_round1/pairs.jsonl",
        f"{RUN}/ten_round1/model",
        f"{RUN}/short/model",
    }
    assert made <= files
    shared = {f"{RUN}/base_unaligned_discriminator/trajectories.jsonl", f"{RUN}/ten_round0/model"}
    assert not shared & files, "what the options do not touch is that of the original"
    assert {f"{RUN}/base_discriminator/trajectories.jsonl", f"{RUN}/dpo_st_round0/model"} <= files


def test_the_options_of_a_variant_reach_its_jobs_alone(workflow) -> None:
    written(workflow.configured("preset: smoke\n").folder / "config", **VARIANTS)
    targets = [f"{RUN}/short/model", f"{RUN}/sft/model", f"{RUN}/base/wide/test.jsonl", f"{RUN}/base/grace/test.jsonl"]
    commands = re.findall(r"Shell command: (.*)", workflow.dry("--printshellcmds", *targets))
    steps = {re.search(r"/seed0/(\w+)/state", one)[1]: one for one in commands if "train_sft.py" in one}
    assert "--max-steps 7 " in steps["short"]
    assert "--max-steps 20 " in steps["sft"]
    decoded = {re.search(r"/base/(\w+)/shards", one)[1]: one for one in commands if "decode.py" in one}
    assert "--candidates 7 " in decoded["wide"]
    assert "--candidates 3 " in decoded["grace"]


@pytest.mark.parametrize("relative", [True, False])
def test_a_folder_of_ones_own_elsewhere(workflow, tmp_path: Path, relative: bool) -> None:
    own = workflow.folder / "my yamls"
    written(own, method_wide=VARIANTS["method_wide"])
    task = Path(workflow.project, "config", "tasks", "arithmetic.yaml").read_text()
    (own / "tasks").mkdir()
    (own / "tasks" / "sums.yaml").write_text(task.replace("name: arithmetic", "name: sums"))
    named = own.name if relative else own
    shown = workflow.dry(
        "--printshellcmds", "results/sums/tiny_t5/wide_acc.json", "--config", "preset=smoke", f"own={named}"
    )
    assert "--task-file $RETRACE_OWN/tasks/sums.yaml" in shown
    assert "--model-file $RETRACE_CONFIG/models/tiny_t5.yaml" in shown


def test_a_name_that_is_taken(workflow) -> None:
    written(workflow.folder / "config", method_grace="extends: greedy")
    assert "also has that name; choose another one" in workflow.refused("--dry-run", f"{FOLDER}/grace_acc.json")


def test_rejection_sampling_plans_for_any_model(workflow) -> None:
    shown = workflow.dry("results/gsm8k/llama_2_7b/rft_acc.json", "results/gsm8k/llama_2_7b/rft_best_of_n_acc.json")
    for rule in ("train_sft", "sample_rft", "select_solutions", "train_rft"):
        assert re.search(rf"^{rule} +\d+$", shown, re.MULTILINE), rule


@pytest.mark.slow
def test_variants_and_the_one_round_system_run(copy) -> None:
    """From the smoke run's folder: results name their checkpoint, what they set, and what they cost."""
    written(copy.folder / "config", **VARIANTS)
    names = ("unaligned", "ten_round1", "short_greedy", "top", "rft", "best_of_n")
    copy.make(*(f"{FOLDER}/{name}_acc.json" for name in names))
    found = {name: json.loads((copy.folder / FOLDER / f"{name}_acc.json").read_text()) for name in names}
    assert found["unaligned"]["provenance"]["configuration"]["values"]["align"]["skip_alignment"] is True
    assert found["ten_round1"]["checkpoint"] == "ten_round1"
    assert found["rft"]["decoder"] == "greedy_no_calculator"
    assert all(one["cost"]["unrecorded"] == 0 for one in found.values())
    report = json.loads((copy.folder / RUN / "rft" / "solutions.json").read_text())
    assert report["samples"] == 2 * report["questions"]
    samples = (copy.folder / RUN / "base" / "top" / "test.jsonl").read_text().splitlines()
    assert {len(json.loads(line)["samples"]) for line in samples} == {3}
