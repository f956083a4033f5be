"""A command with the processor time and the memory that it took, for benchmarks on machines with other work."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def run(command: Sequence[str], folder: str | Path = ".") -> dict:
    """Run a command with one thread a library. cpu_seconds: user and system, of its children that it waited for too."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "scripts"), "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=nowhere, text=True
        )
        printed = process.stdout.read().strip()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)[:2000]}\nended with status {process.returncode}")
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "seconds": round(time.monotonic() - started, 2),
        "memory_mb": round(usage.ru_maxrss / 1024),
        "printed": printed,
    }
