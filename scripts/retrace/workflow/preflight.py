"""Checks before the first job of what would stop a run late: a missing GPU, embedder or Hub model.

Jobs are pairs of rule and wildcards.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.models.hub import local_folder
from retrace.models.packaged import PACKAGED, packaged_folder
from retrace.systems.grace.embedding import check_embedder
from retrace.workflow.jobs import values_of
from retrace.workflow.settings import Settings

PlannedJob = tuple[str, Any]
JUDGES = ("train_discriminator", "train_verifier")


def check_gpus(models: list[str], devices: int) -> None:
    """Raise UserError if jobs need a GPU and this machine, on which they would run, has none.

    Args:
        models: The model of each job that needs one.
        devices: The GPUs of this machine.
    """
    if models and not devices:
        raise UserError(
            f"{len(models)} jobs for {', '.join(sorted(set(models)))} need a GPU and this machine shows none. Two ways on: "
            "submit to a cluster (--workflow-profile profiles/slurm), or run the small models here "
            "(--workflow-profile profiles/tiny). To try it on the CPU anyway: --config require_gpu=false"
        )


def check_backbones(settings: Settings, jobs: Iterable[PlannedJob]) -> None:
    """Raise UserError if the Python package of a training's backbone is missing."""
    for rule, wildcards in jobs:
        if rule in JUDGES:
            section = rule.removeprefix("train_")
            backbone = getattr(values_of(settings, wildcards), section).backbone
            if backbone in PACKAGED and not settings.has_model(backbone):
                packaged_folder(backbone, f"{section}.backbone")


def check_embedders(settings: Settings, jobs: Iterable[PlannedJob]) -> None:
    """Raise UserError if an alignment would find no embedder."""
    for rule, wildcards in jobs:
        if rule == "align_steps":
            align = values_of(settings, wildcards).align
            if not align.skip_alignment:
                check_embedder(align.embedder, align.embedder_url)


def hub_ids_of(settings: Settings, rule: str, wildcards: Any) -> list[str]:
    """Hub models (OWNER/NAME) that a job loads without declaring them as input, unlike those in config/models."""
    if rule not in ("align_steps", "make_pairs", *JUDGES):
        return []
    values = values_of(settings, wildcards)
    if rule == "align_steps":
        name = values.align.embedder
    elif rule == "make_pairs":
        name = values.pair.entailment_model if values.pair.step_judge == "entailment" else ""
    else:
        name = getattr(values, rule.removeprefix("train_")).backbone
    of_the_hub = len(Path(name).parts) == 2 and ":" not in name and not Path(name).is_dir()
    return [name] if of_the_hub and name not in settings.models else []


def prefetch_models(settings: Settings, jobs: Iterable[PlannedJob], why: str) -> None:
    """Download models that no rule fetches into the Hub cache (HF_HOME, by default in the home folder).

    Args:
        settings: The configuration.
        jobs: Planned jobs.
        why: Reason shown to the user.
    """
    for name in sorted({name for job in jobs for name in hub_ids_of(settings, *job)}):
        print(f"note: fetching {name} into the Hub's cache, {why}", file=sys.stderr)
        hub, _, revision = name.partition("@")
        local_folder(hub, revision or None, settings.values.mirror)
