"""Symbolic tasks (coin_flip, tso): answers are single words, a step tells the state after one event.

The public test sets have no worked solutions, so those for training come from the generators here, which put their
questions in the test sets' form. A question's own text decides whether it may be in `dev`, so that generated splits
share none, whatever their seeds; questions of the test set are given as `exclude` and never made.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks.family import Family, Generator, Wanted, first_word
from retrace.tasks.options import TaskConfig
from retrace.tasks.question_files import right_choice
from retrace.tasks.raw_rows import field_of
from retrace.tasks.row_formats import Raw, RowFormat, worked

_ANSWER = re.compile(r"#### ([a-zA-Z]+)")
_STRICT_ANSWER = re.compile(r"####\s*([a-zA-Z]+)\.?\s*\Z")
_COIN = re.compile(r"\b(heads|tails)\b", re.IGNORECASE)
_NOT_COIN = re.compile(r"\b(?:not|no longer)\s+(heads|tails)\b", re.IGNORECASE)
_HOLDS = re.compile(
    r"\b([A-Z][a-z]+) (?:now )?(?:has|holds|gets|plays|is playing|is dancing with) (?:the )?([\w -]+?)"
    r"(?=[,.;]|\s*$| and [A-Z])"
)


def extract_answer(text: str) -> str | None:
    """The word after the first `#### `, letters only, case kept; None where there is none (GRACE's own rule)."""
    match = _ANSWER.search(text)
    return match.group(1) if match else None


def grade(text: str, gold: str) -> bool:
    """GRACE's grader: the two words are equal, case included. UserError where the reference has no word."""
    reference = extract_answer(gold)
    if reference is None:
        raise UserError(f"the reference solution has no '#### word': {gold[-80:]!r}; mend the data")
    return extract_answer(text) == reference


def grade_strict(text: str, gold: str) -> bool:
    """Right only where the text ends in `#### word` and the whole word is the reference's (case ignored)."""
    reference = extract_answer(gold)
    if reference is None:
        raise UserError(f"the reference solution has no '#### word': {gold[-80:]!r}; mend the data")
    match = _STRICT_ANSWER.search(text)
    return match is not None and text.count("####") == 1 and match.group(1).casefold() == reference.casefold()


def step_state(step: str, kind: str) -> dict[str, str] | None:
    """The state that a step tells, or None: {"coin": "heads"}, or who holds what, {"Alice": "red ball"}.

    The last word on a thing counts. What a step does not mention is not part of its state.
    """
    if kind == "coin_flip":
        # "not heads" is tails: rewritten first, so that the plain rule below reads it.
        plain = _NOT_COIN.sub(lambda match: "tails" if match.group(1).lower() == "heads" else "heads", step)
        sides = _COIN.findall(plain)
        return {"coin": sides[-1].lower()} if sides else None
    state = {who: what.strip().lower().removeprefix("the ") for who, what in _HOLDS.findall(step)}
    return state or None


def step_correct(step: str, reference_step: str, kind: str) -> bool:
    """Whether both steps tell the same state; False where either tells none.

    The paper asks an entailment model in both directions (retrace.systems.grace.entailment, pair.step_judge). The states of
    these tasks are exact, so by default they are compared.
    """
    found, right = step_state(step, kind), step_state(reference_step, kind)
    return found is not None and found == right


# ---------------------------------------------------------------- worked solutions for training

NAMES = (
    "Aaron Adele Amir Anita Arthur Beatrix Bella Boris Carla Cedric Clara Conrad Dalia Dario Edith Elmer Esther Fabio "
    "Fiona Gemma Gideon Greta Hanna Hector Hugo Ines Irving Ivy Jasper Joanna Jules Kira Lance Leila Linus Lorena "
    "Magda Marvin Mila Nadia Nestor Nora Olga Orson Paula Pedro Quinn Ramona Rupert Sabine Silas Simone Tamara Theo "
    "Ursula Vera Victor Wanda Wesley Xenia Yannick Yvette Zelda Zora"
)
PLAYERS = ("Alice", "Bob", "Claire")
_ORDINALS = ("First", "Then", "Finally")


class _Scene:
    """One of the five settings of BIG-bench's tracking of shuffled objects (three objects)."""

    def __init__(
        self, opening: str, gets: str, middle: str, trade: str, ending: str, ends: str, items: list[str]
    ) -> None:
        self.opening, self.gets, self.middle = opening, gets, middle
        self.trade, self.ending, self.ends, self.items = trade, ending, ends, items

    def holds(self, who: str, item: str) -> str:
        return f"{who} {self.ends} {item}"


_COLORS = ["red", "green", "blue", "yellow", "white", "black", "brown", "purple", "pink", "orange"]
_BALLS = ("black", "pink", "orange")  # the gifts of these colors are called balls in the test set
_SCENES = [
    _Scene(
        "are playing a game. At the start of the game, they are each holding a ball:",
        "has a",
        "As the game progresses, pairs of players trade balls.",
        "swap balls",
        "At the end of the game,",
        "has the",
        [f"{color} ball" for color in _COLORS],
    ),
    _Scene(
        "are holding a white elephant gift exchange. At the start of the event, they are each holding a present of a "
        "different color:",
        "has a",
        "As the event progresses, pairs of people swap gifts.",
        "swap their gifts",
        "At the end of the event,",
        "has the",
        [f"{color} {'ball' if color in _BALLS else 'present'}" for color in _COLORS],
    ),
    _Scene(
        "are on the same team in a soccer match. At the start of the match, they are each assigned to a position:",
        "is playing",
        "As the game progresses, pairs of players occasionally swap positions.",
        "trade positions",
        "At the end of the match,",
        "is playing",
        ["goalkeeper", "fullback", "striker", "cheerleader", "benchwarmer"]
        + [f"{side} midfielder" for side in ("left", "center", "right")]
        + [f"{side} winger" for side in ("left", "right")],
    ),
    _Scene(
        "are friends and avid readers who occasionally trade books. At the start of the semester, they each buy one "
        "new book:",
        "gets",
        "As the semester proceeds, they start trading around the new books.",
        "swap books",
        "At the end of the semester,",
        "has",
        [
            "Catch-22",
            "Frankenstein",
            "Hound of the Baskervilles",
            "Lolita",
            "Moby Dick",
            "The Fellowship of the Ring",
            "The Great Gatsby",
            "The Odyssey",
            "The Pearl",
            "Ulysses",
        ],
    ),
    _Scene(
        "are dancers at a square dance. At the start of a song, they each have a partner:",
        "is dancing with",
        "Throughout the song, the dancers often trade partners.",
        "switch partners",
        "At the end of the dance,",
        "is dancing with",
        ["Helga", "Izzi", "Jamie", "Karl", "Lola", "Melissa", "Ophelia", "Patrick", "Rodrigo", "Sam"],
    ),
]


def one_word(choice: str) -> str:
    """An answer as the one word that GRACE's extractor reads: a color, or the letters of a name joined.

    `blue ball.` is blue, `left midfielder.` leftmidfielder, `The Great Gatsby.` GreatGatsby, `Catch-22.` Catch.
    """
    words = re.findall(r"[A-Za-z]+", choice)
    if len(words) > 1 and words[-1] in ("ball", "present"):
        words = words[:-1]
    if len(words) > 1 and words[0] == "The":
        words = words[1:]
    return "".join(words)


def _shuffled(stream: random.Random, items: tuple[str, ...] | list[str]) -> list[str]:
    """A random order from `random()` alone, whose values stay the same from one Python version to the next."""
    return [item for _, item in sorted((stream.random(), item) for item in items)]


def _coin_flip(stream: random.Random, people: int) -> tuple[str, list[str], str]:
    side, sentences, steps = "heads", [], []
    for name in _shuffled(stream, NAMES.split())[:people]:
        flips = stream.random() < 0.5
        event = f"{name} {'flips' if flips else 'does not flip'} the coin"
        if flips:
            side = "tails" if side == "heads" else "heads"
        sentences.append(event + ".")
        steps.append(f"{event}, so the coin {'is now' if flips else 'is still'} {side} up")
    question = (
        f'A coin is heads up. {" ".join(sentences)} Is the coin still heads up? Note that "flip" here means "reverse".'
    )
    return question, steps, "yes" if side == "heads" else "no"


def _object_tracking(stream: random.Random) -> tuple[str, list[str], str]:
    scene = _SCENES[int(stream.random() * len(_SCENES))]
    items = _shuffled(stream, scene.items)[:3]
    held = dict(zip(PLAYERS, items, strict=True))
    start = ", ".join(f"{'and ' if who == PLAYERS[-1] else ''}{who} {scene.gets} {held[who]}" for who in PLAYERS)
    swaps, steps, last = [], [], set()
    for ordinal in _ORDINALS:
        pair = _shuffled(stream, PLAYERS)[:2]
        while set(pair) == last:  # the test set never swaps one pair twice in a row
            pair = _shuffled(stream, PLAYERS)[:2]
        last = set(pair)
        first, second = pair
        held[first], held[second] = held[second], held[first]
        swaps.append(f"{ordinal}, {first} and {second} {scene.trade}.")
        state = ", ".join(scene.holds(who, held[who]) for who in PLAYERS)
        steps.append(f"{first} and {second} {scene.trade}: {state}")
    asked = PLAYERS[int(stream.random() * len(PLAYERS))]
    question = (
        f"Alice, Bob, and Claire {scene.opening} {start}. {scene.middle} {' '.join(swaps)} "
        f"{scene.ending} {asked} {scene.ends}"
    )
    return question, steps, one_word(held[asked])


def _share(question: str) -> int:
    """0 to 9, from the question's text."""
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:4], "big") % 10


