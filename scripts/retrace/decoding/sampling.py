"""Greedy decoding and sampling of many rows at once; output is the same for any batch size, shard or question order."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from retrace.decoding.batch_size import in_batches, rows_for
from retrace.decoding.engine import Decoder
from retrace.decoding.random_streams import row_keys, uniform
from retrace.sections import BatchSize
from retrace.text.calculator import Calculator
from retrace.text.token_text import TokenText

_PART = 512  # tokens checked before a whole vocabulary is sorted


@dataclass(frozen=True)
class Generated:
    """One generated solution."""

    text: str
    tokens: int  # end token included
    logprob: float  # of the free tokens, natural logarithm, at temperature 1 without truncation
    finished: bool  # ended by itself, not by the limit
    ids: tuple[int, ...] = ()  # end token included
    free: tuple[bool, ...] = ()  # per token: chosen by the model, not forced by the calculator


@dataclass(frozen=True)
class Answers:
    """Everything generated for one prompt."""

    index: int  # index of the prompt
    samples: list[Generated]
    seconds: float  # this prompt's share of its batches' wall time


def truncated(logits: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Unnormalized probabilities [B, V] at `temperature`, zero outside the top k and the smallest set of mass top_p.

    Tokens as probable as the last kept one are also kept, so the order of equal values does not matter.
    """
    scaled = logits / temperature
    probabilities = torch.exp(scaled - scaled.max(-1, keepdim=True).values)
    size = logits.shape[-1]
    if 0 < top_k < size:
        least = probabilities.topk(top_k, dim=-1).values[:, -1:]
        probabilities = torch.where(probabilities >= least, probabilities, 0.0)
    if top_p < 1.0:
        wanted = top_p * probabilities.sum(-1, keepdim=True)
        kept = min(_PART, size)
        ranked = probabilities.topk(kept, dim=-1).values
        mass = ranked.cumsum(-1)
        if kept < size and bool((mass[:, -1:] < wanted).any()):
            ranked = probabilities.sort(-1, descending=True).values
            mass = ranked.cumsum(-1)
        # The first token at which the mass is reached belongs to the set.
        last = (mass < wanted).sum(-1, keepdim=True).clamp(max=ranked.shape[-1] - 1)
        probabilities = torch.where(probabilities >= ranked.gather(-1, last), probabilities, 0.0)
    return probabilities


