"""Raw rows of a task's sources -> examples in the one schema. Every fault names the file, the line and the mend."""

import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrace.config import Source
from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import answer_rows, hub_data, steps, symbolic

if TYPE_CHECKING:
    from retrace.tasks.base import Task

DEMONSTRATIONS = "demonstrations"
_NUMBER = re.compile(r"-?\$?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_WORD = re.compile(r"[a-zA-Z]+")
_COMMENT = re.compile(r"\s*#[^#\n]*$", re.MULTILINE)

Row = tuple[str, dict[str, Any]]  # where it stands (FILE:LINE), and what


def read_split(task: "Task", split: str, mirror: str | None = None, limit: int | None = None) -> list[Example]:
    """The examples of one split, in the order of their source; at most the first `limit`.

    Raises UserError for an unknown or empty split, a malformed row, a missing field, an answer without a final value,
    or an id or a question that stands there twice.
    """
    source = _source(task, split)
    examples = _generated(task, split, source, mirror) if source.generator else _read(task, split, source, mirror)
    if not examples:
        place = f" ({source.file or source.url})" if source.file or source.url else ""
        raise UserError(f"{task.path}: splits.{split}{place}: holds no rows; check the file, `part` and `count`")
    _refuse_twins(task, split, examples)
    return examples[:limit] if limit is not None and limit >= 0 else examples


def read_demonstrations(task: "Task", mirror: str | None = None) -> list[Example]:
    """The worked examples for few-shot prompts: the task's own, or else those of its training split."""
    return read_split(task, DEMONSTRATIONS if task.config.demonstrations else "train", mirror)


def shared_questions(
    task: "Task", split: str, examples: Iterable[Example], mirror: str | None = None
) -> dict[str, int]:
    """How many questions of `split` stand in each other split too (read from files; generators never repeat them).

    Worked demonstrations may be training questions, as in the papers' data, but none of dev or test.
    """
    questions = {example.question for example in examples}
    shared = {}
    for other, source in [*task.config.splits.items(), (DEMONSTRATIONS, task.config.demonstrations)]:
        pair = {split, other}
        if other == split or source is None or source.generator or pair == {"train", DEMONSTRATIONS}:
            continue
        count = len(questions & {example.question for example in read_split(task, other, mirror)})
        if count:
            shared[other] = count
    return shared


def _source(task: "Task", split: str) -> Source:
    if split == DEMONSTRATIONS and task.config.demonstrations is not None:
        return task.config.demonstrations
    if split not in task.config.splits:
        raise UserError(f"{task.path}: no split {split!r}; this task has {', '.join(task.config.splits)}")
    return task.config.splits[split]


def _generated(task: "Task", split: str, source: Source, mirror: str | None) -> list[Example]:
    if source.generator == "arithmetic":
        from retrace.tasks import arithmetic

        return list(arithmetic.generate(split, source.count, source.seed, **source.settings))
    if source.generator in symbolic.GENERATORS:
        generate = symbolic.GENERATORS[source.generator]
        taken = frozenset(
            example.question
            for other, given in task.config.splits.items()
            if not given.generator
            for example in read_split(task, other, mirror)
        )
        return list(generate(split, source.count or 0, source.seed, exclude=taken, **source.settings))
    known = ", ".join(["arithmetic", *symbolic.GENERATORS])
    raise UserError(f"{task.path}: splits.{split}: generator: unknown {source.generator!r}; known: {known}")


def _read(task: "Task", split: str, source: Source, mirror: str | None) -> list[Example]:
    base_name, base = (source.part_of, task.config.splits[source.part_of]) if source.part_of else (split, source)
    if base.generator:
        raise UserError(f"{task.path}: splits.{split}: part_of: {base_name} is generated; generate {split} as well")
    if base.hub:
        located, origin = list(hub_data.rows(base, base_name, mirror)), f"{base.hub}@{base.revision}"
    else:
        path, origin = _locate(task, base_name, base, mirror)
        located = list(_rows(path, task.config.format))
    rows = _part(located, source, base)
    examples = [_example(task, base_name, number, split, origin, row) for number, row in rows]
    return examples[: source.count] if source.count else examples


def _locate(task: "Task", split: str, source: Source, mirror: str | None) -> tuple[Path, str]:
    """The local file of a source, and what an example says about where it came from."""
    if source.url:
        from retrace.download import fetch

        return fetch(source.url, source.sha256 or "", mirror), source.url
    path = Path(source.file or "")
    if not path.is_file():
        raise UserError(f"{path}: no such file (splits.{split} of {task.path}; relative to the working folder)")
    return path, str(path)


def _part(rows: list[Row], source: Source, base: Source) -> list[tuple[int, Row]]:
    """The numbered rows (from 1) that belong to `source`: a share of a seeded shuffle, in the file's order."""
    numbered = list(enumerate(rows, start=1))
    if source.part is None:
        return numbered
    order = list(range(len(rows)))
    # The seed is the base's, so that a split and what is held out of it are shares of one and the same shuffle.
    generator = random.Random(f"held out {base.seed}")
    order.sort(key=lambda _: generator.random())
    first, last = (round(share * len(rows)) for share in source.part)
    return [numbered[index] for index in sorted(order[first:last])]


# ---------------------------------------------------------------- reading files


def _rows(path: Path, layout: str) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if layout in ("coin_flip", "object_tracking"):
        yield from _document_rows(path, text)
        return
    # Not splitlines: a JSON text may hold U+2028 and the like, which end no line.
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        if not line.strip():
            raise UserError(f"{path}:{number}: empty line; remove it")
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{number}: not JSON ({error.msg}, column {error.colno}); one object a line"
            ) from None
        except RecursionError:
            raise UserError(f"{path}:{number}: not JSON (nested too deeply); one object a line") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: a row is a JSON object, this is a {type(row).__name__}")
        yield f"{path}:{number}", row


