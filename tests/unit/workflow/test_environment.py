"""What every job's command starts with, as a shell reads it."""

import os
import subprocess
import sys
from pathlib import Path

from retrace.workflow.environment import prefix_of_jobs
from retrace.workflow.settings import Settings
from unit.evaluation_data import CONFIG

SLURM = {"cpu": {"partition": "cpu"}}


def variables(tmp_path: Path, root: Path, here: bool = True, on_node: bool = False, own: bool = True, **user) -> dict:
    """The variables that a command sees behind the prefix."""
    prefix = prefix_of_jobs(Settings({"preset": "smoke", **user}, CONFIG), root, here, on_node, own)
    around = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    command = prefix.replace("{{", "{").replace("}}", "}") + "env"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=around, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_paths_stay_whole(tmp_path) -> None:
    root = Path("/a b/[c] $(touch pwned)")
    found = variables(tmp_path, root, mirror="/m n")
    assert found["RETRACE_SCRIPTS"] == str(root / "scripts")
    assert found["RETRACE_CONFIG"] == str(root / "config")
    assert found["RETRACE_MIRROR"] == "/m n"
    assert not (tmp_path / "pwned").exists()


def test_devices_are_shared_on_this_machine_only(tmp_path) -> None:
    assert variables(tmp_path, CONFIG.parent)["RETRACE_DEVICES"] == "shared"
    assert variables(tmp_path, CONFIG.parent, here=False)["RETRACE_DEVICES"] == "allocated"


def test_nodes_without_a_network_do_not_look_for_models(tmp_path) -> None:
    assert variables(tmp_path, CONFIG.parent, on_node=True, slurm=SLURM)["HF_HUB_OFFLINE"] == "1"
    online = {**SLURM, "offline_nodes": False}
    assert "HF_HUB_OFFLINE" not in variables(tmp_path, CONFIG.parent, on_node=True, slurm=online)
    assert "HF_HUB_OFFLINE" not in variables(tmp_path, CONFIG.parent, on_node=False, slurm=SLURM)


def test_idle_threads_sleep_unless_the_user_says_otherwise(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert variables(tmp_path, CONFIG.parent)["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert variables(tmp_path, CONFIG.parent)["OMP_WAIT_POLICY"] == "ACTIVE"


def test_jobs_find_the_interpreter_but_not_in_an_environment_of_their_own(tmp_path) -> None:
    folder = str(Path(sys.executable).parent)
    assert variables(tmp_path, CONFIG.parent)["PATH"].split(":")[0] == folder
    assert variables(tmp_path, CONFIG.parent, own=False)["PATH"] == os.environ["PATH"]
