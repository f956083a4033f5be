"""Long multiplication, digit by digit: the data of implicit chain of thought (arXiv 2311.01460, section 4.1).

    9 5 5 7 * 5 7 1 3||5 9 7 7 3 + 0 3 1 9 2 5 ( 5 2 9 6 6 5 ) + 0 0 9 5 5 7 0 ( 5 2 8 2 2 3 1 ) + ... #### 5 2 8 9 9 9 3 2

Every number is written with its least significant digit first and padded with zeros at its end. Step i is the first
factor times digit i of the second, shifted by i places; all but the first and the last step also give the sum so far.

Such texts are read and judged by retrace.tasks.families.multiplication; pairs of factors are drawn by
retrace.tasks.multiplication_pairs.
"""

from retrace.schemas import Example

MARKER = "####"
JOINT = " + "
WORDS = (*"0123456789*+()", MARKER)  # all words of such a text, separated by spaces


def spaced(value: int, width: int) -> str:
    """The digits of `value`, least significant first, zero-padded to `width`, with spaces between."""
    return " ".join(str(value).zfill(width)[::-1])


def value_of(text: str) -> int:
    """The number that `spaced` wrote."""
    return int(text.replace(" ", "")[::-1])


def question_of(a: int, b: int, digits: int) -> str:
    """The question of the factors a and b with `digits` digits each."""
    return f"{spaced(a, digits)} * {spaced(b, digits)}"


def steps_of(a: int, b: int, digits: int) -> list[str]:
    """The steps of the worked solution."""
    found = []
    total, rest = 0, b
    for place in range(digits):
        rest, digit = divmod(rest, 10)
        term = a * digit * 10**place
        total += term
        width = digits + 1 + place
        step = spaced(term, width)
        if 0 < place < digits - 1:
            step += f" ( {spaced(total, width)} )"
        found.append(step)
    return found


def line_of(a: int, b: int, digits: int) -> str:
    """A line of the authors' files: `question||steps #### product`."""
    steps = JOINT.join(steps_of(a, b, digits))
    return f"{question_of(a, b, digits)}||{steps} {MARKER} {spaced(a * b, 2 * digits)}"


def example_of(a: int, b: int, digits: int, identifier: str, split: str, source: str) -> Example:
    """The pair as a row of a split."""
    steps, final = steps_of(a, b, digits), spaced(a * b, 2 * digits)
    return Example(
        id=identifier,
        question=question_of(a, b, digits),
        answer=f"{JOINT.join(steps)}\n{MARKER} {final}",
        steps=steps,
        final_answer=final,
        split=split,
        source=source,
    )
