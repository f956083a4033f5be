"""The words of the shell that every job's command starts with.

Paths are handed over here and not as parameters of the rules: a checkout or mirror that moved redoes nothing.
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
        here: Jobs are started on this machine: they take its GPUs by locks. Those of a cluster have what it granted.
        on_node: This is a job on a node of a cluster; what stays on the login node may download.
        own_packages: Jobs run in this interpreter's environment, also where it was not activated; conda has its own.
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
    # A variable stays one word and no pattern, so that a checkout may lie in a folder with a space or brackets.
    return f"set -euo pipefail; {HOLD_IN_SHELL}export {words}{path}; IFS=; set -f; "
