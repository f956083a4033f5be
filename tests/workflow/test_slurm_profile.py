"""profiles/slurm without a cluster: what jobs ask for at the papers' sizes, and what is refused before the first one.

The commands of SLURM are programs that answer as a site's would, and refuse every job, so that none is submitted.
"""

import re
import shutil
from pathlib import Path

import pytest

from suites import first_daily

SINFO = """\
cpu|10|64|257000|(null)|infinite|up
gpu|8|64|1030000|gpu:a100:8|infinite|up
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with SLURM's commands and what else a run calls, to be the whole of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {
        "sinfo": f"cat <<'END'\n{SINFO}END\n",
        "sbatch": 'echo "refused: $*" >&2; exit 1\n',
        **dict.fromkeys(("srun", "squeue", "scancel", "scontrol", "sacct"), "exit 1\n"),
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}")
        (folder / name).chmod(0o755)
    for name in ("bash", "sh", "cat", "which", "uname", "env"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


def submitted(workflow, path: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What a run with profiles/slurm prints that must fail before its first job."""
    done = workflow.run(
        "--cores",
        "64",
        "--workflow-profile",
        str(workflow.project / "profiles/slurm"),
        *arguments,
        env={"PATH": str(path), **(env or {})},
    )
    shown = done.stdout + done.stderr
    assert done.returncode != 0, shown
    assert not (workflow.folder / "results").exists()
    return shown


def asked(shown: str) -> dict[str, str]:
    """The words for sbatch, by the rule that asked with them."""
    return dict(re.findall(r"SLURM would refuse (\w+) .*?refused: (--test-only .*?) --wrap=true\.", shown))


def test_jobs_of_the_paper_ask_for_what_their_model_needs(workflow, site) -> None:
    settings = ["--config", "seeds=[0]", 'slurm={"account": "lab", "gpu": {"gpu_type": "a100"}}']
    large = asked(submitted(workflow, site, "results/gsm8k/flan_t5_large/sft_grace_acc.json", *settings))
    assert large["train_sft"].endswith(
        "--partition=gpu --nodes=1 --account=lab --gres=gpu:a100:1 --mem=16480 --cpus-per-task=8 --time=720"
    )
    assert large["make_pairs"].endswith(
        "--partition=cpu --nodes=1 --account=lab --mem=8000 --cpus-per-task=1 --time=60"
    )
    larger = asked(submitted(workflow, site, "results/gsm8k/llama_7b/sft_greedy_acc.json", *settings))
    assert larger["train_sft"].endswith("--gres=gpu:a100:1 --mem=111200 --cpus-per-task=8 --time=6030")
    assert larger["decode"].endswith("--gres=gpu:a100:1 --mem=57600 --cpus-per-task=4 --time=4020")


def test_a_training_on_one_gpu_asks_for_no_memory_for_the_processes_of_another(workflow, site) -> None:
    asks = asked(submitted(workflow, site, "results/gsm8k/phi35_mini/sft_greedy_acc.json", "--config", "seeds=[0]"))
    assert re.search(r"--gres=gpu:1 --mem=64800 ", asks["train_sft"])


def test_a_training_with_a_backbone_asks_for_what_the_larger_model_needs(workflow, site) -> None:
    # The backbone is FLAN-T5-Large: larger than the one generator, smaller than the other.
    asks = asked(submitted(workflow, site, "results/arithmetic/tiny_t5/grace_acc.json", "--config", "seeds=[0]"))
    assert asks["train_discriminator"].endswith("--gres=gpu:1 --mem=16480 --cpus-per-task=8 --time=720")
    # It guides a model that alone would be decoded on a processor within the hour.
    assert asks["decode"].endswith("--partition=gpu --nodes=1 --gres=gpu:1 --mem=10243 --cpus-per-task=4 --time=480")
    assert asks["sample_trajectories"].endswith("--partition=cpu --nodes=1 --mem=4003 --cpus-per-task=4 --time=60")
    asks = asked(submitted(workflow, site, "results/arithmetic/tiny_t5/verifier_acc.json", "--config", "seeds=[0]"))
    assert asks["rerank"].endswith("--partition=gpu --nodes=1 --gres=gpu:1 --mem=10243 --cpus-per-task=4 --time=120")
    asks = asked(submitted(workflow, site, "results/gsm8k/llama_7b/verifier_acc.json", "--config", "seeds=[0]"))
    assert asks["train_verifier"].endswith("--gres=gpu:1 --mem=111200 --cpus-per-task=8 --time=720")


@pytest.mark.parametrize(
    ("target", "setting"),
    first_daily(
        [
            ("gsm8k/grace", 'align={"embedder": "nobody/embedder"}'),
            ("coin_flip/grace", 'pair={"step_judge": "entailment", "entailment_model": "nobody/judge@main"}'),
            ("gsm8k/grace", 'discriminator={"backbone": "nobody/encoder"}'),
            ("gsm8k/verifier", 'verifier={"backbone": "nobody/encoder"}'),
        ]
    ),
)
def test_a_model_that_no_rule_fetches_is_fetched_before_nodes_without_a_network_need_it(
    workflow, site, tmp_path, target: str, setting: str
) -> None:
    (site / "sbatch").write_text("#!/bin/sh\n[ $1 = --test-only ]\n")
    settings = ["seeds=[0]", 'slurm={"check_folder": "never"}', setting]
    empty = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    shown = submitted(workflow, site, f"results/{target}_acc.json", "--config", *settings, env=empty)
    named = re.search("nobody/[a-z]+", setting)[0]
    assert f"note: fetching {named}" in shown
    assert f"{named}: not in the Hub's cache, and HF_HUB_OFFLINE is set" in shown


