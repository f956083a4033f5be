"""The generated task `running_sum`: the last digit of a sum of digits, worked out number by number.

    3 + 8 + 5 + 9        steps 1 6 5        #### 5

A step is the last digit of the sum so far, so that each step needs the one before it and one more number. A model that
answers at once has to do all of that inside: the task is small, and still asks for as much depth as it has numbers.

Splits share no question, whatever their seeds and counts, because a hash of its text decides where a question may be.
Only `random.Random(str)` and `.random()` are used, whose values Python keeps the same from version to version.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence

from retrace.errors import UserError
from retrace.schemas import Example

# Which split may hold a question: its text's hash, modulo 100, falls into one of these half-open ranges.
SHARES = {"train": (0, 80), "dev": (80, 88), "test": (88, 100)}
ATTEMPTS = 20000  # failed draws in a row after which the settings count as too narrow for so many questions
MOST = 20  # numbers in a question


def question_of(numbers: Sequence[int]) -> str:
    """The question as it is written: `3 + 8 + 5`."""
    return " + ".join(map(str, numbers))


def steps_of(numbers: Sequence[int]) -> list[str]:
    """The last digit of the sum so far, behind each number but the first."""
    return [str(sum(numbers[: count + 1]) % 10) for count in range(1, len(numbers))]


def split_of(question: str) -> str:
    """The one split that may hold this question."""
    place = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big") % 100
    return next(name for name, (low, high) in SHARES.items() if low <= place < high)


def generate(split: str, count: int, seed: int, *, least: int = 4, most: int = 6) -> Iterator[Example]:
    """Yield `count` different questions of a split; the same arguments give the same questions on every machine.

    least, most: numbers in a question, drawn evenly from this range. Raises UserError for an unknown split, a range that
    cannot be, and settings that allow too few different questions.
    """
    if split not in SHARES:
        raise UserError(f"running_sum: split {split!r} is unknown; it makes {', '.join(SHARES)}")
    for name, value in (("least", least), ("most", most)):
        if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= MOST:
            raise UserError(f"running_sum: {name} is {value!r}; give a whole number of numbers from 2 to {MOST}")
    if least > most:
        raise UserError(f"running_sum: least is {least} and most is {most}; least cannot be above most")
    draw = random.Random(f"running_sum {split} {seed}").random
    seen: set[str] = set()
    failures = 0
    while len(seen) < count:
        numbers = [int(draw() * 10) for _ in range(least + int(draw() * (most - least + 1)))]
        question = question_of(numbers)
        if question in seen or split_of(question) != split:
            failures += 1
            if failures > ATTEMPTS:
                raise UserError(
                    f"running_sum: found only {len(seen)} different questions of the {count} asked for in split {split}; "
                    "ask for fewer, or allow more numbers (`most`)"
                )
            continue
        failures = 0
        seen.add(question)
        steps = steps_of(numbers)
        yield Example(
            id=f"running_sum-{split}-{seed}-{len(seen) - 1}",
            question=question,
            answer="\n".join([*steps, f"#### {steps[-1]}"]),
            steps=steps,
            final_answer=steps[-1],
            split=split,
            source=f"generator running_sum, split {split}, seed {seed}",
        )
