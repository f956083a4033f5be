"""Training triples for the step discriminator from aligned solutions. GRACE section 3.1 (trajectory stitching)."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from retrace.errors import UserError
from retrace.schemas import Alignment, Example, Pair
from retrace.systems.grace.alignment import GAP
from retrace.systems.grace.options import Pairing

StepCorrect = Callable[[str, str, list[str]], bool]


@dataclass(frozen=True)
class Triple:
    """A correct step (`positive`) and a wrong step (`negative`) that follow the steps of `prefix`."""

    prefix: tuple[str, ...]
    positive: str
    negative: str


def stitch(
    trajectory: Sequence[str],
    reference: Sequence[str],
    correct: StepCorrect,
    break_after_extra_step: bool = False,
    invalid_prefix_prob: float = 0.0,
    first_error_only: bool = False,
    draw: Callable[[], float] = random.random,
) -> Iterator[Triple]:
    """Triples from one wrong solution aligned with its reference, in the order of its errors.

    A step that the solution lacks enters the prefix from the reference; a correct step enters as the solution has it.
    An extra step is a negative for the next reference step and stays out of the prefix. The first wrong step ends the
    walk; if the prefix differs from the reference's own, a second triple uses the reference's prefix.

    Args:
        trajectory: Steps of the solution; '_' is a gap.
        reference: Steps of the reference; '_' is a gap.
        correct: (step, reference step, prefix) -> whether the steps say the same.
        break_after_extra_step: Whether the first extra step ends the walk.
        invalid_prefix_prob: Probability that a wrong step makes no triple but enters the prefix, and the walk continues.
        first_error_only: Return at most one triple.
        draw: Uniform numbers in [0, 1); not called if invalid_prefix_prob is 0.
    """
    if len(trajectory) != len(reference):
        raise UserError(f"an alignment has {len(trajectory)} and {len(reference)} entries; rebuild the alignments")
    prefix: list[str] = []
    for position, (step, right) in enumerate(zip(trajectory, reference, strict=True)):
        if step == GAP:
            if right != GAP:
                prefix.append(right)
        elif right == GAP:
            following = next((other for other in reference[position:] if other != GAP), None)
            if following is None:
                return
            yield Triple(tuple(prefix), following, step)
            if break_after_extra_step or first_error_only:
                return
        elif correct(step, right, prefix) or (invalid_prefix_prob > 0 and draw() < invalid_prefix_prob):
            prefix.append(step)
        else:
            yield Triple(tuple(prefix), right, step)
            straight = [other for other in reference[:position] if other != GAP]
            if prefix != straight and not first_error_only:
                yield Triple(tuple(straight), right, step)
            return


def limit_negatives(triples: Sequence[Triple], most: int) -> list[Triple]:
    """One question's triples, at most `most` distinct ones per prefix, the most frequent first.

    Ties go to the earlier triple. With -1 all triples are kept, including repetitions, as in the official code.
    """
    if most < 0:
        return list(triples)
    by_prefix: dict[tuple[str, ...], Counter[Triple]] = {}
    for triple in triples:
        by_prefix.setdefault(triple.prefix, Counter())[triple] += 1
    return [triple for counts in by_prefix.values() for triple, _ in counts.most_common(most)]


def development_questions(ids: Sequence[str], share: float, seed: int) -> set[str]:
    """The questions whose pairs are held out: round(share * n), at least one, selected by a hash of seed and id.

    Raises UserError if fewer than two questions have pairs.
    """
    if len(ids) < 2:
        raise UserError(
            f"{len(ids)} of the questions can be used, but training and development need at least one each; use more "
            "questions (sample.max_questions, sample.incorrect) or a higher align.max_cost"
        )
    order = sorted(ids, key=lambda name: hashlib.sha256(f"{seed}\n{name}".encode()).digest())
    return set(order[: min(max(1, round(share * len(ids))), len(ids) - 1)])


def make_pairs(
    examples: Mapping[str, Example],
    alignments: Sequence[Alignment],
    correct: StepCorrect,
    options: Pairing,
    seed: int,
) -> tuple[list[Pair], dict[str, int]]:
    """Make the training pairs, with questions in the order of `alignments`.

    Triples whose two steps have the same text are left out, because nothing can be learned from them.

    Args:
        examples: The questions by id.
        alignments: Wrong solutions aligned with their references.
        correct: See `stitch`.
        options: Options of pairing.
        seed: Seed of all random choices.

    Returns:
        The pairs, and counts for the report.

    Raises:
        UserError: If there is no pair.
    """
    by_question: dict[str, list[Alignment]] = {}
    for alignment in alignments:
        by_question.setdefault(alignment.example_id, []).append(alignment)
    counts = {"alignments": len(alignments), "without_error": 0, "same_text": 0}
    chosen: dict[str, list[Triple]] = {}
    for example_id, own in by_question.items():
        triples: list[Triple] = []
        for place, alignment in enumerate(own):
            made = list(
                stitch(
                    alignment.trajectory,
                    alignment.reference,
                    correct,
                    options.break_after_extra_step,
                    options.invalid_prefix_prob,
                    options.first_error_only,
                    random.Random(f"{seed}\n{example_id}\n{place}").random,
                )
            )
            counts["without_error"] += not made
            different = [triple for triple in made if triple.positive.split() != triple.negative.split()]
            counts["same_text"] += len(made) - len(different)
            triples += different
        if kept := limit_negatives(triples, options.max_per_prefix):
            chosen[example_id] = kept
    if not chosen:
        raise UserError(
            f"no pair could be made from {len(alignments)} alignments ({counts['without_error']} have no wrong step that "
            "is aligned with a correct one); sample more wrong solutions (sample.incorrect, sample.max_passes, a "
            "higher sample.temperature), raise align.max_cost, or set pair.max_per_prefix to -1"
        )
    held_out = development_questions(list(chosen), options.development_share, seed)
    pairs = [
        Pair(
            example_id=example_id,
            split="dev" if example_id in held_out else "train",
            question=examples[example_id].question,
            prefix=list(triple.prefix),
            positive=triple.positive,
            negative=triple.negative,
        )
        for example_id, triples in chosen.items()
        for triple in triples
    ]
    counts |= {"questions": len(chosen), "pairs": len(pairs), "dev": sum(pair.split == "dev" for pair in pairs)}
    return pairs, counts
