"""The walk over the rules of a small workflow of its own, while planning and in the process of a single job."""

import subprocess
from pathlib import Path

import pytest

from retrace.evaluation.cost import benchmark_files
from retrace.workflow.jobs_behind import folded
from workflow_fixtures import WARM

SCRIPTS = Path(__file__).parents[2] / "scripts"
SNAKEFILE = """
import sys
from snakemake.output_index import OutputIndex
sys.path.insert(0, {scripts!r})
from retrace.workflow.jobs_behind import JobsBehind

ruleorder: quick > slow

wildcard_constraints:
    shard="[0-9]+",

rule score:
    input: "answers.txt", "own.txt", "special.txt"
    output: "score.txt"
    params: costs=lambda wildcards, input: JobsBehind(OutputIndex(workflow.rules).match_producers).benchmarks(input)
    shell: "echo {{params.costs}} > {{output}}"

rule gather:
    input: lambda w: expand("shards/{{shard}}.txt", shard=range(3))
    output: "answers.txt"
    shell: "cat {{input}} > {{output}}"

rule answer:
    input: "model.txt", "base.txt"
    output: temp("shards/{{shard}}.txt")
    benchmark: "benchmarks/answer_{{shard}}.tsv"
    shell: "cat {{input}} > {{output}}"

rule train:
    input: "base.txt", chosen="quick.txt"
    output: "model.txt"
    benchmark: "benchmarks/train.tsv"
    shell: "cat {{input}} > {{output}}"

rule base:
    output: "base.txt"
    benchmark: "benchmarks/base.tsv"
    shell: "echo base > {{output}}"

rule slow:
    output: "{{name}}ick.txt"
    benchmark: "benchmarks/slow_{{name}}.tsv"
    shell: "echo slow > {{output}}"

rule quick:
    output: "qu{{name}}.txt"
    benchmark: "benchmarks/quick_{{name}}.tsv"
    shell: "echo quick > {{output}}"

rule general:
    input: "parts_of_{{name}}.txt"
    output: "{{name}}ial.txt"
    benchmark: "benchmarks/general_{{name}}.tsv"
    shell: "cat {{input}} > {{output}}"

rule special:
    input: "base.txt"
    output: "spec{{name}}.txt"
    benchmark: "benchmarks/special_{{name}}.tsv"
    shell: "cat {{input}} > {{output}}"

rule unrelated:
    output: "unrelated.txt"
    benchmark: "benchmarks/unrelated.tsv"
    shell: "touch {{output}}"
"""
BEHIND = [
    *(f"benchmarks/answer_{shard}.tsv" for shard in range(3)),
    *(f"benchmarks/{name}.tsv" for name in ("base", "quick_ick", "special_ial", "train")),
]


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(WARM.python()), "-m", "snakemake", "--cores", "1", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(scripts=str(SCRIPTS)))
    (tmp_path / "own.txt").write_text("no rule makes this\n")
    return tmp_path


def test_a_result_knows_the_records_of_all_jobs_behind_it(folder: Path) -> None:
    done = snakemake(folder, "score.txt")
    assert done.returncode == 0, done.stderr
    assert (folder / "score.txt").read_text().split() == BEHIND
    # These are all that the run left: nothing was missed, and nothing is told that did not run.
    assert sorted(str(path.relative_to(folder)) for path in folder.glob("benchmarks/*")) == BEHIND


def test_the_process_of_a_single_job_knows_them_too(folder: Path) -> None:
    """As a job on a cluster is run: the graph holds one job, and everything else is up to date or was deleted."""
    assert snakemake(folder, "score.txt").returncode == 0
    (folder / "score.txt").unlink()
    alone = ["--target-jobs", "score:", "--allowed-rules", "score", "--mode", "subprocess", "--force"]
    done = snakemake(folder, *alone, "--nolock")
    assert done.returncode == 0, done.stderr
    assert (folder / "score.txt").read_text().split() == BEHIND


def test_runs_of_numbers_are_folded_and_spelled_out_again(tmp_path: Path) -> None:
    names = [f"a/test_{number}.tsv" for number in (0, 1, 2, 9, 10, 12)] + ["a/train.tsv", "b/0.tsv", "b/1.tsv"]
    assert folded(names) == ["a/test_{0..2}.tsv", "a/test_{9..10}.tsv", "a/test_12.tsv", "a/train.tsv", "b/{0..1}.tsv"]
    _, missing = benchmark_files(str(tmp_path / name) for name in folded(names))
    assert {str(path.relative_to(tmp_path)) for path in missing} == set(names)
