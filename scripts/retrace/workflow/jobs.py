"""What a job's wildcards name: its checkpoint, and the configuration as it holds for it."""

from typing import Any

from retrace.workflow.configuration import Configuration
from retrace.workflow.settings import Settings

Wildcards = Any  # Snakemake's, or any object with these attributes


def checkpoint_of(wildcards: Wildcards) -> str | None:
    """The checkpoint or network that a job makes, decodes or is about; None where its wildcards name none.

    A rule names it by `checkpoint`; by `loop` and `round`; or by `generator`, with `guide` for a network beside it.
    """
    if hasattr(wildcards, "loop"):
        return f"{wildcards.loop}_round{getattr(wildcards, 'round', 0)}"
    if hasattr(wildcards, "guide"):
        return f"{wildcards.generator}_{wildcards.guide}"
    return getattr(wildcards, "checkpoint", None) or getattr(wildcards, "generator", None)


def model_of(settings: Settings, wildcards: Wildcards) -> str:
    """The job's model; of a job without one that of its task's headline results."""
    return getattr(wildcards, "model", None) or settings.headline_model(wildcards.task)


def variants_of(settings: Settings, wildcards: Wildcards) -> tuple[str, ...]:
    """Which of the job's checkpoint, network and decoder set options of their own (Settings.variants)."""
    if hasattr(wildcards, "variants"):
        return wildcards.variants
    return settings.variants(checkpoint_of(wildcards), getattr(wildcards, "decoder", None))


def values_of(settings: Settings, wildcards: Wildcards) -> Configuration:
    """The configuration as it holds for a job: for its task and model, and for what its checkpoint and decoder set."""
    return settings.values_of_variants(wildcards.task, model_of(settings, wildcards), variants_of(settings, wildcards))