@pytest.mark.parametrize(
    ("target", "trainings"),
    first_daily(
        [
            ("gsm8k/flan_t5_large/dpo_st", {"train_warm_up": 1, "train_dpo": 1, "train_round": 1}),
            (
                "gsm8k/gpt2/icot",
                {"train_explicit_cot": 1, "train_icot_student": 1, "train_icot_emulator": 1, "train_icot": 1},
            ),
            ("gsm8k/phi35_mini/latro", {"train_latro": 8}),
            ("gsm8k/gptj_6b/learn_to_reason", {"train_learn_to_reason": 8}),
        ]
    ),
)
def test_trainings_of_every_system_ask_for_gpus(workflow, site, target: str, trainings: dict[str, int]) -> None:
    asks = asked(submitted(workflow, site, f"results/{target}_acc.json", "--config", "seeds=[0]"))
    told = asks.keys() & trainings  # of jobs that ask for the same, one is tried
    assert told
    found = {rule: re.search(r"--partition=gpu --nodes=1 --gres=gpu:(\d+) ", asks[rule]) for rule in told}
    assert {rule: int(match[1]) for rule, match in found.items() if match} == {rule: trainings[rule] for rule in told}


def test_several_gpus_and_the_limits_of_the_partition(workflow, site) -> None:
    settings = [
        'launch={"trainings": {"sft": {"gpus": 4, "nodes": 2}}}',
        'slurm={"gpu": {"ask_by": "gpus", "hours": 24}}',
    ]
    shown = submitted(workflow, site, "results/gsm8k/llama_7b/sft_greedy_acc.json", "--config", "seeds=[0]", *settings)
    assert "--partition=gpu --nodes=2 --gpus=8 " in asked(shown)["train_sft"]
    assert asked(shown)["train_sft"].endswith("--time=1440")
    assert "--partition=gpu --nodes=1 --gpus=1 " in asked(shown)["decode"]


def test_small_presets_ask_for_little(workflow, site) -> None:
    shown = submitted(workflow, site, "results/arithmetic/greedy_acc.json", "--config", "preset=smoke")
    assert asked(shown)["train_base"].endswith("--partition=cpu --nodes=1 --mem=4006 --cpus-per-task=1 --time=15")
    shown = submitted(workflow, site, "results/arithmetic/greedy_acc.json", "--config", "preset=tiny")
    assert asked(shown)["train_base"].endswith("--partition=cpu --nodes=1 --mem=4006 --cpus-per-task=2 --time=60")


def test_a_machine_without_slurm_is_refused(workflow, site) -> None:
    (site / "sbatch").unlink()
    shown = submitted(workflow, site, "results/gsm8k/greedy_acc.json")
    assert "no sbatch on PATH, so this is no machine that jobs can be submitted from" in shown


def test_memory_below_the_models_weights_is_refused(workflow, site) -> None:
    shown = submitted(workflow, site, "results/gsm8k/greedy_acc.json", "--set-resources", "train_sft:mem_mb=1000")
    assert "gets 1,000 MB of memory, the model's weights alone take 1,560 MB: raise mem_mb" in shown


def test_a_configuration_without_the_site_is_refused(workflow, site) -> None:
    own = workflow.folder / "own.yaml"
    own.write_text("preset: smoke\n")
    shown = submitted(workflow, site, "results/arithmetic/greedy_acc.json", "--configfile", str(own))
    assert "no section `slurm`" in shown
    assert "--configfile profiles/slurm/site.yaml YOURS" in shown


def test_a_faulty_key_of_the_site_is_named(workflow, site) -> None:
    shown = submitted(
        workflow, site, "results/gsm8k/greedy_acc.json", "--config", 'slurm={"gpu": {"partitoin": "gpu"}}'
    )
    assert "unknown key 'slurm.gpu.partitoin'; did you mean 'partition'?" in shown


@pytest.mark.parametrize(("version", "accepted"), [("2.7.0", False), ("2.7.1", True)])
def test_an_old_plugin_is_refused(workflow, site, tmp_path, version: str, accepted: bool) -> None:
    record = tmp_path / "packages" / f"snakemake_executor_plugin_slurm-{version}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: snakemake-executor-plugin-slurm\nVersion: {version}\n"
    )
    shown = submitted(
        workflow,
        site,
        "results/arithmetic/greedy_acc.json",
        "--config",
        "preset=smoke",
        env={"PYTHONPATH": str(record.parent)},
    )
    old = f"snakemake-executor-plugin-slurm {version} is too old or missing, 2.7.1 or newer is needed; pip install"
    assert (old in shown) == (not accepted)
    assert ("SLURM would refuse train_base" in shown) == accepted


def test_jobs_can_be_planned_without_slurm(workflow, site) -> None:
    for name in ("sinfo", "sbatch", "srun", "squeue", "scancel", "scontrol", "sacct"):
        (site / name).unlink()
    profile = str(workflow.project / "profiles/slurm")
    shown = workflow.run(
        "--dry-run", "--workflow-profile", profile, "results/gsm8k/grace_acc.json", env={"PATH": str(site)}
    )
    assert shown.returncode == 0, shown.stderr
    assert "train_discriminator" in shown.stdout
