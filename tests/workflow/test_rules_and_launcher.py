"""What a rule asks of Snakemake and of SLURM is what its command starts: every rule that computes, in one plan a preset."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from retrace.planning.jobs import PLUGINS
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets
from retrace.yaml_files import read_yaml

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "scripts"
# What may stand in a computing script's command without the launcher: it asks nobody and loads no model.
COMPUTES_NOTHING = {"price_of_the_teacher": "--dry-run"}
TRIES_ON_PROCESSOR = {"fetch_model"}  # an embedder or a discriminator, once, where downloads run

# Between them these rest on every rule that computes.
TARGETS = [
    "results/gsm8k/{hub}/seed0/sft_discriminator/report.json",
    "results/gsm8k/{hub}/seed0/sft_discriminator/sweep.json",
    "results/gsm8k/{hub}/verifier_acc.json",
    "results/coin_flip/{hub}/grace_acc.json",
    "results/arithmetic/tiny_t5/greedy_acc.json",
    "results/arithmetic/tiny_t5/seed0/base/model_card.md",
    "results/gsm8k/{hub}/dpo_st_acc.json",
    "results/gsm8k/{hub}/rft_acc.json",
    "results/gsm8k/{hub}/seed0/sft_continued_round1/model",
    "results/gsm8k/{hub}/seed0/sft_extra_round1/model",
    "results/svamp/{hub}/transfer/gsm8k/sft_acc.json",
    "results/mult_4x4/small_gpt2/icot_acc.json",
    "results/mult_4x4/small_gpt2/icot_speed.json",
    "results/gsm8k/{hub}/dpo_st_speed.json",
    "results/gsm8k/{hub}/greedy_judged.json",
    "results/mult_4x4/small_gpt2/no_cot_deep_acc.json",
    "results/mult_4x4/small_gpt2/no_cot_from_teacher_acc.json",
    "results/mult_4x4/small_gpt2/icot_undistilled_acc.json",
    "results/mult_4x4/small_gpt2/icot_si_acc.json",
    "results/gsm8k/{causal}/latro_acc.json",
    "results/gsm8k/{causal}/latro_sft_acc.json",
    "results/gsm8k/{student}/learn_to_reason_acc.json",
]
HOURS = {"cpu": 1, "gpu": 40}  # the longest run time of each partition
SETTINGS = [
    "seeds=[0]",
    f"slurm={json.dumps({name: {'hours': most} for name, most in HOURS.items()})}",
    "resource_factors={time: 4}",
    "shards={sample: 1, decode: 1}",
    "icot_states={cached: true}",
    'overrides=[{"when": {"task": "coin_flip"}, "set": {"pair.step_judge": "entailment"}}]',
    "teacher={kind: local, model: llama_7b}",
    "rounds={learn_to_reason: 1}",
    "dpo_st={rounds: 1, labelled: 100}",
]
# Trainings of a preset that are spread over eight GPUs of one node, with the model of each.
ON_EIGHT = {"paper": {("train_latro", "phi35_mini"), ("train_learn_to_reason", "gptj_6b")}, "small": set()}
PRESETS = {
    # The papers' models, on the devices that the preset gives them.
    "paper": ({"hub": "flan_t5_large", "causal": "phi35_mini", "student": "gptj_6b"}, []),
    # Models from scratch, each training on two nodes of four GPUs.
    "small": ({"hub": "tiny_t5", "causal": "tiny_gpt2", "student": "tiny_t5"}, ["launch={gpus: 4, nodes: 2}"]),
}


# ---------------------------------------------------------------- which rules compute


def module_file(name: str) -> Path | None:
    """The file of a module of the package."""
    path = SCRIPTS.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that importing a module runs: not those of its functions, nor those for annotations alone."""
    for inner in ast.iter_child_nodes(node):
        for_annotations = isinstance(inner, ast.If) and "TYPE_CHECKING" in ast.unparse(inner.test)
        if not for_annotations and not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield inner
            yield from run_at_import(inner)