def _document_rows(path: Path, text: str) -> Iterator[Row]:
    """The rows of one JSON document {"examples": [...]}."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise UserError(f"{path}: not JSON (nested too deeply)") from None
    examples = document.get("examples") if isinstance(document, dict) else None
    if not isinstance(examples, list):
        raise UserError(f"{path}: expected a JSON object with a list `examples`")
    for number, row in enumerate(examples, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{path}: examples[{number}]: a row is a JSON object")
        yield f"{path}: examples[{number}]", row


def _field(where: str, row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        fault = "is missing" if name not in row else "is empty" if value in ("", None) else f"is {str(value)[:40]!r}"
        raise UserError(
            f"{where}: field {name!r} {fault}; it must be a text (the row has {', '.join(row) or 'nothing'})"
        )
    return value


# ---------------------------------------------------------------- from a row to an example


def _example(task: "Task", base: str, number: int, split: str, origin: str, located: Row) -> Example:
    where, row = located
    if task.config.format in answer_rows.READERS:
        return answer_rows.example(task, where, row, f"{base}-{number:05d}", split, origin)
    if task.config.format == "object_tracking":
        question, answer = _tracking(where, row)
    else:
        question, answer = _field(where, row, task.config.question_field), _field(where, row, task.config.answer_field)
        if task.config.format == "coin_flip":
            answer = f"{steps.MARKER} {answer.strip()}"
    body, final = _parse_answer(task, where, answer)
    identifier = row.get("id")
    return Example(
        id=str(identifier) if isinstance(identifier, str | int) else f"{base}-{number:05d}",
        question=" ".join(question.split()),
        answer=f"{body}\n{steps.MARKER} {final}".lstrip(),
        steps=_steps(task, body),
        final_answer=final,
        split=split,
        source=origin,
    )


def _tracking(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """BIG-bench's tracking of shuffled objects: the choice that scores 1, as one word."""
    question, scores = _field(where, row, "input"), row.get("target_scores")
    right = [choice for choice, score in scores.items() if score == 1] if isinstance(scores, dict) else []
    if len(right) != 1:
        raise UserError(f"{where}: target_scores must give 1 to exactly one choice (got {str(scores)[:80]})")
    return question, f"{steps.MARKER} {symbolic.one_word(right[0])}"


def _parse_answer(task: "Task", where: str, answer: str) -> tuple[str, str]:
    """The solution without its last line, and the final answer as a plain number or word."""
    body, marker, tail = answer.partition(steps.MARKER)
    pattern = _WORD if task.config.family == "symbolic" else _NUMBER
    found = pattern.search(tail)
    if not marker or found is None:
        kind = "word" if task.config.family == "symbolic" else "number"
        raise UserError(
            f"{where}: the answer has no final value; end it with '{steps.MARKER} {kind}' (it ends {answer[-40:]!r})"
        )
    final = found.group()
    if task.config.family != "symbolic":
        final = final.replace(",", "").replace("$", "")
    return body.strip(), final


def _steps(task: "Task", body: str) -> list[str]:
    if task.config.family == "programs":
        # Comments would swallow the rest of a program that is written on one line.
        body = _COMMENT.sub("", body)
    parts = steps.split_steps(body + "\n", task.delimiter)
    if len(parts) == 1 and task.config.family == "word_problems":
        # A solution on one line (MultiArith): its sentences are the steps, as GRACE's sampling script cuts references.
        parts = steps.split_sentences(parts[0])
    return parts


def _refuse_twins(task: "Task", split: str, examples: list[Example]) -> None:
    known: dict[str, Example] = {}
    asked: dict[str, Example] = {}
    for example in examples:
        if example.id in known:
            raise UserError(f"{task.path}: splits.{split}: id {example.id!r} stands there twice; ids must differ")
        twin = asked.get(example.question)
        if twin is not None:
            raise UserError(
                f"{task.path}: splits.{split}: {twin.id} and {example.id} ask the same question "
                f"({example.question[:60]!r}); remove one"
            )
        known[example.id] = asked[example.question] = example
