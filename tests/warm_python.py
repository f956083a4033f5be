"""A `python` that starts with torch, transformers and Snakemake imported already.

A plan takes half a second and a job of the smoke preset less, and the imports before them one and four. So tests share
one process that imports once and forks a child for each call, with its own arguments, folder, environment, input and
output. `python()` is a small client of it, started in the place of the interpreter; what is neither a script nor
`-m snakemake` is left to the real one. What such a process starts by `sys.executable` starts here, too.

Tests that measure processes, or look for them by command line or environment, take the real Python.
"""

import atexit
import functools
import gc
import hashlib
import importlib.metadata
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import NoReturn

MODULES = ["snakemake", "torch.distributed.run"]
CLIENT = """\
#!{python} -IS
import json, os, signal, socket, struct, sys
words = sys.argv[2:] if sys.argv[1:2] == ["-u"] else sys.argv[1:]  # torchrun's flag; outputs are flushed at the end
if not (words and words[0].endswith(".py") or words[:1] == ["-m"] and words[1] in {modules!r}):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
call = json.dumps({{"python": sys.argv[0], "words": words, "folder": os.getcwd(), "env": dict(os.environ)}}).encode()
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [struct.pack("!I", len(call))], [0, 1, 2])
server.sendall(call)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: server.send(bytes([number])))
answer = server.recv(4)
if len(answer) < 4:
    sys.exit("the process that has imported everything ended")
(status,) = struct.unpack("!i", answer)
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def remember_what_is_installed() -> None:
    """Read each package's metadata once: accelerate looks at them whenever a training saves or begins, 8 ms each."""
    importlib.metadata.metadata = functools.cache(importlib.metadata.metadata)


def remember_parsed_rules(folder: Path) -> None:
    """Keep what Snakemake makes of a file of rules, by its path and text, where each child of this process finds it.

    Reading the rules is a quarter of a plan, and they are the same in all of them.
    """
    from snakemake import workflow as planning
    from snakemake.sourcecache import LocalSourceFile

    parse = planning.parse

    def parse_once(path, workflow, linemap, overwrite_shellcmd=None, rulecount=0):  # as Snakemake's own
        if not isinstance(path, LocalSourceFile) or overwrite_shellcmd:
            return parse(path, workflow, linemap, overwrite_shellcmd, rulecount)
        name = path.get_path_or_uri(secret_free=False)
        key = hashlib.sha256(f"{name} {rulecount}\n".encode() + Path(name).read_bytes()).hexdigest()
        kept = folder / f"{key}.json"
        if kept.exists():
            code, count, lines = json.loads(kept.read_text(encoding="utf-8"))
        else:
            own: dict[int, int] = {}
            code, count = parse(path, workflow, own, rulecount=rulecount)
            lines = list(own.items())
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps([code, count, lines]), encoding="utf-8")
            part.replace(kept)
        linemap.update(lines)
        return code, count

    planning.parse = parse_once


class WarmPython:
    """The process that imports and forks; started when first asked for.

    project: the checkout whose package it has imported, too. Calls that name no file of it import their own.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._server: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def python(self) -> Path:
        """The client, to be started in the place of the interpreter."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
            address = f"{self._folder.name}/socket"
            client = Path(self._folder.name) / "python"
            client.write_text(CLIENT.format(python=sys.executable, address=address, modules=MODULES))
            client.chmod(0o755)
            words = [sys.executable, __file__, address, str(self.project)]
            self._server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self._server.stdout is not None
            assert self._server.stdout.readline() == "ready\n", "the process that imports ended"
        return Path(self._folder.name) / "python"

    def close(self) -> None:
        """End the process; what it started goes on."""
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait(timeout=60)
        if self._folder is not None:
            self._folder.cleanup()


def _serve(address: str, project: str) -> None:
    """Answer every client, each by a process of its own, until standard input is closed."""
    # What runs and most of their jobs import.
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import pydantic  # noqa: F401
    import requests  # noqa: F401
    import smart_open  # noqa: F401
    import snakemake.cli
    import snakemake.report.html_reporter  # noqa: F401
    import yaml  # noqa: F401
    from transformers import (  # noqa: F401
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        GPT2LMHeadModel,
        PreTrainedTokenizerFast,
        T5EncoderModel,
        T5ForConditionalGeneration,
        Trainer,
    )

    remember_what_is_installed()
    remember_parsed_rules(Path(address).parent)
    sys.path.insert(0, f"{project}/scripts")
    import retrace.evaluation.reported
    import retrace.planning.shards
    import retrace.workflow.default_targets
    import retrace.workflow.jobs_behind
    import retrace.workflow.preflight
    import retrace.workflow.settings  # noqa: F401

    sys.path.pop(0)
    gc.freeze()
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those that answer ended
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([server, 0], [], [])
        if 0 in ready:
            return
        client, _ = server.accept()
        if os.fork() == 0:
            server.close()
            os.close(0)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(client, project)
        client.close()


def _answer(client: socket.socket, project: str) -> NoReturn:
    """Start the job of one client, pass signals on, and say how it ended; without the client the job is killed."""
    try:
        head, files, _, _ = socket.recv_fds(client, 4, 3)
        (length,), call = struct.unpack("!I", head), b""
        while len(call) < length:
            call += client.recv(length - len(call))
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            client.close()
            _become(json.loads(call), files, project)
        for file in files:
            os.close(file)
        ended = os.pidfd_open(job)
        while True:
            ready, _, _ = select.select([client, ended], [], [])
            if ended in ready:
                break
            signals = client.recv(16)
            if not signals:
                os.killpg(job, signal.SIGKILL)
                break
            for number in signals:
                os.kill(job, number)
        client.sendall(struct.pack("!i", os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])))
    except OSError:
        pass
    finally:
        os._exit(0)


def _become(call: dict, files: list[int], project: str) -> NoReturn:
    """Be the process that was asked for."""
    import torch

    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(call["env"])
    # A process of a launcher sees by its parent whether that still lives; here the client's end does the same.
    os.environ.pop("RETRACE_LAUNCHER_PID", None)
    os.chdir(call["folder"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    if not any(word.startswith(f"{project}/") for word in call["words"]):
        for name in [name for name in sys.modules if name.partition(".")[0] == "retrace"]:
            del sys.modules[name]
    # What the interpreter puts first for a script, in the place of this file's own folder.
    sys.path[:1] = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.executable = call["python"]  # what it starts, starts from here, too
    code = 1
    try:
        if call["words"][0] == "-m":
            sys.argv = call["words"][1:]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = call["words"]
            sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
            runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if code and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
