"""Candidate steps: many continuations of many solutions, each up to the end of a step. GRACE section 3.3.

Candidates that have written the same tokens so far share one row of the engine: what a row sees depends on its
tokens only, and each candidate still draws its next token with its own random number. A sure model thus costs a few
rows a question and not one a candidate; as soon as most candidates have parted, each gets a row of its own.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from retrace.decoding.engine import Decoder
from retrace.decoding.options import Guided
from retrace.decoding.random_streams import uniform
from retrace.decoding.sampling import truncated
from retrace.decoding.selection import beam_scores, language_model_scores
from retrace.decoding.state import State
from retrace.errors import UserError
from retrace.text.calculator import Calculator, CalculatorState
from retrace.text.token_text import TokenText

_SHARED = 0.75  # share rows while there are at most so many different ones a candidate
_KEPT = 0.8  # drop finished rows as soon as at most so many are left


@dataclass
class Candidates:
    """Candidate steps of P solutions, N each; on the CPU."""

    tokens: Tensor  # [P, N, T] token ids; behind the end: the pad id
    lengths: Tensor  # [P, N] tokens, forced ones included; 0 where there is no candidate (beam search may find fewer)
    logprobs: Tensor  # [P, N] sum over the free tokens, under the distribution that was sampled from
    scores: Tensor  # [P, N] the language model's score in the mixture

    @property
    def exists(self) -> Tensor:
        """[P, N] bool."""
        return self.lengths > 0


@dataclass
class StepWriter:
    """Writes candidate steps with one decoder and one set of options.

    A step ends at the delimiter or the end token. A decoder-only model's solution also ends with its line, where lines
    are no steps: behind a worked example the model would go on with the next question.
    """

    decoder: Decoder
    delimiter: str
    options: Guided
    calculator: Calculator | None = None
    masked_results: bool = False  # calculator results were masked in the model's training
    text: TokenText = field(init=False)
    delimiters: frozenset[int] = field(init=False)
    last_words: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        decoder, options = self.decoder, self.options
        self.text = self.calculator.text if self.calculator is not None else TokenText(decoder.tokenizer)
        surfaces = self.text.surfaces
        self.delimiters = frozenset(i for i, surface in enumerate(surfaces) if surface.strip(" ") == self.delimiter)
        if not self.delimiters:
            raise UserError(
                f"the step delimiter {self.delimiter!r} is no token of the model's tokenizer; "
                "fine-tune the model (train_sft.py adds the token) or choose another 'delimiter' in the task's YAML"
            )
        lines = {i for i, surface in enumerate(surfaces) if "\n" in surface} if "\n" not in self.delimiter else set()
        self.last_words = frozenset(set(decoder.end_ids) | (lines if decoder.family == "decoder_only" else set()))
        # Models may have more embeddings than their tokenizer has tokens.
        size = max(decoder.model.get_output_embeddings().weight.shape[0], len(surfaces))
        self._ends = torch.zeros(size, dtype=torch.bool, device=decoder.device)
        self._ends[sorted(self.delimiters | self.last_words)] = True
        self._forbidden = decoder.pad_id if decoder.pad_id not in self.last_words else None
        # Beam search compares its beams without forced tokens, whatever the option says; so does the official code.
        forced = options.forced_tokens
        self._counts_forced = not self.masked_results if forced == "auto" else forced == "model"
        self._top_k = options.top_k if options.step_sampling == "top_k" else 0
        self._top_p = options.top_p if options.step_sampling == "top_p" else 1.0

    def write(
        self, state: State, keys: Tensor, positions: Tensor, limits: Tensor, open_steps: list[list[int]]
    ) -> Candidates:
        """Candidates for every row of `state`, which is not modified.

        keys: random-number keys [P, N]. positions: tokens written so far [P]. limits: most tokens of a candidate
        [P]. open_steps: tokens behind each row's last delimiter (a step that its limit cut), for the calculator.
        """
        writing, forced = self._calculations(open_steps)
        write = self._beams if self.options.step_sampling == "beam" else self._samples
        return write(state, keys.to(state.mask.device), positions, limits, writing, forced)

    def _calculations(self, open_steps: list[list[int]]) -> tuple[CalculatorState | None, Tensor | None]:
        """The calculator's state behind each row's open step, and what it forces next."""
        if self.calculator is None:
            return None, None
        writing, forced = self.calculator.start(len(open_steps)), None
        longest = max(map(len, open_steps))
        for column in range(longest):
            # Aligned to the right; a pad has no text and means nothing to the calculator.
            tokens = [
                row[place] if (place := column - longest + len(row)) >= 0 else self.decoder.pad_id for row in open_steps
            ]
            forced = self.calculator.forced(writing, torch.tensor(tokens, device=self.decoder.device))
        return writing, forced

    def _allowed(self, logits: Tensor) -> Tensor:
        if self._forbidden is None:
            return logits
        logits = logits.clone()
        logits[:, self._forbidden] = -torch.inf
        return logits

    def _samples(
        self,
        state: State,
        keys: Tensor,
        positions: Tensor,
        limits: Tensor,
        writing: CalculatorState | None,
        forced: Tensor | None,
    ) -> Candidates:
        paths, count = keys.shape
        device, longest = keys.device, int(limits.max())
        keys, total = keys.reshape(-1), paths * count
        positions, limits = (x.to(device).repeat_interleave(count) for x in (positions, limits))
        tokens = torch.full((total, longest), self.decoder.pad_id, device=device)
        logprobs = torch.zeros(total, longest, dtype=torch.float64, device=device)  # what the score counts
        chosen = torch.zeros_like(logprobs)  # of the tokens that the model chose itself
        lengths = torch.zeros(total, dtype=torch.long, device=device)
        live = torch.arange(total, device=device)  # candidates that are not over
        row = live // count  # of `state`, for each live candidate
        shared = count > 1
        for place in range(longest):
            probabilities = truncated(self._allowed(state.logits), self.options.temperature, self._top_k, self._top_p)
            numbers = uniform(keys[live], positions[live] + place)
            new, gained = _draw(probabilities, row, numbers)
            if forced is not None:
                demand = forced[row]
                free = demand < 0
                chosen[live, place] = torch.where(free, gained, 0.0)
                new = torch.where(free, new, demand)
                own = _log_probability(probabilities, row, new) if self._counts_forced else torch.zeros_like(gained)
                gained = torch.where(free, gained, own)
            else:
                chosen[live, place] = gained
            tokens[live, place], logprobs[live, place] = new, gained
            lengths[live] = place + 1
            left = torch.nonzero(~self._ends[new] & (place + 1 < limits[live]))[:, 0]
            if not len(left):
                break
            live, row, new = live[left], row[left], new[left]
            parents, fed, row, shared = self._arrange(row, new, len(state), shared)
            if parents is not None:
                state = state.select(parents)
                writing = writing.select(parents) if writing is not None else None
            elif place == 0:
                state = state.select(torch.arange(len(state), device=device))  # do not modify the caller's state
            forced = self.calculator.forced(writing, fed) if writing is not None else None
            self.decoder.step(state, fed)
        tokens, logprobs = tokens.view(paths, count, -1).cpu(), logprobs.view(paths, count, -1).cpu()
        lengths, chosen = lengths.view(paths, count).cpu(), chosen.view(paths, count, -1).cpu()
        scores = language_model_scores(logprobs, lengths)
        return Candidates(tokens[..., : int(lengths.max())], lengths, chosen.sum(-1), scores)

    def _arrange(self, row: Tensor, new: Tensor, rows: int, shared: bool) -> tuple[Tensor | None, Tensor, Tensor, bool]:
        """Rows for the next pass: (parents, tokens, row of each live candidate, whether rows are shared).

        row, new: each live candidate's row so far and its new token. parents: the old row behind each new one; None
        where the rows stay as they are.
        """
        if shared:
            branches, row_of = torch.unique(row * len(self._ends) + new, return_inverse=True)
            if len(branches) <= _SHARED * len(row):
                parents = branches // len(self._ends)
                unmoved = len(parents) == rows and bool((parents.diff() == 1).all())
                return None if unmoved else parents, branches % len(self._ends), row_of, True
        elif len(row) > _KEPT * rows:
            fed = torch.full((rows,), self.decoder.pad_id, device=new.device)
            fed[row] = new
            return None, fed, row, False
        return row, new, torch.arange(len(row), device=row.device), False

    def _beams(
        self,
        state: State,
        keys: Tensor,
        positions: Tensor,
        limits: Tensor,
        writing: CalculatorState | None,
        forced: Tensor | None,
    ) -> Candidates:
        """The N best steps by beam search with N beams; a beam's score is its mean log-probability.

        Temperature and random numbers have no part in it. A question is over when no beam that is still being
        written can, as it stands, displace one of N finished ones.
        """
        paths, width = keys.shape
        device, longest = keys.device, int(limits.max())
        limits = limits.to(device)
        found = _Beams.none(paths, width, longest, self.decoder.pad_id, device)
        who = torch.arange(paths, device=device)  # path of each block of beams
        beams = 1  # rows of the state a path: one before the first token
        tokens = torch.full((paths, 1, longest), self.decoder.pad_id, device=device)
        sums = torch.zeros(paths, 1, dtype=torch.float64, device=device)
        for place in range(longest):
            gains = torch.log_softmax(state.logits.double(), -1)
            if self._forbidden is not None:
                gains[:, self._forbidden] = -torch.inf
            if forced is not None:
                rows = torch.nonzero(forced >= 0)[:, 0]
                gains[rows] = -torch.inf
                gains[rows, forced[rows]] = 0.0
            size = gains.shape[-1]
            options = (sums[..., None] + gains.view(len(who), beams, size)).flatten(1)
            best, index = options.topk(min(2 * width, options.shape[1]), dim=-1)
            parent, new = index // size, index % size
            grown = tokens.gather(1, parent[..., None].expand(-1, -1, longest))
            grown[:, :, place] = new
            over = self._ends[new]
            # As elsewhere: an end counts only among the N best, and at a path's limit every beam ends.
            first = torch.arange(best.shape[1], device=device)[None] < width
            last = (limits[who] == place + 1)[:, None]
            ending = (over | last) & first & best.isfinite()
            found.add(who, grown, torch.where(ending, best, -torch.inf), place + 1)
            best = best.masked_fill(over | last, -torch.inf)
            sums, kept = best.topk(min(width, best.shape[1]), dim=-1)
            hopeful = sums[:, 0] / (place + 1) > found.scores[who].amin(-1)
            going = torch.nonzero(sums[:, 0].isfinite() & hopeful)[:, 0]
            if not len(going):
                break
            sums, kept = sums[going], kept[going]
            rows = (parent[going].gather(1, kept) + going[:, None] * beams).flatten()
            tokens = grown[going].gather(1, kept[..., None].expand(-1, -1, longest))
            who, beams, fed = who[going], sums.shape[1], new[going].gather(1, kept).flatten()
            state = state.select(rows)
            if writing is not None:
                writing = writing.select(rows)
                forced = self.calculator.forced(writing, fed)
            self.decoder.step(state, fed)
        exists = found.lengths > 0
        return Candidates(
            found.tokens[..., : int(found.lengths.max())].cpu(),
            found.lengths.cpu(),
            torch.where(exists, found.sums, 0.0).cpu(),
            beam_scores(found.scores, exists).cpu(),
        )


@dataclass
class _Beams:
    """The best finished beams of each path, best first; scores are -inf where there is none."""

    tokens: Tensor  # [P, N, T]
    sums: Tensor  # [P, N]
    scores: Tensor  # [P, N] sums / lengths
    lengths: Tensor  # [P, N]

    @classmethod
    def none(cls, paths: int, width: int, longest: int, pad: int, device: torch.device) -> "_Beams":
        scores = torch.full((paths, width), -torch.inf, dtype=torch.float64, device=device)
        lengths = torch.zeros(paths, width, dtype=torch.long, device=device)
        return cls(torch.full((paths, width, longest), pad, device=device), scores.clone(), scores, lengths)

    def add(self, who: Tensor, tokens: Tensor, sums: Tensor, length: int) -> None:
        """Take in beams [P', M, T] of the paths `who`, all of one length; -inf sums are none."""
        width = self.scores.shape[1]
        scores, order = torch.cat([self.scores[who], sums / length], 1).topk(width, dim=-1)
        lengths = torch.where(sums.isfinite(), length, 0)
        self.scores[who] = scores
        self.sums[who] = torch.cat([self.sums[who], sums], 1).gather(1, order)
        self.lengths[who] = torch.cat([self.lengths[who], lengths], 1).gather(1, order)
        all_tokens = torch.cat([self.tokens[who], tokens], 1)
        self.tokens[who] = all_tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[-1]))


