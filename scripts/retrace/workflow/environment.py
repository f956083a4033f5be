"""The shell prefix of every job's command.

Paths are passed here and not as params of the rules, so that moving the checkout or mirror reruns nothing.
"""

import shlex
import sys
from pathlib import Path

from retrace.machine.run_guard import HOLD_IN_SHELL
from retrace.machine.tracking import variables_for
from retrace.workflow.settings import Settings


def prefix_of_jobs(settings: Settings, root: Path, here: bool, on_node: bool, own_packages: bool) -> str:
    """The prefix of every command; Snakemake halves its braces.

    Args:
        settings: The configuration.
        root: The folder with scripts/ and config/.
        here: Jobs run on this machine and lock its GPUs; cluster jobs use what they were granted.
        on_node: This is a job on a cluster node; only the login node may download.
        own_packages: Jobs run in this interpreter's environment, even if not activated, and not in conda's.
    """
    values: dict[str, object] = {
        "RETRACE_SCRIPTS": root / "scripts",
        "RETRACE_CONFIG": root / "config",
        "RETRACE_CHECKSUMS": "checksums",
        "RETRACE_DEVICES": "shared" if here else "allocated",
        "RETRACE_REQUIRE_GPU": "yes" if settings.values.require_gpu else "no",
        **variables_for(settings.values.logging.to),
    }
    if settings.own:
        values["RETRACE_OWN"] = settings.own.resolve()
    if settings.values.mirror:
        values["RETRACE_MIRROR"] = settings.values.mirror
    if on_node and settings.values.slurm and settings.values.slurm.offline_nodes:
        values["HF_HUB_OFFLINE"] = 1
    words = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in values.items())
    path = f' PATH="{Path(sys.executable).parent}:$PATH"' if own_packages else ""
    # Quote variables, so that the checkout's path may contain spaces or brackets.
    # Idle threads sleep: two that wait in a loop are many times slower than one beside another busy job.
    waiting = 'OMP_WAIT_POLICY="${{OMP_WAIT_POLICY:-PASSIVE}}"'
    return f"set -euo pipefail; {HOLD_IN_SHELL}export {words} {waiting}{path}; IFS=; set -f; "
