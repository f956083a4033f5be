"""The discriminator's input for candidate steps, as text or as the official code's token ids. GRACE sections 3.2, 3.3."""

from collections.abc import Sequence

import torch

from retrace.decoding.candidates import StepWriter
from retrace.decoding.selection import discriminator_rows
from retrace.errors import UserError
from retrace.models.discriminator import ANSWER_SIGN, StepDiscriminator, context_text, question_text, step_text
from retrace.tasks.base import Task
from retrace.text.encoding import text_ids

_ROWS_ON_PROCESSOR = 32


class StepJudge:
    """The discriminator's view of candidate steps; equal candidates of a path are scored once."""

    def __init__(
        self,
        discriminator: StepDiscriminator | None,
        task: Task,
        writer: StepWriter,
        official: bool = False,
        batch_size: int = 256,
    ) -> None:
        self.discriminator, self.task, self.writer = discriminator, task, writer
        self.official = official
        self.batch_size = self.batch_size_for(batch_size)
        self.texts: dict[tuple[int, ...], tuple[str, bool]] = {}
        if discriminator is not None and official:
            # As the official code decides it; with another tokenizer candidates are written out and read again.
            self.same_tokens = type(discriminator.tokenizer) is type(writer.decoder.tokenizer)

    def batch_size_for(self, rows: int) -> int:
        """So many rows at once, fewer on a processor: what a batch computes there should fit its cache."""
        on_processor = self.discriminator is not None and self.discriminator.device.type == "cpu"
        return min(rows, _ROWS_ON_PROCESSOR) if on_processor else rows

    def step(self, tokens: tuple[int, ...]) -> tuple[str, bool]:
        """A candidate as the discriminator reads it, and whether it holds the answer marker."""
        if tokens not in self.texts:
            written = self.writer.text.text(tokens)
            answer = self.task.answer_marker in written
            text = " ".join(written.lstrip().removeprefix(ANSWER_SIGN).split())  # the context has one already
            parts = self.task.split_steps(written)
            if parts and not answer and tokens[-1] in self.writer.delimiters:
                text = step_text(self.task, " ".join(parts))
            self.texts[tokens] = text, answer
        return self.texts[tokens]

    def context(self, question: str, tokens: Sequence[int]) -> str:
        """Question and solution so far, as in training."""
        return context_text(question, self.task.join_steps(self.task.split_steps(self.writer.text.text(tokens))))

    def scores(self, questions: Sequence[str], prefixes: Sequence[Sequence[int]], steps: list[list[tuple[int, ...]]]):
        """Raw scores for ragged candidates `steps` of several paths: one call, a list of floats a path."""
        if self.discriminator is None:
            raise UserError("beta is above 0, but no discriminator was given; add --discriminator DIR or set --beta 0")
        if self.official:
            return self._official_scores(questions, prefixes, steps)
        contexts, texts, places = [], [], []
        for question, prefix, candidates in zip(questions, prefixes, steps, strict=True):
            context = self.context(question, prefix)
            distinct: dict[str, int] = {}
            for candidate in candidates:
                text = self.step(candidate)[0]
                if text not in distinct:
                    distinct[text] = len(texts)
                    contexts.append(context)
                    texts.append(text)
            places.append([distinct[self.step(candidate)[0]] for candidate in candidates])
        scores = self.discriminator.score_contexts(contexts, texts, self.batch_size).tolist()
        return [[scores[place] for place in path] for path in places]

    def _official_scores(self, questions, prefixes, steps) -> list[list[float]]:
        """The official layout: the generator's own token ids, and the pads behind shorter candidates.

        The authors' generators begin a solution with `A:` themselves. Where the generator does not, the sign stands
        behind the question, so that every row has one, as in training.
        """
        tokenizer = self.discriminator.tokenizer
        read = (lambda ids: list(ids)) if self.same_tokens else self._read_again
        rows, lengths = [], []
        for question, prefix, candidates in zip(questions, prefixes, steps, strict=True):
            signed = [self._has_sign(prefix or candidate) for candidate in candidates]
            written = [read(candidate) for candidate in candidates]
            layouts = {}
            for sign in set(signed):
                text = question_text(question) if sign else context_text(question, "")
                layouts[sign] = discriminator_rows(
                    text_ids(tokenizer, [text])[0],
                    read(prefix),
                    written,
                    start=tokenizer.cls_token_id,
                    separator=tokenizer.sep_token_id,
                    pad=tokenizer.pad_token_id,
                )
            rows += [layouts[sign][place] for place, sign in enumerate(signed)]
            padding = [max(map(len, written)) - len(candidate) for candidate in written]
            lengths += [len(layouts[sign][place]) - padding[place] for place, sign in enumerate(signed)]
        values: list[float] = []
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            width = max(map(len, part))
            ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in part])
            mask = ids != tokenizer.pad_token_id
            if self.discriminator.causal:  # its tokenizer may pad with the unknown or the end token
                mask = torch.arange(width)[None] < torch.tensor(lengths[start : start + self.batch_size])[:, None]
            values += self.discriminator.score_ids(ids, mask.long()).tolist()
        taken = iter(values)
        return [[next(taken) for _ in candidates] for candidates in steps]

    def _has_sign(self, solution: Sequence[int]) -> bool:
        return self.writer.text.text(solution).lstrip().startswith(ANSWER_SIGN)

    def _read_again(self, ids: Sequence[int]) -> list[int]:
        return text_ids(self.discriminator.tokenizer, [self.writer.text.text(ids)])[0]
