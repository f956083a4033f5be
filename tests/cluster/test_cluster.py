"""The smoke preset through profiles/slurm on a real SLURM, and what cancelled, late and lost jobs do to it."""

import json
import re
import shutil
from pathlib import Path

import pytest
from slurm_cluster import wait_until

from retrace.machine.cluster import slurm_resources
from retrace.machine.site_checks import Job, refused_jobs
from retrace.machine.slurm_options import Slurm
from workflow.smoke_run import TARGETS

FOLDER = "results/arithmetic/tiny_t5"
SEED = f"{FOLDER}/seed0"
GRACE = f"{SEED}/base_discriminator"
PATIENCE = 300  # seconds; other things may run on this machine
# The nodes' GPUs are device files without a GPU behind them: jobs ask for them and compute on the processor.
ON_GPUS = "launch={gpus: 1}"


# ---------------------------------------------------------------- the same results


@pytest.fixture(scope="session")
def whole(runs):
    """Everything that the preset makes."""
    return runs(*TARGETS, "--config", ON_GPUS, warm=True).succeeds()


UNLIKE = {"cost", "seconds", "command"}  # the command names the file of the project


def without_cost(value: object) -> object:
    """A result document without what differs from run to run."""
    if isinstance(value, dict):
        return {key: without_cost(item) for key, item in value.items() if key not in UNLIKE}
    return [without_cost(item) for item in value] if isinstance(value, list) else value


def results(folder: Path) -> dict[str, object]:
    """Every file of the results by its name: what must be equal in two runs."""
    found: dict[str, object] = {}
    for file in (folder / "results").rglob("*"):
        if file.is_file() and not file.name.endswith((".timing.jsonl", ".snakemake_timestamp")):
            text = file.read_bytes()
            found[str(file.relative_to(folder))] = without_cost(json.loads(text)) if file.suffix == ".json" else text
    del found["results/configuration.yaml"]  # names the cluster
    del found["results/report.html"]  # shows what each job took
    return found


def test_every_result_equals_that_of_a_local_run(whole, smoke) -> None:
    here, there = results(smoke.folder), results(whole.folder)
    assert set(here) == set(there)
    assert sum(name.endswith("test.jsonl") for name in here) >= 7
    assert any(name.endswith("model.safetensors") for name in here)
    assert [name for name in sorted(here) if here[name] != there[name]] == []


COMPUTING = {
    *("train_base", "train_verifier", "train_discriminator", "sample_trajectories", "align_steps", "make_pairs"),
    *("measure_step_choice", "sweep_guided", "decode", "rerank"),
}
STAYING = {
    *("prepare_data", "gather_trajectories", "gather_predictions", "save_configuration", "score_method"),
    *("score_headline", "compare_methods", "make_table", "plot_sweep", "make_report", "all"),
}


def rule_of(job: dict[str, str]) -> str:
    return job["Comment"].removeprefix("rule_").split("_wildcards_")[0]


