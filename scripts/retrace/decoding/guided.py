"""Stepwise decoding guided by a discriminator. GRACE section 3.3.

A batch holds many solutions ("paths") at once. For each reasoning step every path gets N candidate steps, all of
them are judged in one call of the discriminator, and the chosen one is appended to the path's cached prefix, which is
never read again. Several values of beta can be decoded together: paths share their candidates until the values
choose differently.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from retrace.decoding.batch_size import ROWS_ON_PROCESSOR, in_batches, rows_for
from retrace.decoding.candidates import Candidates, StepWriter
from retrace.decoding.kept_candidates import candidate_rows, of_question
from retrace.decoding.options import Guided
from retrace.decoding.random_streams import row_keys, uniform
from retrace.decoding.selection import mixed_scores, select
from retrace.decoding.setup import Generator
from retrace.decoding.state import State
from retrace.decoding.step_judge import StepJudge
from retrace.decoding.vote import majority, make_prediction, make_sample
from retrace.errors import UserError
from retrace.schemas import Candidate, CandidateStep, Example, Prediction

if TYPE_CHECKING:
    from retrace.decoding.engine import SharedPrefix
    from retrace.models.discriminator import StepDiscriminator

_JUDGED = 256  # rows that the discriminator reads at once, at most, where the memory says how many are written


@dataclass
class Path:
    """One solution while it is being written, for one or more values of beta that agree so far."""

    question: int  # index in the batch
    sample: int
    betas: list[int]  # indices of the values of beta
    tokens: list[int] = field(default_factory=list)
    step_start: int = 0  # where the step begins that its limit cut; len(tokens) if the last one ended well
    logprob: float = 0.0
    judged: list[float] = field(default_factory=list)  # the discriminator's scores of the chosen steps
    written: int = 0  # tokens of all candidates
    seen: list[CandidateStep] = field(default_factory=list)  # all candidates of each step, where they are kept

    def grown(
        self,
        betas: list[int],
        step: list[int],
        whole: bool,
        logprob: float,
        score: float | None,
        seen: Sequence[CandidateStep] = (),
    ) -> "Path":
        """A copy extended by one step."""
        tokens = self.tokens + step
        start = len(tokens) if whole else self.step_start
        judged = self.judged if score is None else [*self.judged, score]
        return Path(
            self.question,
            self.sample,
            betas,
            tokens,
            start,
            self.logprob + logprob,
            judged,
            self.written,
            [*self.seen, *seen],
        )


class Chosen(NamedTuple):
    """What was chosen for each path, and why."""

    choices: list[list[int]]  # in the order of the path's values of beta
    raw: list[list[float] | None]  # the discriminator's scores of the candidates; None where it was not asked
    answers: list[bool]  # whether every candidate is an answer
    mixed: list[list[list[float]]]  # the scores that decided, for each of the path's values of beta


def choose_steps(
    judge: StepJudge,
    paths: Sequence[Path],
    questions: Sequence[str],
    found: Candidates,
    betas: Sequence[float],
    options: Guided,
    numbers: Tensor | None = None,
) -> Chosen:
    """Choose a candidate for every path and each of its values of beta.

    questions: text of each path's question. found: candidates of the paths. numbers: uniform [P], to draw the choice
    instead of taking the best.
    """
    exists = found.exists
    rows, lengths = found.tokens.tolist(), found.lengths.tolist()
    steps = [
        [tuple(row[:length]) for row, length in zip(of_path, counts, strict=True) if length]
        for of_path, counts in zip(rows, lengths, strict=True)
    ]
    answers = [all(judge.step(step)[1] for step in set(of_path)) for of_path in steps]
    asked = [i for i, path in enumerate(paths) if not answers[i] and any(betas[beta] > 0 for beta in path.betas)]
    raw: list[list[float] | None] = [None] * len(paths)
    scores = torch.zeros(exists.shape, dtype=torch.float64)
    if asked:
        judged = judge.scores(
            [questions[i] for i in asked], [paths[i].tokens for i in asked], [steps[i] for i in asked]
        )
        for i, values in zip(asked, judged, strict=True):
            line = torch.zeros(exists.shape[1], dtype=torch.float64)
            line[exists[i]] = torch.tensor(values, dtype=torch.float64)
            scores[i], raw[i] = line, line.tolist()
    choices: list[list[int]] = [[] for _ in paths]
    mixed: list[list[list[float]]] = [[] for _ in paths]
    for beta in range(len(betas)):
        concerned = [i for i, path in enumerate(paths) if beta in path.betas]
        if not concerned:
            continue
        final = mixed_scores(
            found.scores[concerned],
            scores[concerned],
            betas[beta],
            normalize=options.normalize_scores,
            all_answers=torch.tensor([answers[i] for i in concerned]),
            exists=exists[concerned],
        )
        taken = select(final, None if numbers is None else numbers[concerned]).tolist()
        for i, choice, values in zip(concerned, taken, final.tolist(), strict=True):
            choices[i].append(choice)
            mixed[i].append(values)
    return Chosen(choices, raw, answers, mixed)


class GuidedDecoder:
    """Guided decoding with one generator, one discriminator and one set of options."""

    def __init__(
        self,
        generator: Generator,
        discriminator: "StepDiscriminator | None",
        options: Guided,
        seed: int,
        keep: bool = False,
    ) -> None:
        """keep: have finished paths carry all candidates of their steps, with the scores of their first value of beta."""
        self.keep = keep
        self.decoder, self.task, self.options, self.seed = generator.decoder, generator.task, options, seed
        self.writer = StepWriter(
            generator.decoder, generator.task.delimiter, options, generator.calculator, generator.masked_results
        )
        # Candidates that are in memory together; `fit` sets it where the memory is to say so.
        self.rows = ROWS_ON_PROCESSOR if options.batch_size == "auto" else options.batch_size
        self.judge = StepJudge(discriminator, generator.task, self.writer, options.official, self.rows)

    def fit(self, prompts: Sequence[Sequence[int]]) -> None:
        """Take as many candidates at once as the options say, or as the memory holds behind the longest prompt."""
        options = self.options
        self.allow(rows_for(options.batch_size, self.decoder, prompts, self.reserve, options.candidates))
        if options.batch_size == "auto":
            self.judge.batch_size = min(self.judge.batch_size_for(_JUDGED), self.rows)

    def allow(self, rows: int) -> None:
        """Have at most so many candidates in memory together, but all of one path at least."""
        self.rows = rows
        self.judge.batch_size = min(self.judge.batch_size, rows)

    @property
    def at_once(self) -> int:
        """Number of paths whose candidates are sampled together."""
        return max(1, self.rows // self.options.candidates)

    @property
    def reserve(self) -> int:
        """Maximum tokens of a solution."""
        return min(self.options.max_new_tokens, self.options.max_steps * self.options.max_step_tokens)

    def solve(
        self,
        prompts: Sequence[list[int]],
        questions: Sequence[str],
        names: Sequence[str],
        betas: Sequence[float],
        shared: "SharedPrefix | None" = None,
    ) -> list[list[Path]]:
        """Decode a batch of questions, with all their samples at best not more than `at_once` paths.

        prompts: token ids. names: example ids. shared: as of `Decoder.prefill`. Returns, a question: its finished
        paths, together `samples` of them for each value of beta (see `Path.betas`).
        """
        options = self.options
        state = self.decoder.prefill(prompts, shared)
        paths = [
            Path(question, sample, list(range(len(betas))))
            for question in range(len(prompts))
            for sample in range(options.samples)
        ]
        if options.samples > 1:
            state = state.repeat(options.samples)
        finished: list[list[Path]] = [[] for _ in prompts]
        for step in range(options.max_steps):
            going: list[Path] = []
            rows: list[int] = []
            steps: list[list[int]] = []
            for start in range(0, len(paths), self.at_once):
                part = paths[start : start + self.at_once]
                # Many samples or values of beta: never more candidates at once than the batch size says.
                here = state.select(torch.arange(start, start + len(part))) if len(part) < len(paths) else state
                for place, path, taken, over in self._next(here, part, questions, names, betas, step):
                    if over or step + 1 == options.max_steps or len(path.tokens) >= options.max_new_tokens:
                        finished[path.question].append(path)
                    else:
                        going.append(path)
                        rows.append(start + place)
                        steps.append(taken)
            if not going:
                break
            if rows != list(range(len(state))):
                state = state.select(torch.tensor(rows))
            self.decoder.append(state, steps)
            paths = going
        return finished

    def _next(
        self,
        state: State,
        paths: list[Path],
        questions: Sequence[str],
        names: Sequence[str],
        betas: Sequence[float],
        step: int,
    ) -> Iterator[tuple[int, Path, list[int], bool]]:
        """One reasoning step: (index of the path, the path it grew to, the tokens it took, whether it is over)."""
        options, count = self.options, self.options.candidates
        owners = [names[path.question] for path in paths]
        numbers = [path.sample * count + candidate for path in paths for candidate in range(count)]
        keys = row_keys(self.seed, [name for name in owners for _ in range(count)], numbers).view(len(paths), count)
        written = torch.tensor([len(path.tokens) for path in paths])
        open_steps = [path.tokens[path.step_start :] for path in paths]
        limits = (options.max_new_tokens - written).clamp(max=options.max_step_tokens)
        found = self.writer.write(state, keys, written, limits, open_steps)
        drawn = None
        if options.selection == "sample":
            # Streams of negative samples belong to no candidate.
            drawn = uniform(row_keys(self.seed, owners, [-2 - path.sample for path in paths]), step)
        asked = [questions[path.question] for path in paths]
        chosen = choose_steps(self.judge, paths, asked, found, betas, options, drawn)
        choices, raw, answers, _ = chosen
        rows: list[list[Candidate]] = []
        if self.keep:
            rows = candidate_rows(self.writer, found, open_steps, raw, [values[0] for values in chosen.mixed])
        for place, path in enumerate(paths):
            path.written += int(found.lengths[place].sum())
            for choice in dict.fromkeys(choices[place]):
                agreeing = [beta for beta, taken in zip(path.betas, choices[place], strict=True) if taken == choice]
                tokens = found.tokens[place, choice, : int(found.lengths[place, choice])].tolist()
                score = raw[place][choice] if raw[place] is not None else None
                whole = tokens[-1] in self.writer.delimiters
                # Beam search may find fewer candidates than places.
                number = int(found.exists[place, :choice].sum())
                seen = [CandidateStep(chosen=number, candidates=rows[place])] if self.keep else []
                grown = path.grown(agreeing, tokens, whole, float(found.logprobs[place, choice]), score, seen)
                answered = answers[place] or self.judge.step(tuple(tokens))[1]
                yield place, grown, tokens, answered or tokens[-1] in self.writer.last_words

    def text(self, path: Path) -> str:
        """Text of a finished path."""
        tokens = path.tokens[:-1] if path.tokens[-1] in self.writer.last_words else path.tokens
        return self.writer.text.text(tokens)


def solve_for_betas(
    generator: Generator,
    discriminator: "StepDiscriminator | None",
    examples: Sequence[Example],
    options: Guided,
    betas: Sequence[float],
    seed: int,
    keep: bool = False,
) -> Iterator[tuple[int, list[Prediction]]]:
    """For each example (its index) one prediction for each value of beta; the same as decoding for each on its own.

    Batches hold questions of like length, and come as they are done: NOT in the order of the examples. discriminator:
    None is enough where every beta is 0. keep: predictions carry all candidates (with a single value of beta). Raises
    UserError for a question that is too long, for a beta outside 0..1 and for a missing discriminator.
    """
    for beta in betas:
        if not isinstance(beta, int | float) or not 0 <= beta <= 1:
            raise UserError(f"--beta {beta}: give a number from 0 to 1, or --choices FILE where it is to be chosen")
    if discriminator is None and any(beta > 0 for beta in betas):
        raise UserError("beta is above 0, but no discriminator was given; add --discriminator DIR or set --beta 0")
    guided = GuidedDecoder(generator, discriminator, options, seed, keep and len(betas) == 1)
    prompts = generator.decoder.encode(
        [generator.prompt(example.question) for example in examples],
        [example.id for example in examples],
        reserve=guided.reserve,
    )
    order = sorted(range(len(examples)), key=lambda index: (len(prompts[index]), index))
    guided.fit(prompts)
    shared = generator.decoder.shared_prefix(prompts)

    def solve(batch: Sequence[int], rows: int) -> list[tuple[int, list[Prediction]]]:
        guided.allow(rows)
        began = time.perf_counter()
        solved = guided.solve(
            [prompts[index] for index in batch],
            [examples[index].question for index in batch],
            [examples[index].id for index in batch],
            betas,
            shared,
        )
        seconds = (time.perf_counter() - began) / len(batch)
        return [
            (
                index,
                [
                    _prediction(guided, examples[index], [path for path in paths if beta in path.betas], seconds)
                    for beta in range(len(betas))
                ],
            )
            for index, paths in zip(batch, solved, strict=True)
        ]

    # All samples of a question are written together, so that a question has samples x candidates rows.
    per_question = options.samples * options.candidates
    for _, solved in in_batches(order, guided.rows, per_question, solve, least=options.candidates):
        yield from solved


def _prediction(guided: GuidedDecoder, example: Example, paths: list[Path], seconds: float) -> Prediction:
    paths = sorted(paths, key=lambda path: path.sample)
    samples = [
        make_sample(
            guided.task,
            example,
            guided.text(path),
            len(path.tokens),
            path.logprob,
            sum(path.judged) / len(path.judged) if path.judged else None,
        )
        for path in paths
    ]
    chosen = majority([sample.answer for sample in samples], guided.task.canonical)
    prediction = make_prediction(example, samples, chosen, seconds, sum(path.written for path in paths))
    if guided.keep:
        prediction.candidates = of_question(prediction, [path.seen for path in paths])
    return prediction
