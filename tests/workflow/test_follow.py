"""Following a run on the terminal: failed jobs, running jobs, and trackers, in every profile."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from suites import first_daily
from workflow.test_slurm_profile import site  # noqa: F401

MINE = """\
name: mine
title: Mine
family: word_problems
format: question_answer
splits:
  test: {file: FILE}
"""
MODEL = "results/arithmetic/tiny_t5/seed0/base/model"


@pytest.mark.parametrize("profile", first_daily(["default", "tiny", "slurm"], count=2))
def test_the_error_of_a_failed_job_reaches_the_terminal(
    profile: str, workflow_class, copied_project, tmp_path, request
) -> None:
    workflow = workflow_class(tmp_path, copied_project()).configured("preset: smoke\n")
    (tmp_path / "mine.jsonl").write_text('{"question": "1 + 1?"}\n')
    (workflow.project / "config/tasks/mine.yaml").write_text(MINE.replace("FILE", str(tmp_path / "mine.jsonl")))
    words = ["--workflow-profile", str(workflow.project / "profiles" / profile)]
    environment = {}
    if profile == "slurm":  # the job runs on the login node
        environment["PATH"] = str(request.getfixturevalue("site"))
        words += ["--retries", "0", "--config", 'slurm={"check_folder": "never"}']
    if profile == "tiny":  # whose own file is found from the project's folder only
        words += ["--configfile", str(workflow.project / "profiles/tiny/config.yaml")]
    done = workflow.run("results/data/mine/test.jsonl", *words, env=environment)
    assert done.returncode != 0
    log = "logs/data/mine/test.log"
    said = (tmp_path / log).read_text().splitlines()[-1]
    assert said.startswith("error: ")
    assert f"data/mine/test failed: {said} (its log: {log})" in done.stderr.splitlines()


@pytest.mark.slow
def test_a_running_job_has_a_line_on_the_terminal(workflow) -> None:
    settings = ["preset=smoke", "base={max_steps: 150}"]
    profile = workflow.project / "profiles/tiny"
    words = ["--workflow-profile", str(profile), "--configfile", str(profile / "config.yaml")]
    words += ["--config", *settings]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        workflow.command(MODEL, *words, fresh=False),
        cwd=workflow.folder,
        stdout=subprocess.DEVNULL,
        stderr=slave,
        stdin=subprocess.DEVNULL,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # all who could write are gone
            break
        if not part:
            break
        shown += part
    assert process.wait() == 0, shown.decode()
    text = shown.decode()
    name = MODEL.removeprefix("results/").removesuffix("/model")
    assert re.search(rf"{name}  step \d+/150  loss \d\.\d+  \d+ s left", text)
    # Following it redoes nothing.
    assert "Nothing to be done" in workflow.dry(MODEL, *words, "logging={to: [tensorboard]}")


def test_a_tracker_that_is_not_installed_is_refused_before_the_first_job(workflow, copied_project) -> None:
    workflow.project = copied_project()
    tracking = Path(workflow.project / "scripts/retrace/machine/tracking.py")
    tracking.write_text(tracking.read_text().replace('("wandb",)', '("no_such_package",)'))
    words = ["results/data/arithmetic/dev.jsonl", "--config", "preset=smoke", "logging={to: [wandb]}"]
    shown = workflow.refused(*words)
    assert "logging.to: wandb is not installed for " in shown
    assert not (workflow.folder / "results").exists()