def _draw(probabilities: Tensor, row: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [C] and their log-probabilities, drawn from `probabilities[row]` by inverse distribution function.

    probabilities: unnormalized [R, V]; row: [C], several draws may share one; numbers: uniform [C].
    """
    mass = probabilities.double().cumsum(-1)
    total = mass[:, -1]
    if len(row) == len(mass) and bool((row.diff() == 1).all()):
        chosen = torch.searchsorted(mass, (numbers * total)[:, None], right=True)[:, 0]
    else:
        # One line of the grid a row, so that a row's distribution is not copied for each of its draws.
        order = torch.argsort(row, stable=True)
        counts = torch.bincount(row, minlength=len(mass))
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row[order]]
        grid = numbers.new_zeros(len(mass), int(counts.max()))
        grid[row, rank] = numbers
        chosen = torch.searchsorted(mass, grid * total[:, None], right=True)[row, rank]
    # Rounding may aim at the very end; the last token with a probability is meant then.
    possible = probabilities.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(-1)
    chosen = torch.minimum(chosen, possible[row])
    return chosen, torch.log(probabilities[row, chosen].double() / total[row])


def _log_probability(probabilities: Tensor, row: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities [C] of given tokens under `probabilities[row]`; -inf for what was cut off."""
    return torch.log(probabilities[row, tokens].double() / probabilities.double().sum(-1)[row])