def test_what_computes_goes_to_the_nodes_and_the_rest_stays(whole) -> None:
    assert {rule_of(job) for job in whole.jobs().values()} == COMPUTING
    stayed = set(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", whole.shown)) - COMPUTING
    assert stayed == STAYING


def test_jobs_ask_for_the_partition_and_the_devices_of_their_rule(whole) -> None:
    for job in whole.jobs().values():
        on_gpu = rule_of(job) != "make_pairs"
        assert job["Partition"] == ("gpu" if on_gpu else "cpu")
        assert job.get("TresPerNode", "none") == ("gres:gpu:1" if on_gpu else "none")
        assert (job["NumNodes"], job["TimeLimit"], job["CPUs/Task"]) == ("1", "00:15:00", "1")
        assert 4000 <= int(job["MinMemoryNode"].rstrip("M")) < 4100
        assert job["JobName"].startswith("retrace_")


# ---------------------------------------------------------------- jobs that do not come to their end


@pytest.fixture(scope="session")
def failing(runs, whole, tmp_path_factory):
    """A run in a copy of all results, one of them cut off; it goes on in the background."""
    folder = tmp_path_factory.mktemp("failing") / "run"
    shutil.copytree(whole.folder, folder)
    file = folder / GRACE / "trajectories.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    return runs(f"{GRACE}/alignments.jsonl", "--forcerun", "align_steps", "--retries", "0", folder=folder)


SLOWLY = ["--config", "seeds=[0,1,2]", "base={max_steps: 100, evaluations: 10}"]
BASES = [f"{FOLDER}/seed{seed}/base/model" for seed in range(3)]


def stopped_after_its_first_save(run, seed: int):
    """The process that trains with this seed, halted once its state is on the disk; it hangs from then on."""
    state = run.folder / f"{FOLDER}/seed{seed}/base/state"
    wait_until(lambda: any(state.glob("checkpoint-*/trainer_state.json")), PATIENCE, f"a saved state of seed {seed}")
    (process,) = run.processes("train_base.py", f"seed{seed}/base/state")
    process.suspend()
    return process


class Troubled:
    """Three trainings at once: one is cancelled from outside, one hangs beyond its time limit, one loses its node."""

    def __init__(self, runs, cluster, undisturbed) -> None:
        self.cluster = cluster
        self.run = runs(*BASES, *SLOWLY)
        self.undisturbed = undisturbed
        halted = [stopped_after_its_first_save(self.run, seed) for seed in range(3)]
        self.environments = [process.environ() for process in halted]
        self.first = [self.run.job(self.comment(seed)) for seed in range(3)]
        nodes = [job["NodeList"] for job in self.first]
        self.lost = next(seed for seed in range(3) if nodes.count(nodes[seed]) == 1)
        self.cancelled, self.late = (seed for seed in range(3) if seed != self.lost)
        self.dead_node = nodes[self.lost]
        cluster.kill_node(self.dead_node)
        undisturbed.make(*BASES, *SLOWLY)
        # Until then the other jobs would be sent there, too, when they are tried again. A controller that gave the node up,
        # and its job to another one, may show it as down or as not responding (`mix*`): it gets no job either way.
        wait_until(lambda: self.attempts(self.lost)[-1]["Restarts"] == "1", PATIENCE, "the lost node's job is requeued")
        cluster.wait_for_node(self.dead_node, lambda state: "down" in state or state.endswith("*"), PATIENCE)
        cluster.call("scancel", self.first[self.cancelled]["JobId"])
        # A minute is the shortest limit, and what jobs of this preset ask for is a quarter of an hour.
        cluster.call("scontrol", "update", f"JobId={self.first[self.late]['JobId']}", "TimeLimit=1")
        wait_until(lambda: "resuming at" in self.log(self.lost), PATIENCE, "the lost node's training goes on elsewhere")
        self.resumed = self.log(self.lost)
        # The lost node was only cut off: what ran there goes on, beside its successor and in the same folder.
        halted[self.lost].resume()
        self.run.succeeds()
        halted[self.lost].wait(PATIENCE)
        cluster.start_node(self.dead_node)

    @staticmethod
    def comment(seed: int) -> str:
        return f"rule_train_base_wildcards_arithmetic_tiny_t5_{seed}"

    def attempts(self, seed: int) -> list[dict[str, str]]:
        """The jobs of SLURM that trained with this seed, in their order."""
        return [job for _, job in sorted(self.run.jobs().items()) if job["Comment"] == self.comment(seed)]

    def log(self, seed: int) -> str:
        file = self.run.folder / f"logs/arithmetic/tiny_t5/seed{seed}/base.log"
        return file.read_text(errors="replace") if file.exists() else ""  # a job's log is removed when it starts again


@pytest.fixture(scope="session")
def troubled(runs, cluster, failing, workflow_class, smoke, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    undisturbed = workflow_class(folder, smoke.project).configured("preset: smoke\n")
    return Troubled(runs, cluster, undisturbed)


def test_a_job_that_fails_is_reported_with_its_log(failing, troubled) -> None:
    shown = failing.fails()
    assert "Error in rule align_steps" in shown
    assert "SLURM status is: 'FAILED'" in shown
    lines = len((failing.folder / GRACE / "trajectories.jsonl").read_bytes().splitlines())
    assert f"{GRACE}/trajectories.jsonl:{lines}: the last line is cut off; delete the file and rebuild it" in shown
    assert len(failing.jobs()) == 1


def test_a_cancelled_job_is_tried_again_with_more_memory_and_goes_on(troubled) -> None:
    first, second = troubled.attempts(troubled.cancelled)
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert f"SLURM-job '{first['JobId']}' failed, SLURM status is: 'CANCELLED'" in troubled.run.shown
    assert int(second["MinMemoryNode"].rstrip("M")) == pytest.approx(2 * int(first["MinMemoryNode"].rstrip("M")), abs=2)
    assert "resuming at" in troubled.log(troubled.cancelled)


def test_a_job_over_its_time_limit_is_tried_again_with_more_time_and_goes_on(troubled) -> None:
    first, second = troubled.attempts(troubled.late)
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert f"SLURM-job '{first['JobId']}' failed, SLURM status is: 'TIMEOUT'" in troubled.run.shown
    assert (troubled.first[troubled.late]["TimeLimit"], second["TimeLimit"]) == ("00:15:00", "00:30:00")
    assert "resuming at" in troubled.log(troubled.late)


def test_a_dead_node_costs_only_its_own_job_and_no_retry(troubled) -> None:
    (job,) = troubled.attempts(troubled.lost)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert job["NodeList"] != troubled.dead_node
    assert "resuming at" in troubled.resumed
    assert [
        job["Restarts"]
        for _, job in troubled.run.jobs().items()
        if job["JobId"] != troubled.first[troubled.lost]["JobId"]
    ] == ["0"] * 4


def test_trainings_that_were_cut_off_end_with_the_weights_of_undisturbed_ones(troubled) -> None:
    for base in BASES:
        one, two = (run.folder / base / "model.safetensors" for run in (troubled.run, troubled.undisturbed))
        assert one.read_bytes() == two.read_bytes()


def test_jobs_on_nodes_reach_for_no_network(troubled) -> None:
    assert [found.get("HF_HUB_OFFLINE") for found in troubled.environments] == ["1"] * 3


# ---------------------------------------------------------------- several GPUs


TWO_GPUS = {"one node": ("{gpus: 2}", "gpus"), "two nodes": ("{gpus: 1, nodes: 2}", "gres")}


@pytest.fixture(scope="session")
def pairs_of_gpus(runs, whole, troubled):
    """A training on two GPUs of one node and one on two nodes, side by side."""
    return {
        name: runs(f"{SEED}/base/model", "--config", f"launch={launch}", f"slurm={{gpu: {{ask_by: {ask_by}}}}}")
        for name, (launch, ask_by) in TWO_GPUS.items()
    }


@pytest.mark.parametrize(
    ("name", "words", "asked"),
    [
        ("one node", ["--nproc-per-node=2"], {"NumNodes": "1", "TresPerJob": "gres:gpu:2"}),
        ("two nodes", ["--node-rank=0", "--node-rank=1"], {"NumNodes": "2", "TresPerNode": "gres:gpu:1"}),
    ],
)
def test_two_gpus_are_one_process_group(pairs_of_gpus, smoke, name, words, asked) -> None:
    run = pairs_of_gpus[name].succeeds()
    (job,) = run.jobs().values()
    assert {field: job[field] for field in asked} == asked
    log = (run.folder / "logs/arithmetic/tiny_t5/seed0/base.log").read_text()
    started = re.findall(r"^torchrun (.*?)\.py", log, re.MULTILINE)
    assert len(started) == len(words)
    assert all(any(word in line for line in started) for word in words)
    one, two = (
        [json.loads(line) for line in (folder / SEED / "base/model/curves.jsonl").read_text().splitlines()]
        for folder in (smoke.folder, run.folder)
    )
    losses = [[row["loss"] for row in curve if "loss" in row] for curve in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


# ---------------------------------------------------------------- the other systems


TRAINED = {
    "train_dpo": f"{SEED}/dpo_round1/model",
    "train_learn_to_reason": f"{SEED}/learn_to_reason_round1/model",
    "train_latro": "results/arithmetic/tiny_gpt2/seed0/latro/model",
    "train_icot": "results/mult_2x2/tiny_gpt2/seed0/icot/model",
}


def test_every_other_system_trains_on_the_nodes(runs, troubled) -> None:
    run = runs(*TRAINED.values(), "--config", ON_GPUS, warm=True).succeeds()
    assert all((run.folder / model).is_dir() for model in TRAINED.values())
    trained = {rule_of(job): job for job in run.jobs().values() if rule_of(job) in TRAINED}
    assert trained.keys() == TRAINED.keys()
    assert {job["JobState"] for job in trained.values()} == {"COMPLETED"}
    assert {job["TresPerNode"] for job in trained.values()} == {"gres:gpu:1"}


# ---------------------------------------------------------------- what is refused before the first job


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["slurm={cpu: {partition: cpus}}"], "partition 'cpus' is unknown; did you mean 'cpu'? valid: cpu, gpu"),
        (["launch={gpus: 4}"], "asks for 4 GPUs on a node, a node of partition gpu has at most 3"),
        (["slurm={cpu: {constraint: fast}}"], "allocation failure: Invalid feature specification"),
    ],
    ids=["partition", "gpus", "constraint"],
)
def test_what_the_site_has_not_is_refused_with_its_mend(runs, settings, message) -> None:
    run = runs(f"{SEED}/base/model", "--config", *settings)
    shown = run.fails()
    assert "nothing was submitted to SLURM" in shown
    assert message in shown
    assert "profiles/slurm/site.yaml" in shown
    assert not run.jobs()
    assert not (run.folder / "results").exists()


