"""What the measurements do not show, as sentences for the page's section on limits."""

from collections.abc import Sequence
from typing import Any

from retrace.evaluation.paired import Comparison
from retrace.evaluation.result import Result, peeked
from retrace.reporting.collect import Found
from retrace.reporting.questions import Group

PAPER = "paper"  # the preset with the papers' sizes
FEW_QUESTIONS = 100
MUCH_INVALID = 0.2


def remarks(found: Found, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Remarks with the files that each is about, the general ones first."""
    made: list[dict[str, Any]] = []

    def say(text: str, about: Sequence[str]) -> None:
        if about:
            made.append({"text": text, "about": list(about)})

    results = found.results
    small = [path for path, result in results if result.preset != PAPER]
    if results and len(small) == len(results):
        say("No result here was made at a paper's size, so no number can be compared with a paper's.", small)
    else:
        say("Made with sizes other than the paper's, so not comparable with its numbers.", small)
    say(
        "Only one seed: the interval covers the choice of questions, not the variation between trainings.",
        [path for path, result in results if len(result.seeds) == 1],
    )
    say(
        f"Fewer than {FEW_QUESTIONS} questions: only large differences can be detected.",
        [path for path, result in results if result.n < FEW_QUESTIONS],
    )
    for path, one in found.comparisons:
        if null := null_result(one):
            say(null, [path])
    say(
        "The checkpoint was chosen by its accuracy on the test questions, so the number is too optimistic.",
        [path for path, result in results if peeked(result.checkpoint_choice, result.split)],
    )
    say(
        f"More than {MUCH_INVALID:.0%} of the answers could not be read.",
        [path for path, result in results if result.invalid_share > MUCH_INVALID],
    )
    say(
        "Sampling found fewer wrong solutions to train the discriminator or verifier on than were asked for.",
        [path for path, result in results if any(one.wrong_found < one.wrong_wanted for one in result.sampling)],
    )
    say(
        "The cost is a lower bound: records of some jobs are missing.",
        [path for path, result in results if result.cost.unrecorded],
    )
    say("Made from a checkout with uncommitted changes.", [path for path, one in results if _changed(one)])
    for group in groups:
        if group.sampled:
            say(
                f"Predictions on {group.task} with {group.model}: {len(group.places):,} of the {group.total:,} questions "
                "are on this page, evenly spaced; all are in the files.",
                [method["file"] for method in group.methods],
            )
    say("Files that could not be read and are left out.", found.left_out)
    return made


def null_result(one: Comparison) -> str | None:
    """A sentence for a comparison that shows no difference; None for one that does."""
    gap = one.difference
    if not gap.low <= 0 <= gap.high:
        return None
    return (
        f"No difference was found between {one.method_a} and {one.method_b} on {one.task} with {one.model}: "
        f"{100 * gap.value:+.1f} points, {100 * gap.low:+.1f} to {100 * gap.high:+.1f}, on {one.n:,} questions."
    )


def _changed(result: Result) -> bool:
    git = result.provenance.git
    return git is not None and git.dirty
