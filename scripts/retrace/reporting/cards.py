"""One card for each paper: what was run at which size, which claims hold, and what is missing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrace.evaluation.reported import PaperFile
from retrace.evaluation.result import Result
from retrace.reporting.collect import Found

HOLDS = "holds"


def cards(papers: Sequence[PaperFile], found: Found, paper_of: Callable[[Result], str | None]) -> list[dict[str, Any]]:
    """A card for each paper, in their order. paper_of: the paper that a result's method comes from."""
    results: dict[str | None, list[Result]] = defaultdict(list)
    for _, result in found.results:
        results[paper_of(result)].append(result)
    claims: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for claim in found.claims:
        claims[str(claim.get("paper"))].append(claim)
    return [
        {
            "paper": paper.paper,
            "title": paper.title,
            "citation": paper.citation,
            "runs": _runs(results[paper.paper]),
            "claims": _claims(claims[paper.paper]),
            "sentences": [_sentence(claim) for claim in claims[paper.paper]],
            "missing": _missing(found, paper.paper),
        }
        for paper in papers
    ]


def _runs(results: Sequence[Result]) -> list[str]:
    """One line for each preset, task and model."""
    blocks: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        blocks[result.preset, result.task, result.model].append(result)
    lines = []
    for (preset, task, model), members in sorted(blocks.items()):
        seeds = max(len(result.seeds) for result in members)
        lines.append(
            f"{_counted(len(members), 'method')} on {task} with {model}: preset {preset}, {members[0].n:,} questions, "
            f"{_counted(seeds, 'seed')}"
        )
    return lines


def _claims(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many claims have which verdict, those that hold first."""
    counts = Counter(str(claim.get("verdict", "not tested")) for claim in claims)
    order = sorted(counts, key=lambda verdict: (verdict != HOLDS, verdict))
    return [f"{counts[verdict]} of {len(claims)}: {verdict}" for verdict in order]


def _sentence(claim: Mapping[str, Any]) -> str:
    """A claim with its verdict and the reason for it."""
    because = f" ({claim['because']})" if claim.get("because") else ""
    return f"{claim.get('claim', claim.get('name', ''))}: {claim.get('verdict', 'not tested')}{because}"


def _missing(found: Found, paper: str) -> str | None:
    """The first empty cell of the paper's tables; None if there is no table or no empty cell."""
    own = (table for table in found.tables if table.name.startswith(f"{paper}_"))
    return next((table.missing for table in own if table.missing), None)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