def _unique(
    name: str,
    make: Callable[[random.Random], tuple[str, list[str], str]],
    split: str,
    count: int,
    seed: int,
    exclude: frozenset[str],
) -> Iterator[Example]:
    stream = random.Random(f"{name} {split} {seed}")
    taken = set(exclude)
    tries = 0
    for number in range(1, count + 1):
        while True:
            question, steps, answer = make(stream)
            tries += 1
            if question not in taken and (_share(question) == 0) == (split == "dev"):
                break
            if tries > 200 * count + 10_000:
                raise UserError(
                    f"{name}: only {number - 1} different questions were found for {split}; lower its count"
                )
        taken.add(question)
        yield Example(
            id=f"{split}-{number:05d}",
            question=question,
            answer="\n".join([*(f"{step}." for step in steps), f"#### {answer}"]),
            steps=steps,
            final_answer=answer,
            split=split,
            source=f"generator {name}, seed {seed}",
        )


def generate_coin_flip(
    split: str, count: int, seed: int, *, exclude: frozenset[str] = frozenset(), people: int = 4
) -> Iterator[Example]:
    """Yield `count` different coin-flip questions with worked solutions, none of them in `exclude`."""
    if not 1 <= people <= len(NAMES.split()):
        raise UserError(f"coin_flip: people must be from 1 to {len(NAMES.split())} (got {people})")
    return _unique("coin_flip", lambda stream: _coin_flip(stream, int(people)), split, count, seed, exclude)


