"""Running Snakemake as a user does, in a folder of its own."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from suites import slow_tests_run
from warm_python import WarmPython
from workflow.smoke_run import BASE, TARGETS

PROJECT = Path(__file__).parents[1]
WARM = WarmPython(PROJECT)
TOGETHER = "RETRACE_TESTS_TOGETHER"  # names a folder of several processes of tests that run beside each other


class Workflow:
    """The project's workflow with its results in a temporary folder.

    fresh: Snakemake and every job are processes of their own, as with a user; else they are forked from a process that
    has imported what both need.
    """

    def __init__(self, folder: Path, project: Path = PROJECT, fresh: bool = False) -> None:
        self.folder = folder
        self.project = project
        self.fresh = fresh

    def configured(self, text: str) -> "Workflow":
        """The same, with this text as the user's own configuration beside the results."""
        (self.folder / "config").mkdir(parents=True, exist_ok=True)
        (self.folder / "config" / "config.yaml").write_text(text)
        return self

    def command(self, *arguments: str, fresh: bool = True) -> list[str]:
        """The words of a call of Snakemake, on two cores if nothing else is said."""
        words = [sys.executable if fresh else str(WARM.python()), "-m", "snakemake"]
        words += ["--snakefile", str(self.project / "Snakefile"), "--nocolor", *arguments]
        return [*words, *([] if "--cores" in arguments else ["--cores", "2"])]

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """What the call printed, and how it ended."""
        words, around = self.command(*arguments, fresh=self.fresh), {**os.environ, **(env or {})}
        return subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False, env=around)

    def dry(self, *arguments: str) -> str:
        """A dry run that must succeed; its output."""
        done = self.run("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def make(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        """A run that must succeed."""
        done = self.run(*arguments, "--show-failed-logs", env=env)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]

    def refused(self, *arguments: str) -> str:
        """A run that must fail; its output, the logs of the failed jobs included."""
        done = self.run(*arguments, "--show-failed-logs")
        assert done.returncode != 0
        return done.stdout + done.stderr


def make_once(home: Path, make: Callable[[], None]) -> None:
    """Make what lies in the folder `home`, or wait until another process of the same tests has made it."""
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "made", "a+") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        note.seek(0)
        if not note.read():
            make()
            note.write("made")


@pytest.fixture(scope="session", autouse=True)
def started_beforehand():
    """The process that has imported Snakemake and what jobs need ends with the session."""
    yield
    WARM.close()


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    # Snakemake looks for `config/config.yaml` beside the results first: the user's own copy.
    return Workflow(tmp_path).configured("preset: paper\n")


@pytest.fixture(scope="session")
def copied_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a copy of what a run needs of the repository, whose configuration files a test may change.

    Compiled modules come with it: they say by which date and size of the source they hold. Python writes them under other
    names first.
    """

    def copy() -> Path:
        project = tmp_path_factory.mktemp("project")
        for name in ("rules", "scripts", "config", "profiles", "envs"):
            shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        shutil.copy(PROJECT / "Snakefile", project)
        return project

    return copy


@pytest.fixture(scope="session")
def workflow_class() -> type[Workflow]:
    return Workflow


@pytest.fixture(scope="session")
def smoke(copied_project, workflow_class, tmp_path_factory, request):
    """All default targets of the smoke preset, made once; tests that change them work on copies.

    Every job is a process of its own, as with a user; without the slow tests only the first training and what it reads.
    """
    home = Path(os.environ.get(TOGETHER) or tmp_path_factory.mktemp("together"))
    workflow = workflow_class(home / "smoke", copied_project(), fresh=True)

    def make() -> None:
        workflow.configured("preset: smoke\n")
        if not slow_tests_run(request.config):
            workflow.make(BASE)
            workflow.fresh = False
        workflow.make(*TARGETS)

    make_once(home, make)
    workflow.fresh = False
    return workflow


@pytest.fixture
def copy(smoke, workflow_class, tmp_path):
    """A copy of everything that was made; the same project."""
    shutil.copytree(smoke.folder, tmp_path / "copy")
    return workflow_class(tmp_path / "copy", smoke.project)