def test_nodes_that_are_down_are_waited_for(cluster, troubled, monkeypatch, capsys) -> None:
    """SLURM keeps such a job, though `sbatch --test-only` refuses it with the words for what no node has."""
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, cluster.environment[name])
    site = Slurm.model_validate({"cpu": {"partition": "cpu"}, "gpu": {"partition": "gpu"}})
    job = Job("train_sft", "gsm8k", slurm_resources(site, gpus=2), gpus=2, threads=1, memory_mb=100, minutes=5)
    cluster.call("scontrol", "update", "NodeName=n1,n2", "State=DOWN", "Reason=test")
    try:
        assert refused_jobs([job]) == []
        assert "train_sft (gsm8k) will wait: the nodes that can run it are down" in capsys.readouterr().err
    finally:
        cluster.call("scontrol", "update", "NodeName=n1,n2", "State=RESUME")
    for node in ("n1", "n2"):
        cluster.wait_for_node(node, "idle".__eq__, PATIENCE)
    assert refused_jobs([job]) == []
    assert capsys.readouterr().err == ""


def test_a_folder_that_the_nodes_do_not_share_is_refused(runs, cluster, troubled, tmp_path) -> None:
    """The node's daemon, and so its jobs, get another file system in that place."""
    cluster.kill_node("n2")
    cluster.kill_node("n1")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    script = 'mount -t tmpfs none "$0" && exec "$@"'
    try:
        for node in ("n1", "n2"):
            cluster.start_node(node, "unshare", "--mount", "sh", "-c", script, str(hidden))
        run = runs(f"{SEED}/base/model", folder=hidden / "run")
        shown = run.fails()
        assert f"does not see {hidden}/run, or may not write there: work in a folder that all nodes share" in shown
        assert not (hidden / "run/results").exists()
    finally:
        for node in ("n1", "n2"):
            cluster.kill_node(node)
            cluster.start_node(node)