def draw(
    logits: Tensor, numbers: Tensor | None, temperature: float | None, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """The next token of each row (LongTensor[B]): the most probable one, or by inverse distribution function.

    The distribution function runs over token ids, so nearly equal probabilities cannot change places between batches.
    numbers: uniform [B]. If it is None, or temperature is None or 0, decoding is greedy.
    """
    if numbers is None or not temperature:
        return logits.argmax(-1)
    probabilities = truncated(logits, temperature, top_k, top_p)
    mass = probabilities.double().cumsum(-1)
    aim = numbers.to(mass.device)[:, None] * mass[:, -1:]
    chosen = torch.searchsorted(mass, aim, right=True)[:, 0]
    # Rounding may select a position past the end; the last token with a nonzero probability is then used.
    possible = probabilities.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(-1)
    return torch.minimum(chosen, possible)


class StopTexts:
    """Ends rows that contain a stop text; checks only rows whose new token contains a stop's last character."""

    def __init__(self, stops: Sequence[str], text: TokenText) -> None:
        self.stops = [stop for stop in stops if stop]
        self.text = text
        ends = {stop[-1] for stop in self.stops}
        self._flags = torch.tensor([bool(ends & set(surface)) for surface in text.surfaces])

    def suspects(self, new: Tensor) -> Tensor:
        """Indices of the rows (LongTensor, CPU) whose new token may end a stop."""
        return torch.nonzero(self._flags[new.cpu()])[:, 0]

    def stopped(self, tokens: Tensor) -> Tensor:
        """Whether (bool[B], CPU) each row of tokens [B, so far] holds a stop."""
        texts = ("".join(self.text.surfaces[token] for token in row).lstrip() for row in tokens.tolist())
        return torch.tensor([any(stop in text for stop in self.stops) for text in texts], dtype=torch.bool)

    def cut(self, text: str) -> str:
        """Text before the first stop."""
        places = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        return text[: min(places)].strip() if places else text


def generate(
    decoder: Decoder,
    prompts: Sequence[str],
    keys: Sequence[str],
    *,
    samples: int = 1,
    temperature: float | None = None,
    top_k: int = 0,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    calculator: Calculator | None = None,
    seed: int = 0,
    batch_size: BatchSize = 64,
    first_sample: int = 0,
    stops: Sequence[str] = (),
    writer: TokenText | None = None,
) -> Iterator[Answers]:
    """Yield `samples` solutions for each prompt, in batches of similar length: NOT in the order of the prompts.

    Args:
        decoder: The model.
        prompts: The model's inputs.
        keys: Example ids; together with `seed` and the sample's number (starting with `first_sample`) they determine the
            random numbers, so more samples of the same questions can be drawn later.
        samples: Number of samples per prompt.
        temperature, top_k, top_p: Options of sampling; temperature None or 0: greedy.
        max_new_tokens: Maximum number of new tokens.
        calculator: Forces results of computations; None: no calculator.
        seed: Seed of the random numbers.
        batch_size: Sequences decoded together, or `auto`; halved, with the batch repeated, if memory runs out.
        first_sample: Number of the first sample.
        stops: Texts that end a solution and are not part of it.
        writer: The tokenizer's `TokenText`, if the caller already has one.

    Raises:
        UserError: If a prompt is too long; names the example.
    """
    ids = decoder.encode(prompts, keys, reserve=max_new_tokens)
    order = sorted(range(len(ids)), key=lambda index: (len(ids[index]), index))
    if calculator is not None:
        writer = calculator.text
    writer = writer or TokenText(decoder.tokenizer)
    stop_texts = StopTexts(stops, writer) if any(stops) else None
    shared = decoder.shared_prefix(ids)

    def solve(batch: Sequence[int], rows: int) -> list[Answers]:
        """The answers to a batch of questions; a question with more samples than allowed rows is done in parts."""
        began = time.perf_counter()
        at_once = min(rows, samples)
        state = decoder.prefill([ids[index] for index in batch], shared)
        collected: list[list[Generated]] = [[] for _ in batch]
        for first in range(0, samples, at_once):
            count = min(at_once, samples - first)
            numbers = [first_sample + first + number for number in range(count)]
            keys_of_rows = row_keys(
                seed, [keys[index] for index in batch for _ in numbers], numbers * len(batch), decoder.device
            )
            written = _decode(
                decoder,
                state.repeat(count),
                keys_of_rows,
                temperature,
                top_k,
                top_p,
                max_new_tokens,
                calculator,
                stop_texts,
            )
            for place, one in enumerate(_read(written, writer, stop_texts, decoder.end_ids)):
                collected[place // count].append(one)
        seconds = (time.perf_counter() - began) / len(batch)
        return [Answers(index, texts, seconds) for index, texts in zip(batch, collected, strict=True)]

    rows = rows_for(batch_size, decoder, ids, max_new_tokens, samples)
    for _, answers in in_batches(order, rows, samples, solve):
        yield from answers


def _decode(decoder, state, keys, temperature, top_k, top_p, max_new_tokens, calculator, stop_texts):
    """Decode the rows of `state`. Returns, on the CPU: ids [B, longest], which are free, counts, log-probabilities, and
    whether each row ended."""
    total, device = len(state), decoder.device
    tokens = torch.full((total, max_new_tokens), decoder.pad_id, device=device)
    chosen = torch.ones_like(tokens, dtype=torch.bool)
    counts = torch.full((total,), max_new_tokens, device=device)
    logprobs = torch.zeros(total, dtype=torch.float64, device=device)
    ended = torch.zeros(total, dtype=torch.bool, device=device)
    alive = torch.arange(total, device=device)  # which row each row of the state is
    over = torch.zeros(total, dtype=torch.bool, device=device)  # ended, but still in the state
    constraint = calculator.start(total) if calculator is not None else None
    missing = torch.full((total,), decoder.ends, device=device)  # end tokens that each row still has to write
    forced = None
    for position in range(max_new_tokens):
        logits = state.logits
        numbers = uniform(keys, position) if temperature else None
        new = draw(logits, numbers, temperature, top_k, top_p)
        free = ~over
        if forced is not None:
            new = torch.where(forced >= 0, forced, new)
            free &= forced < 0
            chosen[alive, position] = free
        gained = logits.gather(1, new[:, None])[:, 0] - logits.logsumexp(-1)
        logprobs[alive] += torch.where(free, gained, 0.0).double()
        tokens[alive, position] = torch.where(over, decoder.pad_id, new)
        missing -= decoder.is_end(new).long()
        finished = (missing == 0) & ~over
        if stop_texts is not None and len(suspects := stop_texts.suspects(new)):
            suspects = suspects.to(device)
            stopped = stop_texts.stopped(tokens[alive[suspects], : position + 1])
            finished[suspects[stopped.to(device)]] = True
            finished &= ~over
        counts[alive[finished]] = position + 1
        ended[alive[finished]] = True
        over |= finished
        left = int((~over).sum())
        if left == 0 or position + 1 == max_new_tokens:
            break
        if constraint is not None:
            forced = calculator.forced(constraint, new)
        # Dropping rows copies the cache, so wait until an eighth of them is finished.
        if left <= 0.875 * len(over):
            rows = torch.nonzero(~over)[:, 0]
            state, alive, keys, new = state.select(rows), alive[rows], keys[rows], new[rows]
            over, missing = over[rows], missing[rows]
            if constraint is not None:
                constraint, forced = constraint.select(rows), forced[rows]
        decoder.step(state, new)
    return tokens.cpu(), chosen.cpu(), counts.cpu(), logprobs.cpu(), ended.cpu()


def _read(written, writer: TokenText, stop_texts: StopTexts | None, end_ids: Sequence[int]) -> Iterator[Generated]:
    for row, free, count, logprob, end in zip(*(part.tolist() for part in written), strict=True):
        ids = row[:count]
        text = writer.text(ids[:-1] if ids[-1] in end_ids else ids)
        yield Generated(
            stop_texts.cut(text) if stop_texts else text, count, logprob, end, tuple(ids), tuple(free[:count])
        )
