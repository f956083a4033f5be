"""A run that is killed again and again, and its jobs left alone; two runs in one folder. User's commands only."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from workflow.smoke_run import TARGETS

KILLS = 20
SEED = int(os.environ.get("RETRACE_FAULTS_SEED", "0"))
PATIENCE = 600.0  # seconds until something that must happen counts as not happening
PREDICTIONS = "results/arithmetic/tiny_t5/seed0/base/grace/test.jsonl"
pytestmark = pytest.mark.slow


@contextmanager
def started(workflow, *arguments: str, fresh: bool = True) -> Iterator[subprocess.Popen]:
    """Snakemake in a process group of its own, its output in the file `shown`; killed at the end of the block."""
    with open(workflow.folder / "shown", "w") as shown:
        running = subprocess.Popen(
            workflow.command(*arguments, fresh=fresh),
            cwd=workflow.folder,
            stdout=shown,
            stderr=shown,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        kill_group(running)
        if not fresh:
            wait_until_nobody_works_in(workflow.folder)


def wait_until_nobody_works_in(folder: Path) -> None:
    """What was forked for a client that was killed is killed in turn, a moment later."""
    deadline = time.monotonic() + PATIENCE
    while any(works_in(process, folder) for process in psutil.process_iter()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False


def kill_group(running: subprocess.Popen) -> None:
    if running.poll() is None:
        family = psutil.Process(running.pid).children(recursive=True)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        psutil.wait_procs(family, timeout=PATIENCE)


def shown(workflow) -> str:
    return (workflow.folder / "shown").read_text()


def wait_for(condition, running: subprocess.Popen, workflow) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert running.poll() is None, shown(workflow)[-4000:]
        assert time.monotonic() < deadline, shown(workflow)[-4000:]
        time.sleep(0.02)


def contents(folder: Path) -> dict[str, object]:
    """Every file of the results; of result documents what is not a cost, and no times at all.

    The page of the report is left out: it shows times. Commands lose the folder of the project, of which there are copies.
    """
    found: dict[str, object] = {}
    for path in sorted((folder / "results").rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name == ".snakemake_timestamp" or name.endswith((".timing.jsonl", "report.html")):
            continue
        found[name] = path.read_bytes()
        if name.endswith("_acc.json"):
            document = json.loads(path.read_text())
            del document["cost"]
            made_by = document["provenance"]
            made_by["command"] = re.sub(r"\S+/(?=scripts/|config/)", "", made_by["command"])
            for row in document["per_seed"]:
                del row["seconds"]
            found[name] = document
    return found


def killed_until_done(workflow, moments: list[tuple[int, float]]) -> int:
    """Start the run until it comes to its end, killing it at the next of the moments; how many kills there were.

    A moment: so many seconds after so many jobs of this start are done.
    """
    for count, (jobs, seconds) in enumerate(moments):
        # Most kills would hit imports, if each job began with them.
        with started(workflow, *TARGETS, fresh=False) as running:
            deadline = time.monotonic() + PATIENCE
            while shown(workflow).count("Finished jobid") < jobs and running.poll() is None:
                assert time.monotonic() < deadline, shown(workflow)[-4000:]
                time.sleep(0.02)
            time.sleep(seconds)
            if running.poll() is not None:
                assert running.returncode == 0, shown(workflow)[-6000:]
                return count
    workflow.make(*TARGETS)
    return len(moments)


def test_twenty_kills_change_nothing(smoke, workflow_class, tmp_path) -> None:
    draw = random.Random(SEED)
    moments = [(draw.choice((0, 1, 2, 3)), round(draw.uniform(0.0, 3.0), 2)) for _ in range(KILLS)]
    print(f"seed {SEED} (RETRACE_FAULTS_SEED): kills after (jobs, seconds) {moments}")
    expected, done = contents(smoke.folder), 0
    while done < KILLS:
        folder = tmp_path / f"run{done}"
        workflow = workflow_class(folder, smoke.project).configured("preset: smoke\n")
        done += killed_until_done(workflow, moments[done:])
        found = contents(folder)
        assert found.keys() == expected.keys()
        assert [name for name in expected if found[name] != expected[name]] == []
        checked = subprocess.run(
            [sys.executable, str(smoke.project / "scripts/check_files.py")], cwd=folder, capture_output=True, text=True
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_jobs_that_outlive_their_run_keep_the_folder(smoke, copy) -> None:
    """Only Snakemake itself is killed: a second start must not do the same work beside the first one's jobs."""
    (copy.folder / PREDICTIONS).unlink()
    with started(copy, PREDICTIONS) as running:
        family = psutil.Process(running.pid)
        wait_for(lambda: job_of(family, "decode.py") is not None, running, copy)
        job = job_of(family, "decode.py")
        job.suspend()
        jobs = family.children(recursive=True)
        running.kill()
        running.wait()
        try:
            refused = copy.refused(PREDICTIONS)
            assert f"jobs of a run that was killed still work in this folder (process {job.ppid()}, " in refused
            assert f"process {job.pid}" in refused
            assert "its lock is needed" in copy.refused(PREDICTIONS, "--unlock")
        finally:
            job.resume()
        psutil.wait_procs(jobs, timeout=PATIENCE)
    copy.make(PREDICTIONS)
    assert (copy.folder / PREDICTIONS).read_bytes() == (smoke.folder / PREDICTIONS).read_bytes()


def job_of(family: psutil.Process, script: str) -> psutil.Process | None:
    """The process of this script among the jobs of a run."""
    for process in family.children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "bash" not in words[:1] and "-c" not in words[:2] and any(word.endswith(script) for word in words):
            return process
    return None


def test_a_second_run_in_the_same_folder_is_refused(smoke, copy) -> None:
    (copy.folder / PREDICTIONS).unlink()
    shutil.rmtree(copy.folder / "results/data")
    with started(copy, PREDICTIONS) as running:
        family = psutil.Process(running.pid)
        wait_for(lambda: job_of(family, "prepare_data.py") is not None, running, copy)
        stopped = [family, *family.children(recursive=True)]
        for process in stopped:
            process.suspend()
        try:
            who = f"another run works in this folder (process {running.pid} on {socket.gethostname()}, since 2"
            assert who in copy.refused(PREDICTIONS)  # Snakemake's own lock
            assert who in copy.refused("results/configuration.yaml", "--forcerun", "save_configuration")
            assert who in copy.refused(PREDICTIONS, "--unlock")
            assert who in copy.dry(PREDICTIONS)  # looking is allowed
        finally:
            for process in reversed(stopped):
                process.resume()
        assert running.wait(PATIENCE) == 0, shown(copy)[-4000:]
    assert (copy.folder / PREDICTIONS).read_bytes() == (smoke.folder / PREDICTIONS).read_bytes()
    copy.make(PREDICTIONS)