def generate_object_tracking(
    split: str, count: int, seed: int, *, exclude: frozenset[str] = frozenset()
) -> Iterator[Example]:
    """Yield `count` different shuffled-object questions with worked solutions, none of them in `exclude`."""
    return _unique("object_tracking", _object_tracking, split, count, seed, exclude)


def _generator(name: str, generate: Callable[..., Iterator[Example]]) -> Generator:
    def make(wanted: Wanted) -> Iterator[Example]:
        return generate(wanted.split, wanted.count, wanted.seed, exclude=wanted.taken(), **wanted.settings)

    return Generator(name, make)


# ---------------------------------------------------------------- the family


def _coin_flip_row(where: str, row: dict[str, Any]) -> Raw:
    return Raw(field_of(where, row, "question"), f"#### {field_of(where, row, 'answer').strip()}")


def _tracking_row(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """BIG-bench's tracking of shuffled objects: the choice that scores 1, as one word."""
    return field_of(where, row, "input"), f"#### {one_word(right_choice(where, row))}"


class Symbolic(Family):
    """Solutions tell a state after each event; the answer is a word."""

    name = "symbolic"
    tells_states = True
    own_keys = frozenset({"step_kind"})
    formats = (
        RowFormat("coin_flip", _coin_flip_row, "document", fields={"question": "question", "answer": "answer"}),
        worked("object_tracking", _tracking_row, layout="document"),
    )
    generators = (
        _generator("coin_flip", generate_coin_flip),
        _generator("object_tracking", generate_object_tracking),
    )
    final_kind = "word"

    @classmethod
    def fault(cls, config: TaskConfig) -> str | None:
        """A task of this family says which state its steps tell."""
        return "step_kind: a symbolic task needs coin_flip or object_tracking" if config.step_kind == "none" else None

    def final_of(self, tail: str) -> str | None:
        """The first word."""
        return first_word(tail)

    def extract(self, text: str) -> str | None:
        """The word after the first `#### `."""
        return extract_answer(text)

    def grade(self, text: str, gold: str) -> bool:
        """GRACE's grader."""
        return grade(text, gold)

    def grade_strict(self, text: str, gold: str) -> bool:
        """Whether the text ends in `#### word` with the right word."""
        return grade_strict(text, gold)

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str]) -> bool:
        """Whether both steps tell the same state."""
        return step_correct(step, reference_step, self.config.step_kind)
