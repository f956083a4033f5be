"""Claims of the papers as data (config/papers/claims/*.yaml), each decided by a paired test on the same questions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from retrace.errors import UserError
from retrace.evaluation.paired import Comparison, MeasureComparison
from retrace.evaluation.result import load_document
from retrace.machine.storage import read_json
from retrace.schemas import Row
from retrace.sections import Name, Section
from retrace.yaml_files import read_yaml, validated

ClaimVerdict = Literal["holds", "does not hold", "cannot tell"]
HOLDS, DOES_NOT, OPEN = get_args(ClaimVerdict)


class Place(Section):
    """A task and a model that the paper makes the claim of."""

    task: Name
    model: Name


class Claim(Section):
    """One sentence. It is about the difference of two methods on the same questions, `a` minus `b`."""

    name: Name
    claim: str = Field(min_length=10, description="the sentence")
    source: str = Field(description="where the paper makes it, or whose control it is")
    a: Name = Field(description="a method")
    b: Name = Field(description="a method")
    measure: Annotated[str, Field(pattern=r"^(accuracy|tokens|pass_at_[1-9]\d*)$")] = Field(
        default="accuracy", description="accuracy, tokens (a question) or pass_at_K"
    )
    at_least: float | None = Field(default=None, description="the difference is more than this; default: 0")
    at_most: float | None = Field(default=None, description="the difference is less than this instead")
    places: list[Place] = Field(description="where the paper makes it; none: of models from scratch alone")
    small: list[Name] = Field(min_length=1, description="tasks that it is tried on with the small model of a preset")

    @model_validator(mode="after")
    def _one_bound(self) -> "Claim":
        if self.at_least is not None and self.at_most is not None:
            raise ValueError("at_least and at_most exclude each other; make two claims of it")
        if self.a == self.b:
            raise ValueError(f"a and b are both {self.a}; a claim compares two methods")
        return self

    @property
    def percent(self) -> bool:
        """Whether its numbers are points; tokens are tokens."""
        return self.measure != "tokens"


class ClaimFile(Section):
    """config/papers/claims/NAME.yaml."""

    paper: Name
    claims: list[Claim] = Field(min_length=1)


class TestedPlace(Row):
    """A claim at one task and model. Differences are points, or tokens."""

    __test__ = False  # no test of pytest

    task: str
    model: str
    target: str = Field(description="the comparison that decides it")
    verdict: ClaimVerdict
    because: str
    difference: float | None = None
    low: float | None = Field(default=None, description="lower end of the 95 % interval of the difference")
    high: float | None = None
    p_value: float | None = Field(default=None, description="of no difference at all")
    n: int | None = Field(default=None, description="questions")
    seeds: int | None = None
    preset: str | None = None


class TestedClaim(Row):
    """A claim with what decides it."""

    __test__ = False

    paper: str
    name: str
    claim: str
    source: str
    verdict: ClaimVerdict
    because: str
    a: str
    b: str
    measure: str
    places: list[TestedPlace]


class ClaimsDocument(Row):
    """results/claims.json."""

    kind: Literal["claims"] = "claims"
    preset: str
    claims: list[TestedClaim]


def load_claims(papers: str | Path) -> list[tuple[str, Claim]]:
    """All claims with their papers. Raises UserError for a faulty file, or a name that is there twice."""
    found: dict[str, tuple[str, Claim]] = {}
    for path in sorted(Path(papers, "claims").glob("*.yaml")):
        file = validated(ClaimFile, read_yaml(path), str(path))
        for claim in file.claims:
            if claim.name in found:
                raise UserError(f"{path}: claim {claim.name} is there twice; give one another name")
            found[claim.name] = (file.paper, claim)
    return list(found.values())


def target_of(claim: Claim, place: Place) -> str:
    """The comparison that decides a claim at a place."""
    by = "" if claim.measure == "accuracy" else f"_by_{claim.measure}"
    return f"results/{place.task}/{place.model}/compare/{claim.a}_vs_{claim.b}{by}.json"


def decide_place(claim: Claim, place: Place, folder: Path, cannot: str | None = None) -> TestedPlace:
    """The claim at one place, from the comparison that is there. cannot: why it cannot be made."""
    target = target_of(claim, place)
    about = {"task": place.task, "model": place.model, "target": target}
    if not (folder / target).is_file():
        because = f"cannot be made: {cannot}" if cannot else f"not made yet: {target}"
        return TestedPlace(**about, verdict=OPEN, because=because)
    kind = read_json(folder / target).get("kind")
    found = load_document(folder / target, MeasureComparison if kind == "measure_comparison" else Comparison)
    scale = 100.0 if claim.percent else 1.0
    # The wider of both intervals: for these trained models, and for models trained once more.
    intervals = [found.difference, *([found.difference_over_seeds] if found.difference_over_seeds else [])]
    low, high = scale * min(one.low for one in intervals), scale * max(one.high for one in intervals)
    verdict, because = decide(claim, low, high)
    return TestedPlace(
        **about,
        verdict=verdict,
        because=because,
        difference=scale * found.difference.value,
        low=low,
        high=high,
        p_value=found.p_value,
        n=found.n,
        seeds=len(found.seeds),
        preset=found.preset,
    )


def decide(claim: Claim, low: float, high: float) -> tuple[ClaimVerdict, str]:
    """The verdict from the 95 % interval of the difference, with its reason."""
    unit = "points" if claim.percent else "tokens"
    where = f"the difference is {low:+.1f} to {high:+.1f} {unit}"
    if claim.at_most is not None:
        bound = claim.at_most
        verdict = HOLDS if high < bound else DOES_NOT if low > bound else OPEN
        return verdict, f"{where}; at most {bound:g} is claimed"
    bound = claim.at_least or 0.0
    verdict = HOLDS if low > bound else DOES_NOT if high < bound else OPEN
    return verdict, f"{where}; more than {bound:g} is claimed"


def decide_claim(paper: str, claim: Claim, places: Sequence[TestedPlace]) -> TestedClaim:
    """The claim as a whole: it holds if it does everywhere; it does not hold if it does nowhere and is refuted somewhere."""
    counts = {verdict: sum(place.verdict == verdict for place in places) for verdict in get_args(ClaimVerdict)}
    if places and counts[HOLDS] == len(places):
        verdict = HOLDS
    elif counts[DOES_NOT] and not counts[HOLDS]:
        verdict = DOES_NOT
    else:
        verdict = OPEN
    said = ", ".join(f"{name} at {count}" for name, count in counts.items() if count)
    because = (
        places[0].because if len(places) == 1 else f"of {len(places)} places: {said}" if places else "no place here"
    )
    return TestedClaim(
        paper=paper,
        verdict=verdict,
        because=because,
        places=list(places),
        **claim.model_dump(include={"name", "claim", "source", "a", "b", "measure"}),
    )


def claim_counts(claims: Sequence[TestedClaim]) -> Mapping[str, int]:
    """How many claims hold, do not hold, and cannot be told."""
    return {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in get_args(ClaimVerdict)}
