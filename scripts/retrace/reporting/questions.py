"""Predictions for the page: questions and each method's answers, as short rows of plain lists.

A row of a method is [right, answer, chosen, samples, steps, first departure]: a sample is [text, answer, right,
log-probability]; a step is [candidate taken, candidates], a candidate [text, times, language model, discriminator, mixed,
[[start, end], ...]].
"""

import base64
import gzip
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.evaluation.candidates import digest_of_prediction, read_candidates
from retrace.evaluation.result import Result
from retrace.machine.storage import read_jsonl
from retrace.schemas import CandidateStep, Example, Prediction, QuestionCandidates
from retrace.text.numbers import numbers_in

MOST_QUESTIONS = 1000  # of a result on the page
MOST_BYTES = 5_000_000  # of all predictions on the page, packed
STEP_ENDS = re.compile(r"\n|\s\|\s")  # as in the page's script (questions.js)


@dataclass
class Group:
    """The results of one model on one split, which answer the same questions."""

    task: str
    model: str
    split: str
    preset: str
    total: int
    places: list[int]  # of the questions on the page, in the split
    questions: list[list[Any]]  # [id, question, gold, steps of the reference]
    methods: list[dict[str, Any]]  # name, file, seed, accuracy, rows

    @property
    def sampled(self) -> bool:
        return len(self.places) < self.total

    def document(self) -> dict[str, Any]:
        """The group in the page's data; the rows are compressed."""
        return {
            "task": self.task,
            "model": self.model,
            "split": self.split,
            "preset": self.preset,
            "total": self.total,
            "places": self.places,
            "methods": [{key: value for key, value in one.items() if key != "rows"} for one in self.methods],
            "packed": [packed(self.questions), *(packed(one["rows"]) for one in self.methods)],
        }


def packed(value: Any) -> str:
    """JSON, compressed, as base64: texts of the same model repeat themselves."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def spread(total: int, most: int) -> list[int]:
    """At most so many of `total` places, evenly spaced, the first among them."""
    return list(range(total)) if total <= most else [place * total // most for place in range(most)]


def groups_of(results: Iterable[tuple[str, Result]], most: int, left_out: list[str]) -> list[Group]:
    """The existing predictions of the results, for the first seed of each result."""
    found: dict[tuple[str, str, str, str], Group] = {}
    examples: dict[str, list[Example]] = {}
    for _, result in results:
        for record in result.provenance.files[:1]:
            path = Path(record.path)
            data = result.provenance.data.path
            if not path.exists() or not Path(data).exists():
                left_out.append(f"{path if not path.exists() else data}: not there; its questions are not shown")
                continue
            try:
                if data not in examples:
                    examples[data] = read_jsonl(data, Example)
                _add(found, result, path, examples[data], most, left_out)
            except UserError as error:
                left_out.append(str(error))
    return [group for group in found.values() if group.methods]


def _add(found: dict, result: Result, path: Path, examples: Sequence[Example], most: int, left_out: list[str]) -> None:
    task = result.task + (f", trained on {result.trained_on}" if result.trained_on else "")
    rows = {row.example_id: row for row in read_jsonl(path, Prediction)}
    asked = [example for example in examples if example.id in rows]
    if len(asked) != result.n:
        raise UserError(f"{path}: answers {len(asked)} of the {result.n} questions of the result; score it again")
    group = found.get((task, result.model, result.split, result.preset))
    if group is None:
        places = spread(len(asked), most)
        questions = [
            [asked[place].id, asked[place].question, asked[place].final_answer, asked[place].steps] for place in places
        ]
        group = Group(task, result.model, result.split, result.preset, len(asked), places, questions, [])
        found[task, result.model, result.split, result.preset] = group
    shown = {one[0] for one in group.questions}
    candidates: dict[str, QuestionCandidates] = {}
    try:
        candidates = {one.example_id: one for one in read_candidates(path) if one.example_id in shown}
    except UserError as error:  # the predictions are shown without them
        left_out.append(str(error))
    group.methods.append(
        {
            "name": result.method,
            "file": str(path),
            "seed": result.seeds[0],
            "accuracy": result.per_seed[0].accuracy,
            "candidates": bool(candidates),
            "rows": [
                _row(rows[name], candidates.get(name), steps) if name in rows else None
                for name, _, _, steps in group.questions
            ],
        }
    )


def _row(prediction: Prediction, candidates: QuestionCandidates | None, reference: Sequence[str]) -> list[Any]:
    samples = [[one.text, one.answer, int(one.correct), one.logprob] for one in prediction.samples]
    steps = None
    if candidates is not None and candidates.prediction == digest_of_prediction(prediction):
        steps = list(map(_step, candidates.samples[prediction.chosen]))
    wrong = None
    if not prediction.correct and reference:
        text = prediction.samples[prediction.chosen].text
        written = [_taken(step) for step in candidates.samples[prediction.chosen]] if steps else STEP_ENDS.split(text)
        wrong = first_departure(written, reference)
    return [int(prediction.correct), prediction.answer, prediction.chosen, samples, steps, wrong]


def _taken(step: CandidateStep) -> str:
    return step.candidates[step.chosen].text


def _step(step: CandidateStep) -> list[Any]:
    """Equal candidates once, with how often they came; the chosen one first, then by score."""
    order = sorted(range(len(step.candidates)), key=lambda place: (place != step.chosen, -step.candidates[place].mixed))
    times = Counter(one.text for one in step.candidates)
    distinct: dict[str, list[Any]] = {}
    for one in (step.candidates[place] for place in order):
        spans = [list(span) for span in one.calculated]
        scores = (one.language_model, one.discriminator, one.mixed)
        distinct.setdefault(one.text, [one.text, times[one.text], *scores, spans])
    return [0, list(distinct.values())]


def first_departure(written: Sequence[str], reference: Sequence[str]) -> int | None:
    """The first step whose result is none of the reference's; None where results cannot be compared.

    A step's result is its last number. It is a hint for readers: another right way has other results on its way.
    """
    known = {value for step in reference if (value := last_number(step)) is not None}
    if not known:
        return None
    for place, step in enumerate(written):
        value = last_number(step)
        if value is not None and value not in known:
            return place
    return None


def last_number(text: str) -> Fraction | None:
    """The last number in a text."""
    found = numbers_in(text)
    return found[-1].value if found else None


def fitting(results: Sequence[tuple[str, Result]], left_out: list[str], most: int = MOST_QUESTIONS) -> list[Group]:
    """`groups_of` with as many questions as the page may hold; fewer where they would be too large."""
    while True:
        notes: list[str] = []
        groups = groups_of(results, most, notes)
        size = sum(len(part) for group in groups for part in group.document()["packed"])
        if size <= MOST_BYTES or most <= 10:
            left_out += notes
            return groups
        most = max(10, int(most * 0.9 * MOST_BYTES / size))


def judged_answers(group: Group) -> Iterator[tuple[float, bool]]:
    """Answers with kept candidates: the discriminator's mean share for the chosen steps, and whether the answer is right."""
    for method in group.methods:
        for row in method["rows"]:
            shares = []
            for taken, candidates in (row and row[4]) or []:
                if any(one[3] is None for one in candidates):
                    continue
                best = max(one[3] for one in candidates)
                mass = [one[1] * math.exp(one[3] - best) for one in candidates]
                shares.append(mass[taken] / sum(mass))
            if shares:
                yield sum(shares) / len(shares), bool(row[0])
