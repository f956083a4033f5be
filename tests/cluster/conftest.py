"""A SLURM cluster for the session, and Snakemake as a user runs it on the login node."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from slurm_cluster import SlurmCluster, why_not_here

from workflow_fixtures import WARM

# A job's state is looked at earlier and its files are waited for less long than on a real cluster.
SNAKEMAKE = Path(__file__).with_name("impatient_snakemake.py")
IMPATIENT = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


class Run:
    """A call of Snakemake with profiles/slurm, in a folder of its own, going on in the background.

    python: what starts it, and with it the Snakemake and the Python of its jobs.
    """

    def __init__(
        self, folder: Path, project: Path, cluster: SlurmCluster, *arguments: str, python: Path | str = sys.executable
    ) -> None:
        self.folder = folder
        self.cluster = cluster
        words = [str(python), str(SNAKEMAKE), "--snakefile", str(project / "Snakefile"), "--nocolor"]
        words += ["--workflow-profile", str(project / "profiles/slurm"), *IMPATIENT]
        (folder / "config").mkdir(parents=True, exist_ok=True)
        (folder / "config/config.yaml").write_text("preset: smoke\n")
        self.output = folder / "output.txt"
        # A user's shell has none of it: jobs on nodes must set it themselves.
        environment = {name: value for name, value in cluster.environment.items() if name != "HF_HUB_OFFLINE"}
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [*words, *arguments], cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def shown(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def succeeds(self, seconds: float = 1800) -> "Run":
        assert self.process.wait(timeout=seconds) == 0, self.shown[-8000:]
        return self

    def fails(self, seconds: float = 900) -> str:
        assert self.process.wait(timeout=seconds) != 0
        return self.shown

    def jobs(self) -> dict[int, dict[str, str]]:
        """The jobs of SLURM that this call submitted, by number, the rule and its wildcards in `Comment`."""
        return {
            number: fields for number, fields in self.cluster.jobs().items() if fields["WorkDir"] == str(self.folder)
        }

    def job(self, comment: str) -> dict[str, str]:
        """The latest job with that comment."""
        wanted = [fields for _, fields in sorted(self.jobs().items()) if fields.get("Comment") == comment]
        assert wanted, f"no job {comment}: {[fields.get('Comment') for fields in self.jobs().values()]}"
        return wanted[-1]

    def processes(self, *words: str) -> list[psutil.Process]:
        """Python processes started in the folder, on whatever node, whose command holds all these words."""
        found = []
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
                inside = process.cwd() == str(self.folder) and line and "python" in Path(line[0]).name
                if inside and all(any(word in part for part in line) for word in words):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """The running cluster. Skips, saying why, where none can be started."""
    if reason := why_not_here():
        pytest.skip(reason)
    made = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def runs(cluster, smoke, tmp_path_factory) -> Iterator[Callable[..., Run]]:
    """Starts calls of Snakemake, in a new folder if none is given; all are ended with the session.

    With `warm`, jobs start from a process that has imported what they need: where nothing is asked of their processes.
    """
    started: list[Run] = []

    def run(*arguments: str, folder: Path | None = None, warm: bool = False) -> Run:
        python = WARM.python() if warm else sys.executable
        folder = folder or tmp_path_factory.mktemp("run")
        started.append(Run(folder, smoke.project, cluster, *arguments, python=python))
        return started[-1]

    yield run
    for one in started:
        one.stop()
