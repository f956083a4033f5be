"""The candidates of guided decoding, kept next to its predictions."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from retrace.machine.storage import candidates_path, iter_jsonl, write_jsonl
from retrace.schemas import Prediction, QuestionCandidates


def digest_of_prediction(prediction: Prediction) -> str:
    """Tells whether candidates belong to a prediction: a checksum of its row."""
    return hashlib.sha256(prediction.model_dump_json().encode()).hexdigest()[:16]


def write_candidates(predictions: str | Path, rows: Sequence[Prediction], kept: bool) -> None:
    """Write the candidates that predictions carry; without `kept` nothing of an earlier run is left."""
    path = candidates_path(predictions)
    if kept:
        write_jsonl(path, [row.candidates for row in rows if row.candidates is not None])
    else:
        path.unlink(missing_ok=True)


def read_candidates(predictions: str | Path) -> Iterator[QuestionCandidates]:
    """The candidates next to predictions, if any were kept. Raises UserError for a damaged file."""
    path = candidates_path(predictions)
    if path.exists():
        yield from iter_jsonl(path, QuestionCandidates)


def belong_to(candidates: Sequence[QuestionCandidates], rows: Sequence[Prediction]) -> bool:
    """Whether there are candidates for each prediction, and of this very one."""
    return [(one.example_id, one.prediction) for one in candidates] == [
        (row.example_id, digest_of_prediction(row)) for row in rows
    ]
