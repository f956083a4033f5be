"""The generated task `arithmetic`: short word problems in GSM8K's form, and the corpus a frozen generator learns from.

    Tom has 33 pens. On Monday Tom finds 5. Ann has 7 pens. On Tuesday Tom loses 14. How many pens does Tom have?
    <<33+5=38>>
    <<38-14=24>>
    #### 24

Someone starts with a number of things, gains or loses some day by day, and at times somebody else has several times
as many. The days give a model that reads with relative positions, as T5 does, a handle on the order of the sentences.
Corpus and target share this grammar and differ in their verbs: the corpus says "finds" and "loses", most clauses of
the target say "earns" or "breaks", which a generator trained on the corpus alone cannot tell apart. That shift is
built in, to give a small model what GRACE's frozen LLaMA has: it writes well-formed solutions and errs in single steps.

Splits share no question, whatever their seeds and counts, because a hash of its text decides where a question may be.
Only `random.Random(str)` and `.random()` are used, whose values Python keeps the same from version to version.
"""

import hashlib
import random
from collections.abc import Iterator
from typing import NamedTuple

from retrace.errors import UserError
from retrace.schemas import Example

NAMES = tuple("Tom Ann Ben Eva Sam Mia Max Zoe Leo Amy Dan Lea".split())
THINGS = tuple("pens cups books coins cards shells stamps apples eggs keys balls hats".split())
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FAMILIAR_GAINS = "finds buys gets wins"
FAMILIAR_LOSSES = "loses sells eats gives"
UNFAMILIAR_GAINS = "earns collects picks makes bakes borrows"
UNFAMILIAR_LOSSES = "drops breaks donates spends burns lends"

# Which split may hold a question: its text's hash, modulo 100, falls into one of these half-open ranges.
SHARES = {
    "train": (0, 15),
    "dev": (15, 20),
    "test": (20, 30),
    "corpus": (30, 95),
    "corpus_dev": (95, 100),
}
LARGEST = 99  # start, operands, intermediate and final values are whole numbers from 0 to this one
ATTEMPTS = 20000  # consecutive failed draws after which the settings count as too narrow for this many questions


class _Problem(NamedTuple):
    question: str
    steps: list[str]
    total: int


class _Draw:
    """Choices from one stream of random numbers."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def chance(self, share: float) -> bool:
        return self._random() < share

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def of(self, values: tuple[str, ...], but: tuple[str, ...] = ()) -> str:
        """One of the values, none of `but`."""
        while (value := values[int(self._random() * len(values))]) in but:
            pass
        return value

    def ranked(self, values: tuple[str, ...], tail: float) -> str:
        """One of the values, where rank r has the weight 1 / r**tail; with a tail of 0 each is equally likely."""
        if not tail:
            return self.of(values)
        weights = [rank**-tail for rank in range(1, len(values) + 1)]
        place = self._random() * sum(weights)
        for value, weight in zip(values, weights, strict=True):
            place -= weight
            if place < 0:
                return value
        return values[-1]


def normalized(question: str) -> str:
    """The form in which two questions count as the same: lower case, single spaces."""
    return " ".join(question.lower().split())


def split_of(question: str) -> str:
    """The one split that may hold this question."""
    place = int.from_bytes(hashlib.sha256(normalized(question).encode()).digest()[:8], "big") % 100
    return next(name for name, (low, high) in SHARES.items() if low <= place < high)


def vocabulary() -> list[str]:
    """Every word that the grammar's defaults can write, without numbers and signs, in a fixed order."""
    verbs = " ".join((FAMILIAR_GAINS, FAMILIAR_LOSSES, UNFAMILIAR_GAINS, UNFAMILIAR_LOSSES)).split()
    return [*NAMES, *THINGS, *DAYS, *verbs, *"On has boxes of times as many How does have".split()]


