"""Every target name resolves in a dry run, without network and GPU, and a wrong one gets the valid ones."""

import re
from itertools import product

import pytest

from suites import first_daily

TASKS = ["gsm8k", "svamp", "multiarith", "mathqa", "coin_flip", "tso", "arithmetic"]
FAMILY = ["greedy", "beam", "self_consistency", "verifier", "stepwise", "grace", "grace_self_consistency"]


def jobs(output: str) -> dict[str, int]:
    """Rule name and number of jobs, from the table that a dry run prints."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}


@pytest.mark.parametrize("task", first_daily(["multiarith", *(task for task in TASKS if task != "multiarith")]))
def test_headline_targets_of_the_paper(workflow, task: str) -> None:
    shown = workflow.dry(f"results/{task}/grace_acc.json")
    rules = jobs(shown)
    chain = {"fetch_model", "sample_trajectories", "align_steps", "make_pairs", "train_discriminator", "decode"}
    assert chain <= set(rules)
    assert rules["train_discriminator"] == (3 if task == "multiarith" else 5)  # one a seed; LLaMA has three
    # A frozen model is shown other worked examples in each pass of sampling.
    assert ("Preparing sampling_demonstrations of multiarith" in shown) == (task == "multiarith")


@pytest.mark.parametrize(
    ("task", "preset"),
    first_daily(sorted(product(TASKS, ("tiny", "smoke")), key=lambda pair: pair[0] not in ("svamp", "arithmetic")), 4),
)
def test_headline_targets_of_the_small_presets(workflow, task: str, preset: str) -> None:
    shown = workflow.dry(f"results/{task}/grace_acc.json", "--config", f"preset={preset}")
    rules = jobs(shown)
    short = preset == "tiny" and task in ("multiarith", "svamp")  # few questions, a single pass
    assert shown.count("wrong solutions (sample.incorrect) cannot be found") == short
    assert {"train_base", "sample_trajectories", "sweep_guided", "decode"} <= set(rules)
    assert "fetch_model" not in rules
    assert ("train_sft" in rules) == (task != "arithmetic")


@pytest.mark.parametrize("model", first_daily(["llama_7b", "flan_t5_large", "tiny_t5", "tiny_gpt2"]))
def test_every_method_on_any_model(workflow, model: str) -> None:
    targets = [f"results/gsm8k/{model}/{method}_acc.json" for method in [*FAMILY, "sft_grace", "sft_greedy"]]
    rules = jobs(workflow.dry(*targets, f"results/gsm8k/{model}/compare/grace_vs_greedy.json"))
    assert rules["score_method"] == len(targets)
    assert {"rerank", "train_verifier", "compare_methods"} <= set(rules)


LATRO = [f"{checkpoint}{decoder}" for checkpoint in ("latro", "latro_sft", "base") for decoder in ("", "_maj")]


@pytest.mark.parametrize("task", first_daily(["arc_challenge", "gsm8k", "arithmetic"]))
def test_headline_targets_of_latro(workflow, task: str) -> None:
    shown = workflow.dry(*(f"results/{task}/{method}_acc.json" for method in [*LATRO, "latro_few_shot"]))
    rules = jobs(shown)
    assert (rules["train_latro"], rules["train_latro_sft"]) == (1, 1)  # the paper names no number of runs
    assert "train_sft" not in rules
    assert f"results/{task}/phi35_mini/latro_maj_acc.json" in shown
    assert rules["fetch_model"] == 1


@pytest.mark.parametrize("model", first_daily(["phi35_mini", "mistral_7b", "llama31_8b", "tiny_gpt2"]))
def test_latros_figure_and_few_shot_results(workflow, model: str) -> None:
    targets = [f"results/gsm8k/{model}/{method}_acc.json" for method in ("base_few_shot", "latro_few_shot_maj")]
    rules = jobs(workflow.dry(*targets, f"results/figures/latro_gsm8k_{model}.svg"))
    assert rules["plot_latro"] == 1
    assert rules["score_method"] == 2


@pytest.mark.parametrize("preset", ["tiny", "smoke"])
def test_latro_in_the_small_presets(workflow, preset: str) -> None:
    shown = workflow.dry(
        "results/arithmetic/latro_acc.json", "results/gsm8k/latro_acc.json", "--config", f"preset={preset}"
    )
    assert jobs(shown)["train_latro"] == 2
    assert jobs(shown)["train_sft"] == 1  # gsm8k has no related corpus: there LaTRO starts from the fine-tuned model
    assert "tiny_gpt2" in shown


def test_checkpoints_are_compared_on_test_only_where_asked_for(workflow) -> None:
    target = "results/gsm8k/latro_acc.json"
    asked = re.compile(r"--compare (\S+)")
    assert set(asked.findall(workflow.dry(target, "--printshellcmds"))) == {"results/data/gsm8k/dev.jsonl"}
    shown = workflow.dry(target, "--printshellcmds", "--config", 'latro={"choose_on": "test"}')
    assert set(asked.findall(shown)) == {"results/data/gsm8k/test.jsonl"}


@pytest.mark.slow
def test_latros_table(workflow) -> None:
    rules = jobs(workflow.dry("results/tables/latro_table2.html", "--config", "tables=run"))
    assert rules["score_method"] == 36


@pytest.mark.slow
def test_the_table_and_the_sweep(workflow) -> None:
    rules = jobs(
        workflow.dry(
            "results/tables/grace_table1.html",
            "results/gsm8k/flan_t5_large/grace_beta_sweep.svg",
            "--config",
            "tables=run",
        )
    )
    assert rules["score_method"] == 30
    assert rules["make_table"] == rules["plot_sweep"] == 1


def test_all_splits_of_all_tasks(workflow) -> None:
    assert jobs(workflow.dry("data"))["prepare_data"] >= 3 * len(TASKS)


# What is said of each wrong name: tests/unit/workflow, test_target_names.py and test_compatibility.py.
def test_a_wrong_target_is_explained_before_anything_is_planned(copied_project, workflow_class) -> None:
    checkout = copied_project()
    workflow = workflow_class(checkout, checkout)
    cases = [
        ("default", "results/gms8k/grace_acc.json", "task 'gms8k' is unknown; did you mean 'gsm8k'? valid: "),
        (
            "tiny",
            "results/commonsense_qa/tiny_t5/grace_acc.json",
            "and commonsense_qa has final answers only; valid tas",
        ),
        ("slurm", "gsm8k", "no target by itself; a target is the file that it makes, for instance results/gsm8k/"),
    ]
    for profile, target, message in cases:
        done = workflow.run("--dry-run", target, "--workflow-profile", f"profiles/{profile}")
        assert done.returncode != 0
        assert f"{target}: " in done.stdout + done.stderr
        assert message in done.stdout + done.stderr
        assert "Building DAG" not in done.stdout + done.stderr


def test_an_unknown_key_is_named(workflow) -> None:
    done = workflow.run("--dry-run", "results/gsm8k/grace_acc.json", "--config", "sedes=[1]")
    assert done.returncode != 0
    assert "unknown key 'sedes'; did you mean 'seeds'" in done.stdout + done.stderr


def test_a_gpu_that_is_missing_stops_the_run_before_the_first_job(workflow) -> None:
    done = workflow.run("results/gsm8k/greedy_acc.json", env={"PATH": "/usr/bin:/bin"})
    assert done.returncode != 0
    assert "need a GPU and this machine shows none. Two ways on" in done.stdout + done.stderr
    assert not (workflow.folder / "results" / "data").exists()


def test_an_embedder_that_is_not_there_stops_the_run_before_the_first_job(workflow) -> None:
    target = "results/arithmetic/tiny_t5/grace_acc.json"
    done = workflow.run(target, "--config", "preset=smoke", 'align={"embedder": "nobody/embedder"}')
    assert done.returncode != 0
    assert "nobody/embedder: not in the Hub's cache, and HF_HUB_OFFLINE is set" in done.stdout + done.stderr
    assert not (workflow.folder / "results" / "data").exists()


def edges(graph: str) -> set[tuple[str, str]]:
    """Arrows of a mermaid graph by rule name; Snakemake numbers the rules anew each time."""
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    return {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", graph)}


def test_the_rule_graph_of_the_page_is_fresh(workflow) -> None:
    page = (workflow.project / "docs/grace.md").read_text(encoding="utf-8")
    shown = edges(page.split("```mermaid")[1].split("```")[0])
    assert ("make_pairs", "train_discriminator") in shown
    assert shown == edges(workflow.run("--rulegraph", "mermaid-js", "results/gsm8k/grace_acc.json").stdout)


def test_what_is_no_task_is_a_target_too(workflow) -> None:
    assert jobs(workflow.dry("results/configuration.yaml")) == {"save_configuration": 1, "total": 1}


def test_the_report_makes_nothing_else_and_comes_behind_what_is_asked_for_with_it(workflow) -> None:
    report = "results/report.html"
    assert jobs(workflow.dry(report)) == {"make_report": 1, "total": 1}
    shown = workflow.dry("results/configuration.yaml", report)
    assert jobs(shown) == {"make_report": 1, "save_configuration": 1, "total": 2}
    waits = r"Writing results/report\.html.*\nReason: .*Input files updated by another job: (.*)"
    assert re.search(waits, shown)[1] == "results/configuration.yaml"
    shown = workflow.dry("all", "results/arithmetic/grace_acc.json", "--config", "preset=smoke")
    behind = set(re.search(waits, shown)[1].split(", "))
    assert {"results/arithmetic/grace_acc.json", "results/arithmetic/tiny_t5/beam_acc.json"} <= behind


def test_guided_decoding_is_told_whether_to_keep_its_candidates(workflow) -> None:
    targets = [f"results/arithmetic/tiny_t5/{method}_acc.json" for method in ("grace", "greedy")]
    for words, keeps in (([], "auto"), (["keep_candidates=always"], "always")):
        shown = workflow.dry(*targets, "--printshellcmds", "--config", "preset=smoke", *words)
        commands = re.findall(r"decode\.py (\w+) .*", shown)
        assert sorted(commands) == ["greedy", "guided"]
        told = re.findall(r"decode\.py (\w+) .*--keep-candidates (\w+)", shown)
        assert told == [("guided", keeps)]


def test_another_folder_without_a_configuration_takes_the_one_of_the_checkout(copied_project, workflow_class) -> None:
    checkout = copied_project()
    (checkout / "config" / "config.yaml").write_text("preset: smoke\n")
    workflow = workflow_class(checkout, checkout)
    target = "results/arithmetic/grace_acc.json"
    assert "results/arithmetic/tiny_t5/" in workflow.dry("--directory", "second", target)
    workflow_class(checkout / "third").configured("preset: paper\n")
    assert "results/arithmetic/flan_t5_large/" in workflow.dry("--directory", "third", target)
