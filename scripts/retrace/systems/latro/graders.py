"""The graders behind LaTRO's reported accuracies, as in the authors' code (LaTRO/utils/eval_utils.py).

They are looser than ours in one respect (an option counts wherever its text appears) and stricter in others: a label
such as "(A)" does not name an option, and "2 + 3 = 5" is read as its first number.
"""

import re
from fractions import Fraction

from retrace.tasks.answers import read_number
from retrace.tasks.graders import Grader, final_answer, register
from retrace.tasks.statements import readable, statements_in
from retrace.text.numbers import numbers_in

PHRASE = "The answer is"
_NUMBER = re.compile(r"-?[\d,]*\.?\d+")
_AROUND = " '[]()\"."  # stripped from both ends of an answer in words


def find_number(text: str) -> str | None:
    """The first number after the last phrase, or the last number of the whole text; as written, without commas."""
    if PHRASE in text and (behind := _NUMBER.findall(text.rpartition(PHRASE)[2])):
        return behind[0].replace(",", "")
    everywhere = _NUMBER.findall(text)
    return everywhere[-1].replace(",", "") if everywhere else None


def shown_number(text: str) -> str | None:
    """The number used for display and voting: that of `find_number` if it is a complete number after the phrase.

    The authors' reader takes only a part of `9{,}500` or of `-5` with a long minus sign, and it does not recognize an
    answer that is stated differently, for example in a box. In these cases our own reader reads the answer.
    """
    found = find_number(text)
    if found is None or PHRASE in text:
        behind = numbers_in(readable(text.rpartition(PHRASE)[2]))
        whole = found is not None and any(number.value == Fraction(found) for number in behind)
    else:
        whole = not statements_in(text).found
    return found if whole else read_number(text, [PHRASE])


def same_number(text: str, right: str) -> bool:
    """Whether the number that `find_number` reads in a text equals that of the reference answer."""
    found, wanted = find_number(text), find_number(right)
    return found is not None and wanted is not None and float(found) == float(wanted)


def answer_words(text: str) -> str:
    """The text searched for the answer: after the phrase in its first sentence, or the last sentence; lower case."""
    phrase = PHRASE.lower()
    for sentence in text.split("."):
        if phrase in sentence.lower():
            return sentence.lower().rpartition(phrase)[2].lstrip(":").strip(_AROUND)
    return text.lower().strip(_AROUND).rpartition(".")[2]


def names_option(text: str, right: str) -> bool:
    """Whether the text of the correct option appears in the part that is searched for the answer."""
    return bool(text) and right.lower().strip().rstrip(".") in answer_words(text)


register(
    Grader(
        "latro_number",
        lambda task, text, gold: same_number(text, final_answer(task, gold)),
        extract=lambda task, text: shown_number(text),
        kinds=frozenset({"numeric"}),
        of_papers=True,
    )
)
register(
    Grader(
        "latro_option",
        lambda task, text, gold: names_option(text, final_answer(task, gold)),
        kinds=frozenset({"multiple_choice"}),
        of_papers=True,
    )
)
