"""Selection of correct solutions for training: one for each list of equations. arXiv 2308.01825, section 3.3."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retrace.systems.rft.options import RftSelection
from retrace.text.arithmetic import evaluate
from retrace.text.edits import edits

_ANNOTATED = re.compile(r"<<([^>]*)>>")
# An equation without annotation: numbers and operators on both sides of the last equals sign.
_PLAIN = re.compile(r"[\d.,()+\-*/ ]*\d[\d.,()+\-*/ ]*=\s*-?\d[\d.,]*")
TOLERANCE = 1e-3  # code: check_equation


def equations_of(text: str) -> list[str]:
    """The equations of a solution, without spaces: the annotated ones (`<<3+4=7>>`), or those in the text if none is."""
    found = _ANNOTATED.findall(text) or _PLAIN.findall(text)
    return [equation.replace(" ", "").replace(",", "").strip(".") for equation in found]


def holds(equation: str) -> bool:
    """Whether both sides of an equation have the same value."""
    left, equals, right = equation.partition("=")
    value, stated = evaluate(left), evaluate(right.partition("=")[0])
    return bool(equals) and value is not None and stated is not None and abs(value - stated) < TOLERANCE


@dataclass
class Selected:
    """Selected solutions of one question.

    Attributes:
        texts: The selected solutions, in the order in which their equations first occurred.
        wrong: Number rejected because an equation does not hold.
        repeated: Number rejected because another one has the same equations or text.
    """

    texts: list[str]
    wrong: int = 0
    repeated: int = 0


def select(right: Sequence[str], options: RftSelection) -> Selected:
    """Select the solutions to train on. right: all solutions of one question with the correct answer, as drawn."""
    found = Selected([])
    keys: list[str] = []
    for text in right:
        equations = equations_of(text)
        if options.wrong_equations == "reject" and not all(map(holds, equations)):
            found.wrong += 1
            continue
        key = {"equations": "|".join(equations), "texts": text, "none": str(len(found.texts))}[options.distinct]
        if key not in keys:
            keys.append(key)
            found.texts.append(text)
            continue
        found.repeated += 1
        place = keys.index(key)
        known = found.texts[place]
        others = [other for number, other in enumerate(found.texts) if number != place]
        if text != known and sum(edits(text, one) for one in others) > sum(edits(known, one) for one in others):
            found.texts[place] = text
    return found
