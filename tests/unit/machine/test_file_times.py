"""Files that a wrong clock dated in the future: found by every start, dated now by a command."""

import os
import time
from pathlib import Path

import pytest

import check_files
from retrace.errors import UserError
from retrace.machine.file_times import digest_of_times, files_from_future, note_of, reset_future_times
from retrace.machine.run_guard import RunGuard

AGES = {"a": 7200, "b": 3600, "deep/c": 5400, "past": -100, "soon": 10}


@pytest.fixture
def now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """The time before the files were made, in a folder with some that are dated ahead of it."""
    monkeypatch.chdir(tmp_path)
    moment = time.time()
    for name, ahead in AGES.items():
        path = Path("results", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (moment + ahead, moment + ahead))
    return moment


def times() -> dict[str, float]:
    return {name: Path("results", name).stat().st_mtime for name in AGES}


def test_a_note_changes_nothing_and_names_the_command(now: float) -> None:
    before = times()
    (note,) = note_of("results")
    assert note.startswith("note: 3 files in results are dated in the future (last: results/a) and hide ")
    command = note.rpartition("python ")[2]
    assert command.endswith("/check_files.py --mend-times")
    assert Path(command.split()[0]).samefile(check_files.__file__)
    assert times() == before


def test_files_of_the_future_keep_their_order(now: float, capsys: pytest.CaptureFixture[str]) -> None:
    check_files.main(["--mend-times"])
    assert "3 files and folders were dated in the future and now have the current time" in capsys.readouterr().out
    mended = times()
    assert sorted(("a", "b", "deep/c", "past"), key=mended.get) == ["past", "b", "deep/c", "a"]
    assert now - 1 < mended["b"] < mended["a"] <= time.time()
    assert mended["past"] == pytest.approx(now - 100)
    assert mended["soon"] == pytest.approx(now + 10)  # as far as clocks of machines may differ
    assert note_of("results") == []
    assert reset_future_times("results") == []


def test_what_is_not_there_is_not_dated(now: float) -> None:
    assert files_from_future("nowhere") == []
    Path("results/link").symlink_to("nowhere")
    assert "results/link" not in files_from_future("results")


def test_no_times_are_mended_while_a_run_works(now: float) -> None:
    guard, before = RunGuard(), times()
    guard.hold()
    with pytest.raises(UserError, match=r"another run works in this folder .* mend the times when it has ended"):
        check_files.main(["--mend-times"])
    os.close(guard.held)
    assert times() == before


def test_a_folder_without_results_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="results: no such folder"):
        check_files.main(["--mend-times"])


def test_a_digest_changes_with_any_file_that_counts(tmp_path: Path) -> None:
    kept, page = tmp_path / "a/b.json", tmp_path / "report.html"
    kept.parent.mkdir()
    kept.write_text("1")
    before = digest_of_times(tmp_path, leave_out=[str(page)])
    page.write_text("x")
    (tmp_path / ".hidden").write_text("x")
    assert digest_of_times(tmp_path, leave_out=[str(page)]) == before
    os.utime(kept, (5, 5))
    touched = digest_of_times(tmp_path, leave_out=[str(page)])
    assert touched != before
    kept.rename(kept.with_name("c.json"))
    assert digest_of_times(tmp_path, leave_out=[str(page)]) not in (before, touched)
    assert digest_of_times(tmp_path / "missing") == digest_of_times(tmp_path / "absent")
