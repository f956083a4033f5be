"""Files in the format of Learn-to-Reason's released rationales: one JSON object, question -> list of texts.

`{task}.train.round{r}.json` has the teacher's rationales that round r trains on. `{task}.student.train.round{r}.neg4.json`
has the student's mistakes after round r (0: before the first round; 4: number of answers sampled per question).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.storage import read_json, write_json


def rationales_name(task: str, number: int) -> str:
    return f"{task}.train.round{number}.json"


def mistakes_name(task: str, number: int, samples: int) -> str:
    return f"{task}.student.train.round{number}.neg{samples}.json"


def read_released(path: str | Path) -> dict[str, list[str]]:
    """Question (white space collapsed) -> texts, in the order of the file. The lists of repeated questions are joined.

    Raises UserError naming the file and question if the file is not in this format.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise UserError(f"{path}: must be one JSON object, question -> list of texts")
    found: dict[str, list[str]] = {}
    for question, texts in document.items():
        given = [texts] if isinstance(texts, str) else texts
        if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
            raise UserError(f"{path}: question {question[:60]!r}: must have a list of texts (got {str(texts)[:40]!r})")
        found.setdefault(" ".join(question.split()), []).extend(given)
    return found


def write_released(path: str | Path, texts: Iterable[tuple[str, str]] | Mapping[str, list[str]]) -> None:
    """Write (question, text) pairs, or the result of `read_released`, in the authors' format."""
    if isinstance(texts, Mapping):
        write_json(path, dict(texts))
        return
    grouped: dict[str, list[str]] = {}
    for question, text in texts:
        grouped.setdefault(question, []).append(text)
    write_json(path, grouped)
