"""The rules within another workflow: taken as a module, and results shared with it through Snakemake's cache."""

import os
import subprocess
from pathlib import Path

import pytest

from workflow_fixtures import WARM

PROJECT = Path(__file__).parents[2]
DATA = "results/data/arithmetic"
MODULE = """
configfile: "config/config.yaml"

module retrace:
    snakefile: {snakefile!r}
    config: config["retrace"]
    {more}

use rule * from retrace as retrace_*

use rule prepare_data from retrace as retrace_prepare_data with:
    message: "Preparing it"

rule count:
    default_target: True
    input: "results/data/arithmetic/test.jsonl"
    output: "counted.txt"
    shell: "option=-l; wc $option results/data/*/*.jsonl > {{output}}; echo ${{{{RETRACE_CONFIG:-unset}}}} >> {{output}}"
"""


@pytest.fixture
def outer(tmp_path: Path):
    """Another workflow, run with `outer(arguments)`, or with further lines of its module statement."""

    def call(*arguments: str, more: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config/config.yaml").write_text("own: 1\nretrace:\n  preset: smoke\n")
        snakefile = MODULE.format(snakefile=str(PROJECT / "Snakefile"), more=more)
        (tmp_path / "Snakefile").write_text(snakefile)
        words = [str(WARM.python()), "-m", "snakemake", *arguments, "--cores", "1"]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


def test_another_workflow_makes_results_and_its_own(outer, tmp_path) -> None:
    done = outer()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Preparing it" in done.stdout + done.stderr
    # Its own commands are read as before: words are split, patterns are filled in, nothing of ours is set.
    assert (tmp_path / "counted.txt").read_text().split() == ["12", f"{DATA}/test.jsonl", "unset"]


def test_another_workflow_plans_any_result(outer) -> None:
    done = outer("--dry-run", "results/arithmetic/tiny_t5/grace_acc.json", "results/mult_2x2/tiny_gpt2/icot_acc.json")
    assert done.returncode == 0, done.stderr[-3000:]
    for rule in (
        "retrace_train_discriminator",
        "retrace_decode",
        "retrace_train_icot_emulator",
        "retrace_score_method",
    ):
        assert rule in done.stdout + done.stderr


def test_another_workflow_cannot_move_the_paths(outer) -> None:
    done = outer("--dry-run", more='prefix: "elsewhere"')
    assert done.returncode != 0
    assert "cannot be used with `prefix`" in done.stdout + done.stderr


def test_results_are_shared_through_the_cache(workflow_class, tmp_path) -> None:
    around = {**os.environ, "SNAKEMAKE_OUTPUT_CACHE": str(tmp_path / "cache")}
    (tmp_path / "cache").mkdir()
    words = ["--cache", "prepare_data", "fetch_model", "--"]
    made = []
    for name in ("first", "second"):
        workflow = workflow_class(tmp_path / name).configured("preset: smoke\n")
        done = workflow.run("--cores", "1", *words, f"{DATA}/test.jsonl", env=around)
        assert done.returncode == 0, done.stderr[-3000:]
        made.append((workflow.folder / DATA / "test.jsonl").resolve())
    assert made[0] == made[1]
    assert made[0].parent == tmp_path / "cache"
    planned = workflow.run("--dry-run", "--cores", "1", *words, "results/models/flan_t5_large", env=around)
    assert planned.returncode == 0, planned.stderr[-3000:]
    assert "cache" in planned.stdout + planned.stderr
