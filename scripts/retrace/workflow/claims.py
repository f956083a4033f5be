"""The papers' claims under a configuration: where each is tested, and the document of all."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from retrace.errors import UserError
from retrace.evaluation.claims import (
    Claim,
    ClaimsDocument,
    Place,
    decide_claim,
    decide_place,
    load_claims,
    target_of,
)
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets


@lru_cache(maxsize=8)
def _claims(papers: Path) -> list[tuple[str, Claim]]:
    return load_claims(papers)


def all_claims(settings: Settings) -> list[tuple[str, Claim]]:
    """All claims with their papers."""
    return _claims(settings.folder / "papers")


def places_of(paper: str, claim: Claim, settings: Settings) -> Sequence[Place]:
    """Where a claim is tested: with a small model in the presets that have one, else where the paper makes it."""
    models = settings.values.headline_models
    model = models.get(paper) or models["default"]
    if settings.model(model).scratch is None:
        return claim.places
    return [Place(task=task, model=model) for task in claim.small]


def comparisons_of_claims(settings: Settings) -> list[str]:
    """The comparisons that decide the claims, each once."""
    found = [
        target_of(claim, place) for paper, claim in all_claims(settings) for place in places_of(paper, claim, settings)
    ]
    return list(dict.fromkeys(found))


def claims_document(settings: Settings, folder: Path) -> ClaimsDocument:
    """All claims, decided by the comparisons that are there. folder: where results/ lies. Makes nothing."""
    targets, claims = Targets(settings), []
    for paper, claim in all_claims(settings):
        places = []
        for place in places_of(paper, claim, settings):
            cannot = None
            try:
                targets.check(target_of(claim, place))
            except UserError as error:
                cannot = str(error)
            places.append(decide_place(claim, place, folder, cannot))
        claims.append(decide_claim(paper, claim, places))
    return ClaimsDocument(preset=settings.preset_name, claims=claims)
