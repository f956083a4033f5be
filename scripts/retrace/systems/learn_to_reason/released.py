"""The files in which Learn-to-Reason's authors released their rationales: one JSON object, question -> list of texts.

`{task}.train.round{r}.json` holds the teacher's rationales that round r trains on, `{task}.student.train.round{r}.neg4.json`
the mistakes of the student after round r (0: before the first one; 4: the answers that were drawn for a question).
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
    """Question (white space collapsed) -> texts, in the order of the file. A question that comes twice gives both lists.

    Raises UserError naming file, question and mend.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise UserError(f"{path}: should hold one JSON object, question -> list of texts")
    found: dict[str, list[str]] = {}
    for question, texts in document.items():
        given = [texts] if isinstance(texts, str) else texts
        if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
            raise UserError(
                f"{path}: question {question[:60]!r}: should have a list of texts (got {str(texts)[:40]!r})"
            )
        found.setdefault(" ".join(question.split()), []).extend(given)
    return found


def write_released(path: str | Path, texts: Iterable[tuple[str, str]] | Mapping[str, list[str]]) -> None:
    """Write (question, text) pairs, or what `read_released` gives, in the authors' format."""
    if isinstance(texts, Mapping):
        write_json(path, dict(texts))
        return
    grouped: dict[str, list[str]] = {}
    for question, text in texts:
        grouped.setdefault(question, []).append(text)
    write_json(path, grouped)
