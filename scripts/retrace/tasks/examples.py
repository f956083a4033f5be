"""From a raw row to an example: question, steps, final answer and id. Every error names the row."""

import sys
from collections.abc import Iterable, Iterator

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import golds, steps
from retrace.tasks.base import Task
from retrace.tasks.families import format_of
from retrace.tasks.options import Source
from retrace.tasks.raw_rows import Row, text_or_number
from retrace.tasks.row_formats import ID, Raw


def raw_of(task: Task, base: Source, row: Row) -> Raw:
    """The contents of a row of this source."""
    return format_of(task.config, base).read(row.where, row.values)


def examples_of(task: Task, base: Source, name: str, split: str, origin: str, rows: Iterable[Row]) -> Iterator[Example]:
    """The examples of rows. Where faulty rows are skipped, so are answers that cannot be read; they are counted."""
    faults: list[golds.FaultyAnswer] = []
    for row in rows:
        try:
            yield _example(task, base, name, split, origin, row)
        except golds.FaultyAnswer as fault:
            if not base.skip_faulty:
                raise
            faults.append(fault)
    if faults:
        print(f"note: {len(faults)} rows with faulty answers were left out (first: {faults[0]})", file=sys.stderr)


def _example(task: Task, base: Source, name: str, split: str, origin: str, row: Row) -> Example:
    where, raw = row.where, raw_of(task, base, row)
    if raw.final is None:
        written = format_of(task.config, base).as_written
        body, final = _body_and_final(task, where, raw.solution, written)
        line = _as_written(raw.solution, final) if written else f"{steps.MARKER} {final}"
        answer = f"{body}\n{line}".lstrip()
        parts = _listed(where, task, body) if raw.in_steps else task.family.steps_of(body, task.delimiter)
    elif steps.MARKER in raw.question + raw.solution + raw.final:
        raise UserError(f"{where}: holds {steps.MARKER!r}, which separates solutions from answers here; reword it")
    else:
        final, parts = task.family.stated_final(where, raw.final), []
        answer = f"{raw.solution}\n{steps.MARKER} {final}"
    task.family.check_row(where, raw.question, final)
    identifier = _identifier(row, published=raw.final is None) or f"{name}-{row.number:05d}"
    _check_text(where, (identifier, raw.question, answer))
    return Example(
        id=identifier,
        question=raw.question,  # white space and all; what shall not depend on it removes it
        answer=answer,
        steps=parts,
        final_answer=final,
        split=split,
        source=origin,
    )


def _listed(where: str, task: Task, body: str) -> list[str]:
    """The steps of a solution with one step per line."""
    if task.delimiter in body:
        raise UserError(
            f"{where}: a step contains {task.delimiter!r}, the delimiter of steps; set `delimiter` in the task's YAML to a "
            "character that no step contains"
        )
    return steps.split_steps(f"{task.family.plain_body(body)}\n", task.delimiter)


def _identifier(row: Row, published: bool) -> str | None:
    """The id in a row: in the column set as `fields.id`, else in `id` or, for published data sets, `ID`."""
    values = row.values
    if ID in getattr(values, "columns", {}):
        return text_or_number(row.where, values, ID)
    found = values.get(ID, values.get("ID") if published else None)
    if not isinstance(found, str | int) or isinstance(found, bool):
        return None
    if not str(found).strip():
        raise UserError(f"{row.where}: field {ID!r} is empty; fill it in, or set another column as `fields.{ID}`")
    return str(found)


def _check_text(where: str, texts: Iterable[str]) -> None:
    """Raise UserError for texts that cannot be stored as UTF-8 text: unpaired surrogates (JSON's \\ud800) and NUL."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            fault = f"an unpaired surrogate ({text[error.start]!a}, in {text[max(0, error.start - 10) :][:30]!a})"
            raise UserError(f"{where}: contains {fault}; write the whole character, or remove it") from None
        if "\0" in text:
            raise UserError(f"{where}: contains a NUL character (in {text[:40]!r}); remove it")


def _body_and_final(task: Task, where: str, solution: str, as_written: bool) -> tuple[str, str]:
    """A solution and its final answer; as it is written in the data of implicit chain of thought, digits may stand apart."""
    digits = golds.one_by_one(solution) if as_written and solution.count(steps.MARKER) == 1 else None
    return (steps.body_of(solution).strip(), digits) if digits else task.family.body_and_final(where, solution)


def _as_written(answer: str, final: str) -> str:
    """The answer with its marker as the authors of implicit chain of thought read it: without commas, else as it is.

    Their reading takes the first digits; an answer that goes on behind them, 1/2, is written as its value.
    """
    tail = answer.partition(steps.MARKER)[2].rstrip().replace(",", "")
    return steps.MARKER + (tail if golds.read_over(tail, final) else f" {final}")
