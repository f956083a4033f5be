"""Token ids of the texts that a generator reads and writes: the one way for training and for decoding.

A text of a user, a teacher or a data set is text, whatever it holds: `</s>` in a question is read as these four signs,
not as the token that ends a text. Control tokens come from tokenizers, chat templates and layouts alone.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
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
    if control:
        return tokenizer(list(texts), add_special_tokens=False, split_special_tokens=False, verbose=False)["input_ids"]
    return _read(tokenizer, texts)["input_ids"]


def ids_and_places(tokenizer: Any, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """For each text its token ids, as `text_ids` gives them, and where each token starts and ends in the text.

    tokenizer: a fast one; one that is written in Python does not say where its tokens stand.
    """
    read = _read(tokenizer, texts, return_offsets_mapping=True)
    return list(zip(read["input_ids"], read["offset_mapping"], strict=True))


def _read(tokenizer: Any, texts: Sequence[str], **more: bool) -> dict[str, list]:
    words = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False} | more
    read = tokenizer(list(texts), **words)
    found = {name: list(read[name]) for name in ("input_ids", *(["offset_mapping"] if more else []))}
    controls = control_texts(tokenizer)
    pattern = re.compile("|".join(map(re.escape, sorted(controls, key=len, reverse=True)))) if controls else None
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    for index, text in enumerate(texts):
        if pattern is None or not pattern.search(text) or not special & set(found["input_ids"][index]):
            continue
        # Some vocabularies have the texts of control tokens as ordinary pieces, too (T5's): no piece may hold a whole one.
        cuts = [0, *(match.start() + 1 for match in pattern.finditer(text)), len(text)]
        parts = [(start, text[start:end]) for start, end in pairwise(cuts) if start < end]
        each = tokenizer([part for _, part in parts], **words)
        found["input_ids"][index] = [token for ids in each["input_ids"] for token in ids]
        if more:
            places = zip(parts, each["offset_mapping"], strict=True)
            found["offset_mapping"][index] = [
                (start + low, start + high) for (start, _), own in places for low, high in own
            ]
    return found


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
