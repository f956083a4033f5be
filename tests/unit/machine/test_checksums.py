"""Records of what finished files are made of, and what is found by them."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.machine import checksums
from retrace.machine.storage import atomic_path, write_text


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(checksums.VARIABLE, "checksums")
    return tmp_path


def faults(artifact: str) -> list[tuple[str, str]]:
    return [(fault.file, fault.fault) for fault in checksums.faults_of(artifact, "checksums")]


def test_what_is_written_is_recorded_and_a_change_is_found(run_folder: Path) -> None:
    write_text("results/task/rows.jsonl", "one\n")
    write_text(run_folder / "results" / "task" / "more.jsonl", "two\n")
    assert checksums.recorded_artifacts("checksums") == ["results/task/more.jsonl", "results/task/rows.jsonl"]
    assert faults("results/task/rows.jsonl") == faults("results/task/more.jsonl") == []
    Path("results/task/rows.jsonl").write_text("One\n")
    assert faults("results/task/rows.jsonl") == [("results/task/rows.jsonl", "is not what its rule wrote")]
    write_text("results/task/rows.jsonl", "three\n")
    assert faults("results/task/rows.jsonl") == []
    Path("results/task/rows.jsonl").unlink()
    assert faults("results/task/rows.jsonl") == []


def test_a_folder_is_recorded_file_by_file() -> None:
    with atomic_path("results/task/model") as folder:
        (folder / "deep").mkdir(parents=True)
        (folder / "weights").write_bytes(b"\0" * 10)
        write_text(folder / "deep" / "tokens", "a")
    Path("results/task/model/.snakemake_timestamp").touch()
    assert faults("results/task/model") == []
    assert checksums.recorded_artifacts("checksums") == ["results/task/model"]
    Path("results/task/model/weights").write_bytes(b"\0" * 9 + b"\1")
    Path("results/task/model/deep/tokens").unlink()
    Path("results/task/model/extra").touch()
    assert faults("results/task/model") == [
        ("results/task/model/deep/tokens", "is missing"),
        ("results/task/model/weights", "is not what its rule wrote"),
        ("results/task/model/extra", "was put there by something else than its rule"),
    ]


def test_what_passes_or_lies_elsewhere_gets_no_record(tmp_path: Path) -> None:
    for path in ("results/task/shards/0.jsonl", "results/task/state/owner", "config/models.lock.json", "../other.txt"):
        write_text(path, "text")
    assert checksums.recorded_artifacts("checksums") == []
    assert checksums.faults_of("config/models.lock.json", "checksums")


def test_without_a_folder_for_records_nothing_is_recorded(monkeypatch) -> None:
    monkeypatch.delenv(checksums.VARIABLE)
    write_text("results/task/rows.jsonl", "one\n")
    assert not Path("checksums").exists()


def test_a_failure_leaves_file_and_record_as_they_were() -> None:
    write_text("results/task/rows.jsonl", "one\n")
    with pytest.raises(FileNotFoundError, match="nothing was written"), atomic_path("results/task/rows.jsonl"):
        pass
    assert faults("results/task/rows.jsonl") == []
    assert checksums.recorded_artifacts("checksums") == ["results/task/rows.jsonl"]


def test_a_broken_record_is_named() -> None:
    write_text("results/task/rows.jsonl", "one\n")
    Path("checksums/task/rows.jsonl.sha256").write_text("abc\n")
    with pytest.raises(UserError, match=r"checksums/task/rows\.jsonl\.sha256:1: no line of a checksum record"):
        faults("results/task/rows.jsonl")


def test_a_record_that_cannot_be_written_costs_nothing_else() -> None:
    Path("checksums").write_text("a file")
    write_text("results/task/rows.jsonl", "one\n")
    assert Path("results/task/rows.jsonl").read_text() == "one\n"
