"""Snakemake in a process that has imported it already.

A plan takes half a second and the imports before it twice as long. So tests share one process that imports once and
forks a child for each call, with its own arguments, folder, environment and output.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class ForkedSnakemake:
    """Runs `snakemake ARGUMENTS` in forks of one process; started with the first call."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self._server: subprocess.Popen[str] | None = None

    def run(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], python: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` would give for the same call, as text.

        python: the interpreter that jobs start with; None: the one of this process.
        """
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(self.project / "scripts")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
            call = {
                "arguments": list(arguments),
                "folder": str(folder),
                "env": dict(env),
                "files": [out.name, err.name],
                "python": str(python or sys.executable),
            }
            self._server.stdin.write(json.dumps(call) + "\n")
            self._server.stdin.flush()
            answer = self._server.stdout.readline()
            assert answer, "the process that forks Snakemake ended"
            return subprocess.CompletedProcess(list(arguments), int(answer), out.read(), err.read())

    def close(self) -> None:
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait(timeout=60)


def _serve() -> None:
    """Answer each call, a line of JSON on standard input, with its exit status, a line on standard output."""
    import snakemake.cli  # noqa: F401 - imported for the children

    sys.path.insert(0, sys.argv[1])
    import retrace.evaluation.reported
    import retrace.workflow.settings  # noqa: F401 - the same

    for line in sys.stdin:
        call = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(call)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(call: dict[str, Any]) -> None:
    """Be the process that was asked for; never returns."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in enumerate(call["files"], start=1):
            os.dup2(os.open(name, os.O_WRONLY | os.O_TRUNC), number)
        os.environ.clear()
        os.environ.update(call["env"])
        os.chdir(call["folder"])
        sys.argv = ["snakemake", *call["arguments"]]
        sys.executable = call["python"]
        sys.path[1:1] = filter(None, call["env"].get("PYTHONPATH", "").split(os.pathsep))
        from snakemake.cli import main

        try:
            main(call["arguments"])
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
