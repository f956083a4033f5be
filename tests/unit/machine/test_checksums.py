"""Records of what finished files are made of, and what is found by them."""

import os
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


def old(path: Path, text: str, seconds: int = 1_000_000_000) -> Path:
    """A file that was written long ago."""
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been left alone for a while."""
    monkeypatch.setattr(checksums, "_SETTLED_NS", 0)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose contents are read from now on."""
    read: list[Path] = []
    whole = checksums.digest_of
    monkeypatch.setattr(checksums, "digest_of", lambda path: read.append(path) or whole(path))
    return read


def test_a_file_is_read_again_only_where_it_may_have_changed(settled, monkeypatch: pytest.MonkeyPatch) -> None:
    file, known = old(Path("weights"), "abc"), checksums.Remembered("known.json")
    first = known.of([file])[file]
    assert first == checksums.digest_of(file)
    read = counted(monkeypatch)
    assert checksums.Remembered("known.json").of([file]) == {file: first}
    assert read == []
    old(file, "abd")  # the same size, the same date
    assert known.of([file])[file] != first
    old(Path("other"), "abc", 900_000_000)
    os.replace("other", file)  # older than what was there
    assert known.of([file])[file] == first
    assert len(read) == 2


def test_a_link_is_followed(settled) -> None:
    old(Path("one"), "a"), old(Path("two"), "b")
    Path("link").symlink_to("one")
    known = checksums.Remembered("known.json")
    first = known.of([Path("link")])
    Path("link").unlink()
    Path("link").symlink_to("two")
    assert known.of([Path("link")]) != first


def test_a_file_that_was_written_just_now_is_not_remembered() -> None:
    Path("rows").write_text("a")
    checksums.Remembered("known.json").of([Path("rows")])
    assert not Path("known.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 3}', "null", '"a"'])
def test_what_is_remembered_may_be_lost(settled, text: str) -> None:
    file = old(Path("rows"), "a")
    Path("known.json").write_text(text)
    assert checksums.Remembered("known.json").of([file]) == {file: checksums.digest_of(file)}
    assert checksums.Remembered("no/such/folder.json").of([file]) == {file: checksums.digest_of(file)}
