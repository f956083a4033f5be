"""Files that changed behind the workflow's back, and times of files that a wrong clock gave them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflow.smoke_run import TARGETS
from workflow_fixtures import WARM

FOLDER = "results/arithmetic/tiny_t5"
GRACE = f"{FOLDER}/seed0/base_discriminator"
DAY = 86400.0
pytestmark = pytest.mark.slow


def check(workflow, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = workflow.project / "scripts" / "check_files.py"
    return subprocess.run(
        [str(WARM.python()), str(script), *arguments], cwd=workflow.folder, capture_output=True, text=True, check=False
    )


def flip_a_bit(path: Path) -> None:
    """As a bad disk does, without a trace in the file's times."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def shift(path: Path, seconds: float) -> None:
    """Date a file, or what a folder holds, by so many seconds from now."""
    moment = time.time() + seconds
    for file in [path, *path.rglob("*")]:
        os.utime(file, (moment, moment))


@pytest.mark.parametrize("file", [f"{GRACE}/pairs.jsonl", f"{FOLDER}/seed0/base/greedy/test.jsonl"])
def test_a_changed_file_is_found_named_and_rebuilt(smoke, copy, file: str) -> None:
    assert check(copy).returncode == 0
    flip_a_bit(copy.folder / file)
    assert "Nothing to be done" in copy.dry(*TARGETS)  # Snakemake looks at times
    found = check(copy)
    assert found.returncode == 1
    assert f"{file}: is not what its rule wrote\n" in found.stdout
    assert f"rebuild them with\n  snakemake {file} --forcerun {file}" in found.stdout
    rebuilt = check(copy, "--rebuild", "--", "--cores", "2")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert (copy.folder / file).read_bytes() == (smoke.folder / file).read_bytes()
    assert check(copy).returncode == 0
    assert "Nothing to be done" in copy.dry(*TARGETS)  # what is made of it was made of the right one


def test_with_a_target_only_what_is_behind_it_is_read_and_made_again(smoke, copy) -> None:
    weights = f"{FOLDER}/seed0/base_verifier/model/model.safetensors"
    flip_a_bit(copy.folder / weights)
    fine = check(copy, f"{FOLDER}/greedy_acc.json", "--", "--cores", "2")
    assert fine.returncode == 0, fine.stdout + fine.stderr
    target = f"{FOLDER}/verifier_acc.json"
    assert f"{weights}: is not what its rule wrote" in check(copy, target, "--", "--cores", "2").stdout
    rebuilt = check(copy, target, "--rebuild", "--", "--cores", "2")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert (copy.folder / weights).read_bytes() == (smoke.folder / weights).read_bytes()
    assert "score_method" in rebuilt.stderr  # a target is made again from what was rebuilt


def test_weights_that_cannot_be_read_are_named_with_the_mend(copy) -> None:
    weights = copy.folder / FOLDER / "seed0/base/model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused = copy.refused(f"{FOLDER}/seed0/base/greedy/test.jsonl", "--forcerun", "decode")
    assert f"error: {FOLDER}/seed0/base/model: the weights cannot be read" in refused
    assert "scripts/check_files.py --rebuild does both" in refused


def test_without_records_the_place_is_named(tmp_path, smoke) -> None:
    done = subprocess.run(
        [sys.executable, str(smoke.project / "scripts/check_files.py")], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "error: checksums: no such folder; run this in the folder that contains results/, after a run\n"
    )


# ---------------------------------------------------------------- clocks


def test_files_of_the_future_are_told_of_and_dated_now_by_a_command(copy) -> None:
    """Made while a clock was a day ahead: a model, what is made of it, and a result."""
    ahead = [f"{GRACE}/pairs.jsonl", f"{GRACE}/model", f"{GRACE}/sweep.json", f"{FOLDER}/greedy_acc.json"]
    for place, file in enumerate(ahead):
        shift(copy.folder / file, DAY + place)
    before = [(copy.folder / file).stat().st_mtime for file in ahead]
    shown = copy.dry(*TARGETS)
    assert "files in results are dated in the future (last: results/arithmetic/tiny_t5/greedy_acc.json)" in shown
    assert "check_files.py --mend-times" in shown
    assert [(copy.folder / file).stat().st_mtime for file in ahead] == before  # a start changes no times
    mended = check(copy, "--mend-times")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    times = [(copy.folder / file).stat().st_mtime for file in ahead]
    assert times == sorted(times)
    assert times[-1] <= time.time()
    # What was made of them before seems older now; Snakemake compares small files by content.
    shown = copy.dry(*TARGETS)
    assert "train_base" not in shown
    assert "make_pairs" not in shown
    copy.make(*TARGETS)
    again = copy.dry(*TARGETS)
    assert "Nothing to be done" in again
    assert "dated in the future" not in again


def test_what_is_made_after_the_clock_was_mended_counts_as_newer(copy) -> None:
    """The result is of the future, what it is made of is made anew: no later run may take the result for current."""
    result, rows = f"{FOLDER}/greedy_acc.json", f"{FOLDER}/seed0/base/greedy/test.jsonl"
    shift(copy.folder / result, DAY)
    assert check(copy, "--mend-times").returncode == 0
    copy.make(rows, "--config", "greedy={max_new_tokens: 5}")
    (copy.folder / ".snakemake/metadata").rename(copy.folder / "forgotten")  # times are all there is to go by
    assert "score_method" in copy.dry(result, "--config", "greedy={max_new_tokens: 5}", "--rerun-triggers", "mtime")


def test_files_of_long_ago_redo_nothing_that_is_the_same(copy) -> None:
    """As after a copy that lost the times, or with a clock that starts in 1970."""
    shift(copy.folder / f"{FOLDER}/seed0/base/greedy/test.jsonl", -30 * 365 * DAY)
    done = copy.run(*TARGETS, "--dry-run")
    assert done.returncode == 0, done.stderr
    copy.make(f"{FOLDER}/greedy_acc.json")
    assert "Nothing to be done" in copy.dry(*TARGETS)
