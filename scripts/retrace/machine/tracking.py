"""Experiment trackers (TensorBoard, Weights & Biases, Trackio) that a training reports to, through transformers' callbacks.

A workflow names them in the environment (RETRACE_LOG_TO), so that switching one on or off changes no job's parameters.
Their own variables (WANDB_MODE, WANDB_PROJECT, WANDB_DIR, TRACKIO_DIR) keep their meaning; what is not set gets a default
here. Keys are read by the trackers themselves, from the environment or their own login, and are never passed on.
"""

import netrc
import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from retrace.errors import UserError
from retrace.machine.logging_options import TRACKERS

LOG_TO = "RETRACE_LOG_TO"  # names of trackers, separated by spaces
PROJECT = "retrace"
LOGS = Path("logs")
# Any one of these packages serves.
PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "trackio": ("trackio",)}


def check_installed(trackers: Iterable[str]) -> None:
    """Raise UserError for a tracker that is unknown or whose package is not installed."""
    for name in trackers:
        if name not in TRACKERS:
            raise UserError(f"{LOG_TO}: {name!r} is no tracker; valid: {', '.join(TRACKERS)}")
        if not any(find_spec(package) for package in PACKAGES[name]):
            raise UserError(
                f"logging.to: {name} is not installed for {sys.executable}; pip install {PACKAGES[name][0]}, "
                "or take it out of logging.to"
            )


def variables_for(trackers: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment of a job that reports to these trackers."""
    values = {LOG_TO: " ".join(trackers)} if trackers else {}
    if "trackio" in trackers and "TRACKIO_DIR" not in environment:
        values["TRACKIO_DIR"] = str((LOGS / "trackio").absolute())  # read when the package is imported
    return values


def run_name(state: str | Path) -> str:
    """The name of a training's target, by its state folder: gsm8k/tiny_t5/seed0/sft of
    results/gsm8k/tiny_t5/seed0/sft/state."""
    folder = Path(state).absolute().parent
    parts = folder.parts
    if "results" in parts:
        below = parts[len(parts) - parts[::-1].index("results") :]
        if below:
            return "/".join(below)
    return folder.name


def tracking_options(state: str | Path, environment: MutableMapping[str, str] = os.environ) -> dict[str, Any]:
    """Options of `transformers.TrainingArguments` by which a training reports to the trackers that are wanted.

    state: the training's state folder, which says its name. The environment gets what a tracker needs and the user has
    not set. Of several processes the first one reports. Raises UserError for a package that is not installed.
    """
    trackers = environment.get(LOG_TO, "").split() if environment.get("RANK", "0") == "0" else []
    if not trackers:
        return {"report_to": []}
    check_installed(trackers)
    name = run_name(state)
    if "tensorboard" in trackers:
        # `tensorboard --logdir logs` then shows each run under its name.
        environment["TENSORBOARD_LOGGING_DIR"] = str(LOGS / name)
    if "wandb" in trackers:
        LOGS.mkdir(exist_ok=True)  # else wandb would take a temporary folder
        environment.setdefault("WANDB_DIR", str(LOGS))
        environment.setdefault("WANDB_PROJECT", PROJECT)
        environment.setdefault("WANDB_CONSOLE", "off")  # the job's log holds what is printed
        if "WANDB_MODE" not in environment and (reason := _offline(environment)):
            environment["WANDB_MODE"] = "offline"
            print(f"note: wandb keeps this run in {LOGS}/wandb: {reason}; `wandb sync` sends it", file=sys.stderr)
    return {"report_to": trackers, "run_name": name, "project": PROJECT, "trackio_static_space_id": False}


def _offline(environment: MutableMapping[str, str]) -> str | None:
    """Why Weights & Biases is unreachable from here; None if it may be reachable."""
    if environment.get("HF_HUB_OFFLINE", "0") not in ("0", ""):
        return "this job has no network"
    if environment.get("WANDB_API_KEY") or environment.get("WANDB_IDENTITY_TOKEN_FILE"):
        return None
    host = urlparse(environment.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        known = host in netrc.netrc().hosts  # where `wandb login` keeps the key
    except (OSError, netrc.NetrcParseError):
        known = False
    return None if known else "no login (`wandb login`, or WANDB_API_KEY)"
