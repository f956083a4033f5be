"""Where a worked solution is cut into steps, and how steps are put together again. Nobody else joins or splits."""

import re
from collections.abc import Sequence

MARKER = "####"

# A sentence ends at . ! or ? before white space and a capital or an opening quote. The look-behinds keep titles and
# initials whole ("Mr. Lee", "J. Lee", "vs. the"); numbers such as 3.5 have no white space after their point.
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bvs\.)(?<!\b[A-Z]\.)\s+(?=[A-Z\"'])"
)


def body_of(text: str) -> str:
    """The solution before the first answer marker."""
    return text.split(MARKER, 1)[0]


def split_steps(text: str, delimiter: str) -> list[str]:
    """Cut a solution into its steps, without their delimiter.

    A step ends at the delimiter or at a line's end; a full stop at a line's end goes; white space is collapsed; what
    follows the first answer marker is no step, and neither are the `print` lines of a program (delimiter `;`).
    """
    text = body_of(text).lstrip().removeprefix("A:")
    return _parts(re.sub(r"\.?[ \t]*\r?\n", delimiter, text), delimiter)


def with_delimiter(steps: Sequence[str], delimiter: str) -> list[str]:
    """Every step followed by a space and its delimiter, as the discriminator reads it."""
    return [f"{step} {delimiter}" for step in steps]


def _parts(text: str, delimiter: str) -> list[str]:
    parts = (" ".join(part.split()) for part in text.split(delimiter))
    return [part for part in parts if part and not (delimiter == ";" and "print" in part)]


def split_sentences(text: str) -> list[str]:
    """Cut one line of prose into sentences; the full stop of each goes.

    For solutions written on one line (MultiArith). GRACE's sampling script cuts references into sentences too, with
    a trained tokenizer; this rule needs no data and agrees on these texts but for rare abbreviations.
    """
    sentences = (" ".join(part.split()).rstrip(".") for part in _SENTENCE_END.split(text.strip()))
    return [sentence for sentence in sentences if sentence]


def join_steps(steps: Sequence[str], delimiter: str, answer: str | None = None) -> str:
    """The text form of a solution: `step | step | #### answer`; without an answer a prefix, ending in the delimiter."""
    parts = with_delimiter(steps, delimiter)
    if answer is not None:
        parts.append(f"{MARKER} {answer}")
    return " ".join(parts)
