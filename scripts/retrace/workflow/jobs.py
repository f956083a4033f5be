"""The checkpoint and the configuration that a job's wildcards refer to."""

from typing import Any

from retrace.workflow.configuration import Configuration
from retrace.workflow.settings import Settings

Wildcards = Any  # Snakemake's wildcards, or any object with these attributes


def checkpoint_of(wildcards: Wildcards) -> str | None:
    """The checkpoint or network that a job trains or decodes; None if its wildcards name none.

    Rules name it by `checkpoint`; by `loop` and `round`; or by `generator`, with `guide` for its network.
    """
    if hasattr(wildcards, "loop"):
        return f"{wildcards.loop}_round{getattr(wildcards, 'round', 0)}"
    if hasattr(wildcards, "guide"):
        return f"{wildcards.generator}_{wildcards.guide}"
    return getattr(wildcards, "checkpoint", None) or getattr(wildcards, "generator", None)


def model_of(settings: Settings, wildcards: Wildcards) -> str:
    """The job's model, by default the headline model of its task."""
    return getattr(wildcards, "model", None) or settings.headline_model(wildcards.task)


def variants_of(settings: Settings, wildcards: Wildcards) -> tuple[str, ...]:
    """Which of the job's checkpoint, network and decoder set options (Settings.variants)."""
    if hasattr(wildcards, "variants"):
        return wildcards.variants
    return settings.variants(checkpoint_of(wildcards), getattr(wildcards, "decoder", None))


def values_of(settings: Settings, wildcards: Wildcards) -> Configuration:
    """The configuration of a job: for its task and model, with the options its checkpoint and decoder set."""
    # Asked for several times for every planned job: `model_of` is written out.
    model = getattr(wildcards, "model", None) or settings.headline_model(wildcards.task)
    return settings.values_of_variants(wildcards.task, model, variants_of(settings, wildcards))
