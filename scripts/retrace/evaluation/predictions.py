"""Predictions of one method over all seeds, checked against their split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retrace.errors import UserError
from retrace.evaluation.metrics import pass_at_k
from retrace.machine.storage import iter_jsonl, read_jsonl, timing_path, write_jsonl
from retrace.schemas import Example, Prediction, Timing


@dataclass(frozen=True)
class Run:
    """One seed's predictions, in the order of the data."""

    seed: int
    path: Path
    rows: list[Prediction]
    seconds: float | None = None  # of decoding, where it was measured


def write_predictions(path: str | Path, rows: Sequence[Prediction], seconds: float | None = None) -> None:
    """Write predictions, and their duration next to them: `seconds`, or the sum over rows."""
    spent = sum(row.seconds or 0.0 for row in rows) if seconds is None else seconds
    write_jsonl(timing_path(path), [Timing(questions=len(rows), seconds=round(spent, 4))])
    write_jsonl(path, rows)


def decoding_seconds(predictions: str | Path) -> float | None:
    """Total decoding seconds over all jobs; None if not measured."""
    path = timing_path(predictions)
    return sum(row.seconds for row in iter_jsonl(path, Timing)) if path.exists() else None


def find_data(prediction: str | Path, task: str, split: str) -> Path:
    """The split that predictions belong to, by the path grammar: ROOT/{task}/... answers ROOT/data/{task}/{split}.jsonl."""
    for parent in Path(prediction).parents:
        path = parent / "data" / task / f"{split}.jsonl"
        if path.exists():
            return path
    raise UserError(f"{prediction}: data/{task}/{split}.jsonl is in no folder above it; name the split with --data")


def read_runs(
    paths: Sequence[str | Path], seeds: Sequence[int], examples: Sequence[Example], data: str | Path
) -> list[Run]:
    """Read one predictions file for each seed.

    examples: the rows of the split, from the file `data`. Raises UserError where files and seeds do not match, a
    question comes twice, is missing or belongs to other data, or `chosen` points to no sample.
    """
    if len(paths) != len(seeds):
        raise UserError(
            f"--predictions names {len(paths)} files and --seeds {len(seeds)} seeds; give one file per seed"
        )
    if repeated := sorted({seed for seed in seeds if list(seeds).count(seed) > 1}):
        raise UserError(f"--seeds: seed {repeated[0]} is given twice; each seed may count once")
    if len({Path(path).resolve() for path in paths}) != len(paths):
        raise UserError("--predictions: one file is given twice; each seed needs its own")
    known = {example.id: example for example in examples}
    if len(known) != len(examples):
        raise UserError(f"{data}: an id comes twice; rebuild the data")
    runs = [
        Run(seed, Path(path), _read_run(path, known, data), decoding_seconds(path))
        for path, seed in zip(paths, seeds, strict=True)
    ]
    return sorted(runs, key=lambda run: run.seed)


def _read_run(path: str | Path, known: dict[str, Example], data: str | Path) -> list[Prediction]:
    found: dict[str, Prediction] = {}
    for number, row in enumerate(iter_jsonl(path, Prediction), start=1):
        where = f"{path}:{number}"
        if row.example_id in found:
            raise UserError(f"{where}: question {row.example_id!r} comes twice; delete the file and decode again")
        example = known.get(row.example_id)
        if example is None:
            raise UserError(
                f"{where}: question {row.example_id!r} is not in {data}; these predictions answer other data"
            )
        if row.question != example.question:
            raise UserError(f"{where}: the text of question {row.example_id!r} differs from {data}; decode again")
        if row.chosen >= len(row.samples):
            raise UserError(f"{where}: chosen {row.chosen} of {len(row.samples)} samples does not exist; decode again")
        found[row.example_id] = row
    if missing := [name for name in known if name not in found]:
        raise UserError(
            f"{path}: {len(missing)} of the {len(known)} questions of {data} are missing (first {missing[0]!r}); "
            "delete the file and decode again"
        )
    return [found[name] for name in known]


def read_examples(path: str | Path) -> list[Example]:
    """The rows of a split; an empty one is an error."""
    return read_jsonl(path, Example)


def measured(runs: Sequence[Run], measure: str) -> np.ndarray:
    """A measure of each question [seeds, questions]: `tokens`, or `pass_at_K` over its samples.

    Raises UserError where a question has fewer than K samples, or for another measure.
    """
    if measure == "tokens":
        return np.array([[float(row.tokens) for row in run.rows] for run in runs])
    name, _, number = measure.rpartition("_")
    if name != "pass_at" or not number.isdigit() or int(number) < 1:
        raise UserError(f"measure {measure!r} is unknown; valid: tokens, pass_at_K with a number for K")
    k = int(number)
    for run in runs:
        if (least := min(len(row.samples) for row in run.rows)) < k:
            raise UserError(f"{run.path}: pass@{k} needs {k} samples a question, and one has {least}; draw more")
    return np.array(
        [
            [pass_at_k(len(row.samples), sum(sample.correct for sample in row.samples), k) for row in run.rows]
            for run in runs
        ]
    )


def outcomes(runs: Sequence[Run], strict: bool = False) -> np.ndarray:
    """1 for right, 0 for wrong [seeds, questions], by the paper's own grader or by the strict one."""
    return np.array(
        [[float(row.correct_strict if strict else row.correct) for row in run.rows] for run in runs], dtype=np.float64
    )