@cache
def imported(file: Path, whole: bool = True) -> tuple[str, ...]:
    """All that a file imports; whole: also inside its functions."""
    names = []
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if whole else run_at_import(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def uses_torch(script: str) -> bool:
    """Whether a script reaches torch in any way but the launcher's own, and so may compute on a device.

    The workflow room knows decoding algorithms by name and options, and runs none: of what lies behind it, only what its
    import runs counts.
    """
    launcher, room = module_file("retrace.machine.launch"), SCRIPTS / "retrace" / "workflow"
    seen: set[tuple[Path, bool]] = set()
    todo = [(SCRIPTS / script, True)]
    while todo:
        file, whole = todo.pop()
        whole = whole and file.parent != room
        if file == launcher or (file, whole) in seen:
            continue
        seen.add((file, whole))
        names = imported(file, whole)
        if any(name.split(".")[0] == "torch" for name in names):
            return True
        todo += [(found, whole) for name in names if name.startswith("retrace") and (found := module_file(name))]
    return False


def test_the_workflow_room_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the room that imports torch makes every script that needs it one that computes."""
    package = tmp_path / "retrace" / "workflow"
    package.mkdir(parents=True)
    (tmp_path / "plan.py").write_text("from retrace.workflow import names\n")
    monkeypatch.setattr(sys.modules[__name__], "SCRIPTS", tmp_path)
    for text, computes in (("import torch\n", True), ("def later():\n    import torch\n", False)):
        (package / "names.py").write_text(text)
        imported.cache_clear()
        assert uses_torch("plan.py") is computes
    imported.cache_clear()


@cache
def commands_of_rules() -> dict[str, str]:
    """Rule and its command, with its braces."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, str(Path(__file__).with_name("list_rules.py")), str(PROJECT / "Snakefile")]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def scripts_of_rules() -> dict[str, set[str]]:
    """Rule and the scripts that its command names."""
    return {
        rule: set(re.findall(r"\$RETRACE_SCRIPTS/(\w+\.py)", command)) for rule, command in commands_of_rules().items()
    }


def computing_rules() -> set[str]:
    return {
        rule
        for rule, scripts in scripts_of_rules().items()
        if rule not in {*COMPUTES_NOTHING, *TRIES_ON_PROCESSOR}
        and any(uses_torch(script) for script in scripts - {"launch.py"})
    }


# ---------------------------------------------------------------- the plans


@pytest.fixture(scope="module", params=PRESETS)
def preset(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def planned(preset, tmp_path_factory, workflow_class) -> list[dict]:
    """The jobs of a preset as SLURM would get them; nothing is submitted."""
    names, settings = PRESETS[preset]
    workflow = workflow_class(tmp_path_factory.mktemp("plan")).configured(f"preset: {preset}\n")
    words = ["--workflow-profile", str(PROJECT / "profiles/slurm"), "--logger", "retrace-jobs"]
    targets = [target.format(**names) for target in TARGETS]
    done = workflow.run(
        *targets,
        "--dry-run",
        "--cores",
        "64",
        *words,
        "--config",
        *SETTINGS,
        *settings,
        env={"PYTHONPATH": str(PLUGINS)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def launched(command: str) -> dict[str, str] | None:
    """The launcher's own options in a job's command; None where it starts without the launcher."""
    words = shlex.split(command)
    start = next((place for place, word in enumerate(words) if word.endswith("/launch.py")), None)
    if start is None:
        return None
    options, place = {}, start + 1
    while words[place].startswith("--"):
        options[words[place][2:]] = words[place + 1]
        place += 2
    assert words[place].endswith(".py")
    return options


def test_every_rule_that_computes_is_planned(planned) -> None:
    """A new one joins TARGETS."""
    computing = computing_rules()
    assert {"train_learn_to_reason", "train_latro", "decode", "make_pairs", "train_no_cot_deep"} <= computing
    assert not {"make_preferences", "score_method", "prepare_data"} & computing
    assert computing <= {job["rule"] for job in planned}


def test_rules_start_with_the_devices_that_they_ask_for(planned) -> None:
    computing, devices = computing_rules(), set()
    for job in planned:
        asked, started = job["resources"], launched(job["command"])
        gpus, nodes = asked.get("gpus", 0), asked.get("nodes", 1)
        if job["rule"] not in computing:
            assert gpus == 0, job["rule"]
            assert started is None or job["rule"] in COMPUTES_NOTHING, job["rule"]
            continue
        assert started is not None, f"{job['rule']} starts without launch.py"
        assert int(started.pop("gpus")) == gpus, job["rule"]
        assert asked.get("gres") == (f"gpu:{gpus}" if gpus else None), job["rule"]
        assert asked["slurm_partition"] == ("gpu" if gpus else "cpu"), job["rule"]
        assert int(started.pop("nodes", 1)) == nodes, job["rule"]
        assert asked.get("tasks", 1) == nodes, job["rule"]  # a launcher each
        assert (asked.get("mpi") == "srun") == (nodes > 1), job["rule"]
        if job["rule"].startswith("train_"):
            assert set(started) == {"processes", "strategy"}, job["rule"]
            assert started["processes"] == "0" or not gpus, job["rule"]
        else:
            assert started == {}, job["rule"]
            assert nodes == 1, job["rule"]
        devices.add(gpus * nodes)
    assert devices >= {1, 8}


def test_every_training_is_told_what_its_model_card_says(planned, preset) -> None:
    trainings = [job for job in planned if job["rule"].startswith("train_")]
    assert len({job["rule"] for job in trainings}) > 12
    checkpoints = {file.stem: read_yaml(file) for file in (PROJECT / "config/checkpoints").glob("*.yaml")}
    systems = {name: one["system"] for name, one in checkpoints.items() if "system" in one}
    for job in trainings:
        words = shlex.split(job["command"])
        folder = next(file for file in job["output"] if file.endswith("/model"))
        name = Path(folder).parent.name
        kind = re.sub(r"_round\d+$", "", name)
        kind = next(guide for guide in ("discriminator", "verifier", kind) if kind.endswith(guide))
        given = {option: words[words.index(option) + 1] for option in ("--checkpoint", "--system", "--preset")}
        assert given == {"--checkpoint": name, "--system": systems[kind], "--preset": preset}, job["rule"]
        assert words.count("--model-file") == 1, job["rule"]


def test_jobs_keep_to_the_run_time_of_their_own_partition(planned) -> None:
    submitted = [job for job in planned if "slurm_partition" in job["resources"]]
    assert {"make_preferences", "make_pairs", "train_sft"} & {job["rule"] for job in submitted}
    for job in submitted:
        most = 60 * HOURS[job["resources"]["slurm_partition"]]
        assert job["resources"]["runtime"] <= most, job["rule"]


def test_processes_that_read_the_model_onto_their_gpus_ask_for_no_copies_of_it(planned, preset) -> None:
    """The models of 3.8 and 6 billion weights would take 8 x 4 bytes a weight if each process read it into memory."""
    asked = {
        (job["rule"], job["wildcards"]["model"]): job["resources"]["mem_mb"]
        for job in planned
        if job["rule"] in ("train_latro", "train_learn_to_reason") and job["resources"]["gpus"] == 8
    }
    for (_, model), megabytes in asked.items():
        size = 4 * read_yaml(PROJECT / f"config/models/{model}.yaml")["parameters"] / 1e6
        assert 4 * size < megabytes < 4.5 * size + 8 * 4000 + 100
    assert set(asked) == ON_EIGHT[preset]


def test_every_file_of_a_plan_may_be_asked_for(planned) -> None:
    """By its own name, as a target."""
    user = {"preset": "paper", "dpo_st": {"rounds": 1, "labelled": 100}, "icot_states": {"cached": True}}
    targets = Targets(Settings(user, PROJECT / "config"))
    files = {file for job in planned for file in job["output"] if file.startswith("results/")}
    assert len(files) > 100
    for file in files:
        targets.check(file)


def test_what_computes_nothing_needs_no_launcher() -> None:
    for rule, proof in COMPUTES_NOTHING.items():
        assert proof in commands_of_rules()[rule]
