"""The candidates of guided decoding as rows that are kept: texts, scores, and what the calculator wrote."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from retrace.decoding.candidates import Candidates, StepWriter
from retrace.evaluation.candidates import digest_of_prediction
from retrace.schemas import Candidate, CandidateStep, Prediction, QuestionCandidates
from retrace.text.calculator import Calculator
from retrace.text.token_text import TokenText


def candidate_rows(
    writer: StepWriter,
    found: Candidates,
    open_steps: Sequence[Sequence[int]],
    raw: Sequence[Sequence[float] | None],
    mixed: Sequence[Sequence[float]],
) -> list[list[Candidate]]:
    """The candidates of each path as rows, in their order; places without a candidate are left out.

    open_steps: tokens after each path's last delimiter. raw, mixed: scores of all places, as of `choose_steps`.
    """
    tokens, lengths, scores = found.tokens.tolist(), found.lengths.tolist(), found.scores.tolist()
    places = [(path, place) for path, row in enumerate(lengths) for place, length in enumerate(row) if length]
    steps = [tokens[path][place][: lengths[path][place]] for path, place in places]
    distinct = {(path, *step): (path, step) for (path, _), step in zip(places, steps, strict=True)}
    starts = [list(open_steps[path]) for path, _ in distinct.values()]
    marks = forced_places(writer.calculator, starts, [step for _, step in distinct.values()])
    read = {
        key: (writer.text.text(step), calculated_spans(writer.text, step, marked))
        for (key, (_, step)), marked in zip(distinct.items(), marks, strict=True)
    }
    rows: list[list[Candidate]] = [[] for _ in lengths]
    for (path, place), step in zip(places, steps, strict=True):
        text, spans = read[path, *step]
        judged = raw[path]
        rows[path].append(
            Candidate(
                text=text,
                tokens=len(step),
                language_model=scores[path][place],
                discriminator=None if judged is None else judged[place],
                mixed=mixed[path][place],
                calculated=spans,
            )
        )
    return rows


def of_question(prediction: Prediction, steps: list[list[CandidateStep]]) -> QuestionCandidates:
    """The steps of each of a prediction's samples, bound to it."""
    return QuestionCandidates(
        example_id=prediction.example_id, prediction=digest_of_prediction(prediction), samples=steps
    )


def forced_places(
    calculator: Calculator | None, starts: Sequence[Sequence[int]], steps: Sequence[Sequence[int]]
) -> list[list[bool]]:
    """Which tokens of each step the calculator wrote, found by letting it read `starts` and `steps` again."""
    if calculator is None or not steps:
        return [[False] * len(step) for step in steps]
    rows = [[*start, *step] for start, step in zip(starts, steps, strict=True)]
    forced = np.full((len(rows), max(map(len, rows)) + 1), -1, dtype=np.int64)
    state = calculator.start(len(rows))
    for column in range(forced.shape[1] - 1):
        # After its end a row repeats its last token; the results there are not used.
        forced[:, column + 1] = calculator.forced(state, np.array([row[min(column, len(row) - 1)] for row in rows]))
    return [
        [bool(forced[number, column] >= 0) for column in range(len(row) - len(step), len(row))]
        for number, (row, step) in enumerate(zip(rows, steps, strict=True))
    ]


def calculated_spans(text: TokenText, tokens: Sequence[int], forced: Sequence[bool]) -> list[tuple[int, int]]:
    """Start and end, in the text of `tokens`, of each run of tokens that were forced."""
    spans, place = [], 0
    for was_forced, run in groupby(forced):
        end = place + len(list(run))
        if was_forced:
            spans.append((len(text.text(tokens[:place])), len(text.text(tokens[:end]))))
        place = end
    return [(start, stop) for start, stop in spans if stop > start]
