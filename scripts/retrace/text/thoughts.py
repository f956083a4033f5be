"""A model's output without its thoughts: `<think> ... </think>` and the markers of other models."""

import re

_MARKS = re.compile(
    r"(?P<open><(?:seed:)?think(?:ing)?>|\[THINK\]|<\|begin_of_thought\|>|◁think▷)"
    r"|(?P<close></(?:seed:)?think(?:ing)?>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷)",
    re.IGNORECASE,
)


def split_thoughts(text: str) -> tuple[str, str]:
    """A model's output and its thoughts; a text without thought markers is unchanged.

    A thought that does not end runs to the end of the text. One that does not begin has its beginning in the prompt, as
    some chat templates write it, so that everything before its end is thought.
    """
    said: list[str] = []
    thoughts: list[str] = []
    place, inside = 0, False
    for mark in _MARKS.finditer(text):
        piece = text[place : mark.start()]
        if mark["close"] and not inside:
            thoughts, said = [*thoughts, *said, piece], []
        else:
            (thoughts if inside else said).append(piece)
        inside = mark["open"] is not None
        place = mark.end()
    if place == 0:
        return text, ""
    (thoughts if inside else said).append(text[place:])
    return "".join(said), "\n".join(thought.strip() for thought in thoughts if thought.strip())


def without_thoughts(text: str) -> str:
    """A model's output after its thoughts."""
    return split_thoughts(text)[0]
