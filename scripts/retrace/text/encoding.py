"""Token ids of the texts that a generator reads and writes: the one way for training and for decoding.

A text of a user, a teacher or a data set is text, whatever it holds: `</s>` in a question is read as these four signs,
not as the token that ends a text. Control tokens come from tokenizers, chat templates and layouts alone.
"""

from collections.abc import Sequence
from typing import Any


class Turns(str):
    """A prompt from a chat template, one of whose messages holds the text of a control token.

    parts: its pieces in order, and whether each is a message, which is text, or the template's own.
    """

    parts: tuple[tuple[str, bool], ...]

    @classmethod
    def of(cls, parts: Sequence[tuple[str, bool]]) -> "Turns":
        """A prompt from its pieces."""
        made = cls("".join(text for text, _ in parts))
        made.parts = tuple(parts)
        return made


def control_texts(tokenizer: Any) -> set[str]:
    """The texts that a tokenizer reads as control tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return {text for text in tokenizer.all_special_tokens if text} | {token.content for token in added if token.special}


def around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens that a tokenizer puts in front of every text and behind it."""
    whole = tokenizer("a", verbose=False)["input_ids"]
    bare = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
    start = next((at for at in range(len(whole) - len(bare) + 1) if whole[at : at + len(bare)] == bare), 0)
    return whole[:start], whole[start + len(bare) :]


def text_ids(tokenizer: Any, texts: Sequence[str], control: bool = False) -> list[list[int]]:
    """Token ids of texts alone. control: the texts of control tokens in them are control tokens."""
    if not texts:
        return []
    words = {"add_special_tokens": False, "verbose": False}
    return tokenizer(list(texts), split_special_tokens=not control, **words)["input_ids"]


def prompt_ids(
    tokenizer: Any, prompts: Sequence[str], family: str, special: bool = True, control: bool = False
) -> list[list[int]]:
    """Token ids of what a model reads before it writes.

    A decoder-only model goes on behind its prompt: an end token that its tokenizer puts behind every text is left out.

    Args:
        tokenizer: The model's.
        prompts: Plain texts, or prompts of a chat template.
        family: `encoder_decoder` or `decoder_only`.
        special: Whether the tokenizer's own tokens stand around a prompt; a chat template brings them.
        control: Whether the texts of control tokens in a prompt are control tokens, as a template or a layout has them.
    """
    before, behind = around(tokenizer) if special else ([], [])
    if family == "decoder_only":
        behind = []
    bodies = text_ids(tokenizer, prompts, control)
    for index, prompt in enumerate(prompts):
        if isinstance(prompt, Turns):
            pieces = [text_ids(tokenizer, [text], control=not spoken)[0] for text, spoken in prompt.parts if text]
            bodies[index] = [token for piece in pieces for token in piece]
    return [[*before, *body, *behind] for body in bodies]
