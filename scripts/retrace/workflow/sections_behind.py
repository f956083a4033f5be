"""Configuration sections that a result depends on, and where they differ from the paper's."""

from collections.abc import Mapping, Sequence
from typing import Any

from retrace.sections import Section, speed_options
from retrace.workflow.configuration import Configuration
from retrace.workflow.settings import Settings


def sections_behind(
    settings: Settings, task: str, model: str, checkpoint: str, decoder: str, votes: str | None = None
) -> list[str]:
    """Configuration sections that a result depends on. votes: the decoder behind maj@k, if not the result's own."""
    sections = ["base"] if settings.model(model).scratch is not None else []
    for name in (*settings.behind(task, model, checkpoint), checkpoint):
        sections += sections_of(settings, name)
    if votes is not None:
        sections.append(settings.decoder(votes).section)
    named = settings.decoder(decoder)
    options = settings.option(settings.for_target(task, model, checkpoint, decoder), named.section)
    beta = getattr(options, "beta", None)
    if named.guide and beta != 0:
        guide = settings.checkpoints[named.guide]
        sampled = settings.checkpoints.own_trajectories(named.guide)
        sections += [*(["sample"] if sampled else []), *guide.sections]
    if beta == "choose":
        # The sweep decodes with the options of `grace`, for all guided decoders that use its choice.
        sections += ["sweep", "grace"]
    sections += [settings.decoder(named.reranks).section] if named.reranks else []
    sections.append(named.section)
    return list(dict.fromkeys(section.split(".")[0] for section in sections))


def sections_of(settings: Settings, checkpoint: str) -> list[str]:
    """Sections that a checkpoint's own training depends on; for round 0 of a loop, that of its text form."""
    named = settings.checkpoints.parse(checkpoint)
    if named is None:
        return []
    untrained = named.round == 0 and named.kind.round0_in_own_form
    kind = named.kind
    return [str(kind.form).split(".")[0]] if untrained else [*kind.sections[:1], *kind.reads, *kind.sections[1:]]


def differences(ours: Mapping[str, Any], papers: Mapping[str, Any], sections: Sequence[str]) -> list[str]:
    """Options of these sections that differ from the paper's preset, as `section.option`; those that change no result
    are left out."""
    found = []
    for section in sections:
        mine, theirs = ours.get(section, {}), papers.get(section, {})
        field = Configuration.model_fields.get(section)
        kind = field.default if field and isinstance(field.default, Section) else None
        found += [f"{section}.{option}" for option in _differing(mine, theirs, kind)]
    return found


# Device batch sizes change speed and memory, not results.
_WITHOUT_EFFECT = {"device_batch_size", "rows_at_once", "cached", "compile_layers"}


def _differing(mine: Mapping[str, Any], theirs: Mapping[str, Any], kind: Section | None) -> list[str]:
    ignored = _WITHOUT_EFFECT | (speed_options(kind) if kind else set())
    found = []
    for option in sorted({*mine, *theirs} - ignored):
        ours, papers = mine.get(option), theirs.get(option)
        if isinstance(ours, dict) and isinstance(papers, dict):
            found += _differing(ours, papers, getattr(kind, option, None))
        elif ours != papers:
            found.append(option)
    return found
