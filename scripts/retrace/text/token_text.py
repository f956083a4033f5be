"""Text of each token of a tokenizer, for tracking text token by token without decoding again."""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

from retrace.text.encoding import text_ids

OPEN, CLOSE = "<<", ">>"
SPARE = 4096  # models may have some more embeddings than their tokenizer has tokens


def calculator_tokens_missing(tokenizer: Any, texts: Sequence[str] = (OPEN, CLOSE)) -> list[str]:
    """Those of `texts` that the tokenizer cannot write without its unknown token (T5's has no '<')."""
    unknown = tokenizer.unk_token_id
    return [
        text
        for text in texts
        if not (ids := tokenizer(text, add_special_tokens=False)["input_ids"])
        or (unknown is not None and unknown in ids)
    ]


class TokenText:
    """The text of every token of one tokenizer.

    A token's text is what decoding it adds behind another token, so word starts keep their space whatever the
    tokenizer marks them with. Special tokens are empty. Where the tokenizer cannot write '<<', its unknown token
    reads as '<<': that is what a model writes that was trained on such texts (GRACE's released FLAN-T5 generators).
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.unknown_opens = OPEN in calculator_tokens_missing(tokenizer) and self._unknown_stands_for_open()

    def _unknown_stands_for_open(self) -> bool:
        unknown = self.tokenizer.unk_token_id
        return unknown is not None and unknown in self.tokenizer(OPEN, add_special_tokens=False)["input_ids"]

    @cached_property
    def surfaces(self) -> list[str]:
        """Text of each token id, as it reads in the middle of a text; ids beyond the tokenizer's are empty."""
        tokenizer = self.tokenizer
        ids = range(len(tokenizer))
        anchor = tokenizer("a", add_special_tokens=False)["input_ids"][-1]
        options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        before = len(tokenizer.decode([anchor], **options))
        texts = [text[before:] for text in tokenizer.batch_decode([[anchor, token] for token in ids], **options)]
        for token in tokenizer.all_special_ids:
            if token < len(texts):
                texts[token] = ""
        if self.unknown_opens:
            texts[tokenizer.unk_token_id] = OPEN
        return texts + [""] * SPARE

    @cached_property
    def _ids_by_surface(self) -> dict[str, int]:
        ids: dict[str, int] = {}
        for token, text in enumerate(self.surfaces):
            if text and "�" not in text:
                ids.setdefault(text, token)
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of generated ids, special tokens left out, without spaces around it."""
        if self.unknown_opens:
            return "".join(self.surfaces[token] for token in ids).strip()
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()

    def offsets(self, ids: Sequence[int], text: str) -> list[tuple[int, int]]:
        """Where each of the tokens that write `text` starts and ends in it."""
        lengths = [len(self.surfaces[token]) for token in ids]
        if "".join(self.surfaces[token] for token in ids) != text:  # characters of several tokens, each a part of one
            options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
            whole = [len(self.tokenizer.decode(ids[:end], **options).rstrip("�")) for end in range(1, len(ids) + 1)]
            lengths = [end - start for start, end in zip([0, *whole], whole, strict=False)]
        ends = list(accumulate(lengths))
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def continuation(self, before: str, text: str) -> list[int] | None:
        """Token ids that write exactly `text` behind `before`, cut as the tokenizer cuts them there if it can.

        None where no tokens write it.
        """
        head = text_ids(self.tokenizer, [before])[0] if before else []
        ids = text_ids(self.tokenizer, [before + text])[0]
        tail = ids[len(head) :]
        if ids[: len(head)] == head and "".join(self.surfaces[token] for token in tail) == text:
            return tail
        # The tokenizer merges across the border: the longest pieces that fit, from the left.
        ids, start = [], 0
        while start < len(text):
            piece = next(
                (text[start:end] for end in range(len(text), start, -1) if text[start:end] in self._ids_by_surface),
                None,
            )
            if piece is None:
                return None
            ids.append(self._ids_by_surface[piece])
            start += len(piece)
        return ids