def generate(
    split: str,
    count: int,
    seed: int,
    *,
    unfamiliar: float = 0.75,
    gains: str = UNFAMILIAR_GAINS,
    losses: str = UNFAMILIAR_LOSSES,
    tail: float = 0.0,
    min_clauses: int = 2,
    max_clauses: int = 3,
    max_steps: int = 4,
    boxes: float = 0.0,
    multiples: float = 0.3,
    distractors: float = 0.5,
) -> Iterator[Example]:
    """Yield `count` different problems of a split; the same arguments give the same problems on every machine.

    The defaults make the target task; its related corpus has `unfamiliar=0`, `min_clauses=1` and fewer distractors.

    Args:
        split: train, dev, test, corpus or corpus_dev.
        count: how many problems.
        seed: start of the split's own random stream.
        unfamiliar: share of the clauses whose verb is one of `gains` or `losses`; the others use the corpus's verbs.
        gains, losses: the unfamiliar verbs, separated by spaces.
        tail: exponent of Zipf's law for these verbs: the one in place r of its list has the weight 1 / r**tail. 0: all
            are equally likely.
        min_clauses, max_clauses: gains and losses in a problem.
        max_steps: most steps of a solution.
        boxes: share of the clauses that count in boxes ("3 boxes of 4 pens"), which take two steps.
        multiples: share of the problems that end with "Ann has 3 times as many."
        distractors: share of the problems with one clause about another person or another thing.

    Raises:
        UserError: an unknown split, a setting out of its range, or settings that allow too few different problems.
    """
    if split not in SHARES:
        raise UserError(f"arithmetic: split {split!r} is unknown; it makes {', '.join(SHARES)}")
    shares = {"unfamiliar": unfamiliar, "boxes": boxes, "multiples": multiples, "distractors": distractors}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise UserError(f"arithmetic: {name} is {share}; give a share from 0 to 1")
    if not 0 <= tail < 10:
        raise UserError(f"arithmetic: tail is {tail}; give an exponent from 0 to 10")
    if not 1 <= min_clauses <= max_clauses <= min(max_steps, len(DAYS)):
        raise UserError(
            f"arithmetic: min_clauses {min_clauses}, max_clauses {max_clauses}, max_steps {max_steps}; "
            "each is at least 1 and no smaller than the one before"
        )
    verbs = {
        ("+", False): tuple(FAMILIAR_GAINS.split()),
        ("-", False): tuple(FAMILIAR_LOSSES.split()),
        ("+", True): tuple(gains.split()),
        ("-", True): tuple(losses.split()),
    }
    if unfamiliar and not (verbs["+", True] and verbs["-", True]):
        raise UserError("arithmetic: gains and losses each need at least one verb where unfamiliar is above 0")

    draw = _Draw(f"arithmetic {split} {seed}")
    seen: set[str] = set()
    failures = 0
    while len(seen) < count:
        problem = _problem(draw, verbs, tail, shares, draw.between(min_clauses, max_clauses), max_steps)
        if problem is None or problem.question in seen or split_of(problem.question) != split:
            failures += 1
            if failures > ATTEMPTS:
                raise UserError(
                    f"arithmetic: found only {len(seen)} different problems of the {count} asked for in split {split}; "
                    "ask for fewer, or allow more clauses or steps"
                )
            continue
        failures = 0
        seen.add(problem.question)
        final = str(problem.total)
        yield Example(
            id=f"arithmetic-{split}-{seed}-{len(seen) - 1}",
            question=problem.question,
            answer="\n".join([*problem.steps, f"#### {final}"]),
            steps=problem.steps,
            final_answer=final,
            split=split,
            source=f"generator arithmetic, split {split}, seed {seed}",
        )


def _problem(
    draw: _Draw,
    verbs: dict[tuple[str, bool], tuple[str, ...]],
    tail: float,
    shares: dict[str, float],
    clauses: int,
    max_steps: int,
) -> _Problem | None:
    """One problem, or None where the draw leaves the range of values or of steps."""
    who, thing = draw.of(NAMES), draw.of(THINGS)
    total = draw.between(5, 40)
    sentences = [f"{who} has {total} {thing}."]
    steps: list[str] = []
    for day in DAYS[:clauses]:
        sign = "+" if draw.chance(0.5) else "-"
        unfamiliar = draw.chance(shares["unfamiliar"])
        verb = draw.ranked(verbs[sign, unfamiliar], tail if unfamiliar else 0.0)
        if draw.chance(shares["boxes"]):
            number, size = draw.between(2, 5), draw.between(2, 9)
            amount = number * size
            steps.append(f"<<{number}*{size}={amount}>>")
            sentences.append(f"On {day} {who} {verb} {number} boxes of {size}.")
        else:
            amount = draw.between(2, 20)
            sentences.append(f"On {day} {who} {verb} {amount}.")
        before, total = total, total + amount if sign == "+" else total - amount
        if not 0 <= total <= LARGEST:
            return None
        steps.append(f"<<{before}{sign}{amount}={total}>>")
    owner = who
    if draw.chance(shares["multiples"]):
        owner, factor = draw.of(NAMES, but=(who,)), draw.between(2, 5)
        before, total = total, total * factor
        if total > LARGEST:
            return None
        sentences.append(f"{owner} has {factor} times as many.")
        steps.append(f"<<{before}*{factor}={total}>>")
    if len(steps) > max_steps:
        return None
    if draw.chance(shares["distractors"]):
        # Never last: "Ann has 3 times as many" must follow what it is compared with.
        sentences.insert(draw.between(1, clauses), _distractor(draw, who, owner, thing))
    sentences.append(f"How many {thing} does {owner} have?")
    return _Problem(" ".join(sentences), steps, total)


def _distractor(draw: _Draw, who: str, owner: str, thing: str) -> str:
    """A sentence that does not matter: about a third person, or about another thing of the same person."""
    if draw.chance(0.5):
        who = draw.of(NAMES, but=(who, owner))
    else:
        thing = draw.of(THINGS, but=(thing,))
    return f"{who} has {draw.between(2, 40)} {thing}."
